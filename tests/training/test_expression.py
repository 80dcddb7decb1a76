"""A planted rule is found again through severe and noisy raters, on people never learned from."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

import configs
from data.contract import EXPRESSION, EXPRESSION_MEASURES, ContractMismatch, UndefinedMetric
from data.expression import expression_measures, load_series, save_series
from data.face import ExpressionConfig
from data.outcomes import BadTable
from data.registry import STABILITY, read_manifest
from data.simulate_expression import TARGETS, simulate_ratings
from evaluation.agreement import pearson
from evaluation.audit import check
from evaluation.card import missing, read_card
from evaluation.reliability import rater_severity
from training.expression import (
    Examples,
    ExpressionRecipe,
    Head,
    TemporalHead,
    batch,
    examples,
    fitted,
    judge,
    measures_only,
    references,
    run,
    series_of,
)
from training.expression_card import measuring_card
from training.facts import Facts
from training.publish import Built, write
from training.stability import CHANGES

SHIPPED = Path(__file__).resolve().parents[2] / "training" / "starter" / "expression"

CONFIG = configs.load(
    "expression",
    ExpressionRecipe,
    trials=1,
    outer_folds=2,
    inner_folds=2,
    epochs=20,
    hidden=(8, 8),
    dropout=(0.6, 0.6),
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rated")


@pytest.fixture(scope="module")
def planted(folder: Path) -> pd.DataFrame:
    return simulate_ratings(folder, n_people=120, seed=3)


@pytest.fixture(scope="module")
def rated(folder: Path, planted: pd.DataFrame) -> Examples:
    return examples(folder, folder)


@pytest.fixture(scope="module")
def built(folder: Path, planted: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return run(CONFIG, folder, tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("target", TARGETS)
def test_scores_of_unseen_people_follow_the_planted_truth_as_well_as_the_ratings_do(
    built: Built, planted: pd.DataFrame, target: str
) -> None:
    both = built.predictions.merge(planted, on=["person", "item", "target"], suffixes=("", "_true"))
    both = both[both["target"] == target]
    ceiling = pearson(both["rating"], both["score_true"])
    assert pearson(both["score"], both["score_true"]) >= 0.9 * ceiling


def test_planted_severity_of_raters_comes_back() -> None:
    random = np.random.default_rng(1)
    severity = np.array([-9.0, 0.0, 2.0, 7.0])
    ratings = random.normal(60, 12, (300, 1)) - severity + random.normal(0, 5, (300, 4))
    ratings[random.random(ratings.shape) < 0.4] = np.nan
    assert rater_severity(ratings) == pytest.approx(severity, abs=1.5)


def test_severity_is_that_of_dense_least_squares_where_raters_hardly_overlap() -> None:
    """A chain of raters: each shares one recording with the next."""
    raters = 40
    ratings = np.full((raters - 1 + 200, raters), np.nan)
    random = np.random.default_rng(0)
    for link in range(raters - 1):
        ratings[link, link : link + 2] = random.uniform(0, 100, 2)
    for row in range(raters - 1, len(ratings)):
        ratings[row, random.integers(raters)] = random.uniform(0, 100)
    item, rater = np.nonzero(~np.isnan(ratings))
    design = np.zeros((len(item), sum(ratings.shape)))
    design[np.arange(len(item)), item] = 1
    design[np.arange(len(item)), len(ratings) + rater] = -1
    known = ratings[item, rater]
    dense = np.linalg.lstsq(design, known, rcond=None)[0][len(ratings) :]
    assert rater_severity(ratings) == pytest.approx(dense - dense.mean(), abs=1e-4)


def test_an_item_of_two_people_is_refused(tmp_path: Path) -> None:
    simulate_ratings(tmp_path, n_people=10, seed=0)
    table = pd.read_csv(tmp_path / "ratings.csv")
    table.loc[table["item"] == "p0001-0", "item"] = "p0000-0"
    table.to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(BadTable, match=r"items are of more than one person, e\.g\. p0000-0"):
        examples(tmp_path, tmp_path)


def test_other_features_of_the_same_people_are_learned_from_anew(
    rated: Examples, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"epochs": 1})
    head, train = Head(8, 0.2), np.arange(20)
    fitted(config, head, rated, train, tmp_path)
    fitted(config, head, rated, train, tmp_path)
    assert len(list(tmp_path.glob("checkpoints/*.pt"))) == 1
    other = [(features + 1, mask) for features, mask in rated.series]
    fitted(config, head, replace(rated, series=other), train, tmp_path)
    assert len(list(tmp_path.glob("checkpoints/*.pt"))) == 2


def test_a_target_nobody_rated_on_a_recording_is_missing_there_and_nowhere_else(
    tmp_path: Path,
) -> None:
    simulate_ratings(tmp_path, n_people=10, seed=0)
    table = pd.read_csv(tmp_path / "ratings.csv")
    unrated = (table["item"] == "p0004-0") & (table["target"] == TARGETS[1])
    table[~unrated].to_csv(tmp_path / "ratings.csv", index=False)
    found = examples(tmp_path, tmp_path)
    place = (found.table["item"] == "p0004-0").to_numpy(), found.targets.index(TARGETS[1])
    assert np.isnan(found.ratings[place]).all()
    assert np.isnan(found.ratings).sum() == 1


def test_a_rater_who_rated_only_the_best_is_not_taken_for_lenient() -> None:
    quality = np.array([20.0, 40, 60, 80, 90])
    ratings = np.stack([quality, quality, np.where(quality > 70, quality, np.nan)], axis=1)
    assert rater_severity(ratings) == pytest.approx([0, 0, 0], abs=1e-3)


def test_raters_without_a_common_recording_cannot_be_compared() -> None:
    ratings = np.array([[50, 60, np.nan, np.nan], [np.nan, np.nan, 40, 30]])
    with pytest.raises(UndefinedMetric, match="common recording"):
        rater_severity(ratings)


def test_what_is_masked_changes_no_score(rated: Examples) -> None:
    model = TemporalHead(Head(8, 0.0), 2).eval()
    model.fit_scaling(rated.series[:20], rated.ratings[:20])
    features, mask = (torch.as_tensor(part)[None] for part in rated.series[0])
    noise = torch.randn(1, 30, features.shape[2])
    longer = torch.cat([features, noise], dim=1), torch.cat([mask, torch.zeros(1, 30)], dim=1)
    with torch.no_grad():
        assert torch.allclose(model(features, mask), model(*longer), atol=1e-3)


def test_a_killed_fit_goes_on_from_its_checkpoint_to_the_same_head(
    rated: Examples, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"epochs": 4, "checkpoint_every": 2})
    head, train = Head(8, 0.2), np.arange(40)
    whole = fitted(config, head, rated, train, tmp_path / "whole")
    store = tmp_path / "killed"

    class KilledError(Exception):
        pass

    def after_checkpoint(*_: object) -> None:
        if list(store.glob("checkpoints/*.pt")):
            raise KilledError

    handle = torch.nn.modules.module.register_module_forward_pre_hook(after_checkpoint)
    try:
        with pytest.raises(KilledError):
            fitted(config, head, rated, train, store)
    finally:
        handle.remove()
    resumed = fitted(config, head, rated, train, store)
    for name, values in whole.state_dict().items():
        assert torch.allclose(values, resumed.state_dict()[name], atol=1e-5), name


def test_the_published_head_judges_new_people_as_well(
    built: Built, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    version = write(built, tmp_path / "version", change="first")
    simulate_ratings(tmp_path / "others", n_people=40, seed=9)
    rows = judge(version, tmp_path / "others", tmp_path)
    pearsons = {row.target: row.value for row in rows if row.metric == "pearson"}
    assert set(pearsons) == set(TARGETS)
    assert min(pearsons.values()) > 0.6
    assert missing(read_card(version)) == []
    assert [row for row in check(version) if row.differences] == []


def test_the_exported_head_takes_any_length_and_number(built: Built, rated: Examples) -> None:
    session = onnxruntime.InferenceSession(built.files["head.onnx"])
    for n, times in ((1, 7), (3, 150)):
        points = session.run(
            ["points"],
            {
                "features": np.zeros((n, times, len(EXPRESSION.columns)), np.float32),
                "mask": np.ones((n, times), np.float32),
            },
        )[0]
        assert points.shape == (n, len(TARGETS))


def test_intervals_cover_nine_tenths_of_the_ratings_of_people_never_learned_from(
    built: Built, tmp_path: Path
) -> None:
    simulate_ratings(tmp_path, n_people=300, seed=21)
    others = examples(tmp_path, tmp_path)
    session = onnxruntime.InferenceSession(built.files["head.onnx"])
    features, mask = batch(others.series)
    given = {"features": features.numpy(), "mask": mask.numpy()}
    points = np.clip(session.run(["points"], given)[0], 0, 100)
    for j, target in enumerate(built.manifest.targets):
        inside = np.abs(others.ratings[:, j] - points[:, j]) <= target.half_width
        assert 0.86 <= inside.mean() <= 0.97, target.name


def test_the_starter_measures_does_not_score_and_says_why(tmp_path: Path) -> None:
    manifest = read_manifest(SHIPPED)
    assert manifest.feature_set == EXPRESSION.id
    assert (manifest.artifact, manifest.targets) == ("", ())
    card = read_card(SHIPPED)
    fresh = measuring_card((), Facts())
    assert card.limitations == fresh.limitations
    assert card.measures == fresh.measures
    assert manifest.references == {
        column.name: column.reference for column in EXPRESSION_MEASURES if column.reference
    }
    assert "no score" in str(card.metrics.rows)
    assert missing(card) == []
    with pytest.raises(UndefinedMetric, match="no head"):
        judge(SHIPPED, tmp_path, tmp_path)


def test_a_series_with_other_columns_is_refused(
    folder: Path, planted: object, tmp_path: Path
) -> None:
    series = load_series(next((folder / "series").glob("*.npz")))
    narrow = type(series)(**{**vars(series), "values": series.values[:, :3]})
    save_series(narrow, tmp_path / "narrow.npz")
    with pytest.raises(ContractMismatch, match="columns"):
        load_series(tmp_path / "narrow.npz")


def test_a_rated_recording_without_a_series_is_named(tmp_path: Path) -> None:
    simulate_ratings(tmp_path, n_people=10, seed=0)
    (tmp_path / "series" / "p0003-1.npz").unlink()
    with pytest.raises(FileNotFoundError, match="p0003-1"):
        examples(tmp_path, tmp_path)


def test_a_rated_recording_is_watched_once_and_kept_by_its_content(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed, store = tmp_path / "recordings", tmp_path / "store"
    filmed.mkdir()
    shutil.copy(shared_data / "recordings" / "silent.mp4", filmed / "a.mp4")
    (watched,) = series_of(tmp_path, ["a"], store)
    measured = expression_measures(watched, configs.load("expression_measures", ExpressionConfig))
    assert measured["smile_share"] > 0.9

    def absent() -> None:
        pytest.fail("it was watched again")

    monkeypatch.setattr("training.expression.FaceTracker", absent)
    (filmed / "a.mp4").rename(filmed / "b.mp4")
    (filmed / "b.srt").write_text("1")
    (again,) = series_of(tmp_path, ["b"], store)
    assert np.array_equal(again.values, watched.values, equal_nan=True)
    with pytest.raises(FileNotFoundError, match=r"1 rated recordings .* e\.g\. c"):
        series_of(tmp_path, ["b", "c"], store)


def test_thirty_rated_people_are_the_reference_and_fewer_are_not(rated: Examples) -> None:
    found = references(rated)
    assert found["references_source"].startswith("120 rated people")
    low, high = found["references"]["smile_share"]
    smiles = rated.measures["smile_share"].groupby(rated.people).mean().dropna()
    assert ((smiles >= low - 1e-4) & (smiles <= high + 1e-4)).mean() == pytest.approx(0.8, abs=0.05)
    few = rated.people < "p0029"
    part = replace(rated, table=rated.table[few], measures=rated.measures[few])
    assert "rated people" not in references(part)["references_source"]
    published = {"blink_rate", "blink_duration"}
    assert set(references(part)["references"]) == published
    unmeasured = rated.measures.assign(blink_rate=np.nan)
    found = references(replace(rated, measures=unmeasured))
    assert found["references"]["blink_rate"] == EXPRESSION_MEASURES[4].reference
    assert "blink_rate: published" in found["references_source"]


def test_what_serving_would_not_score_is_not_learned_from_and_is_counted(tmp_path: Path) -> None:
    simulate_ratings(tmp_path, n_people=10, seed=0)
    path = tmp_path / "series" / "p0003-1.npz"
    two = load_series(path)
    save_series(replace(two, faces=np.full(len(two.faces), 2)), path)
    whole, found = (
        len(pd.read_csv(tmp_path / "ratings.csv")["item"].unique()),
        examples(tmp_path, tmp_path),
    )
    assert found.left_out == {"several_faces": 1}
    assert "p0003-1" not in set(found.table["item"])
    assert len(found.series) == len(found.ratings) == len(found.measures) == whole - 1
    for other in (tmp_path / "series").glob("*.npz"):
        save_series(replace(two, faces=np.full(len(two.faces), 2)), other)
    with pytest.raises(BadTable, match="no rated recording"):
        examples(tmp_path, tmp_path)


def test_a_folder_with_neither_ratings_nor_a_face_gives_no_version(
    shared_data: Path, tmp_path: Path
) -> None:
    shutil.copy(shared_data / "recordings" / "no_face.mp4", tmp_path / "no_face.mp4")
    (tmp_path / "notes.txt").write_text("not a recording")
    with pytest.raises(FileNotFoundError, match="neither"):
        measures_only(tmp_path)


def test_without_ratings_a_version_measures_and_shows_how_stable_it_is(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shared_data / "recordings" / "silent.mp4", tmp_path / "silent.mp4")
    monkeypatch.setattr("training.stability.CHANGES", CHANGES[:2])
    version = write(run(CONFIG, tmp_path, tmp_path), tmp_path / "version", change="first")
    assert missing(read_card(version)) == []
    assert "silent" not in (version / STABILITY).read_text(), "a file name may be a person's"
    drifts = [row for row in check(version) if row.name == "drift"]
    assert len(drifts) == 2 * len(EXPRESSION_MEASURES)
    assert [row for row in drifts if row.differences] == []
    table = pd.read_csv(version / STABILITY)
    table.loc[(table["change"] == "mirror") & (table["measure"] == "smile_share"), "value"] = 0.1
    table.to_csv(version / STABILITY, index=False)
    moved = [row for row in check(version) if row.differences]
    assert [(row.target, row.where["change"]) for row in moved] == [("smile_share", "mirror")]
    (version / STABILITY).unlink()
    with pytest.raises(ContractMismatch, match=STABILITY):
        check(version)
