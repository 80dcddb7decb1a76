import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.linear_model import Ridge

import configs
from data.assets import file_sha256
from data.contract import ContractMismatch, UndefinedMetric
from data.jobs import jobs
from data.outcomes import Outcomes
from data.registry import PREDICTIONS, read_manifest
from data.simulate import SimulationConfig, simulate
from data.weights import read_weights, weights_json
from evaluation.audit import check
from evaluation.card import missing, read_card
from training.publish import write
from training.weights import (
    Candidate,
    WeightsRecipe,
    examples,
    fit_weights,
    held_out,
    judge,
    performance,
    refresh,
    run,
    worth,
)

STARTER = Path(__file__).parents[2] / "training" / "starter" / "weights"
RIDGE = Candidate(method="ridge", ridge_penalty=1)


def recipe(**changes: object) -> WeightsRecipe:
    return configs.load("weights", WeightsRecipe, **{"repeats": 1, **changes})


def simulation(**changes: object) -> SimulationConfig:
    clear = {"hire_share": 1, "noise": 0.7, "supervisor_noise": 0.2}
    return configs.load("simulate", SimulationConfig, **{**clear, **changes})


@pytest.fixture(scope="module")
def history_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    simulate(simulation(people=600)).write(folder)
    return folder


@pytest.fixture(scope="module")
def version(history_folder, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("store")
    return write(run(recipe(), history_folder, store), store / "weights", change="first")


def test_planted_weights_come_back_from_two_thousand_hires(tmp_path):
    planted = simulation(people=2000, gap={})
    simulate(planted).write(tmp_path)
    built = run(recipe(scores=[RIDGE]), tmp_path, tmp_path / "store")
    (tmp_path / "weights.json").write_bytes(built.files["weights.json"])
    found = read_weights(tmp_path / "weights.json")[planted.job]
    assert (found.source, found.people) == ("learned", 2000)
    for name, share in planted.weights.items():
        assert found.predictors[name] == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("seed", range(1, 11))
def test_they_come_back_whatever_the_seed(seed):
    planted = simulation(seed=seed, people=2000, gap={})
    x, y, focal = arrays(simulate(planted))
    found = fit_weights(x.to_numpy(), y, focal, [RIDGE], signed=False)[:, 0]
    assert found == pytest.approx(list(planted.weights.values()), abs=0.05)


def test_planted_weights_come_back_where_only_the_better_half_was_hired():
    planted = simulation(people=8000, gap={}, hire_share=0.5)
    x, y, focal = arrays(simulate(planted))
    found = fit_weights(x.to_numpy(), y, focal, [RIDGE], signed=False)[:, 0]
    assert found == pytest.approx(list(planted.weights.values()), abs=0.05)


def test_a_group_penalty_brings_the_impact_ratio_up_and_ridge_alone_does_not(history_folder):
    [history] = examples(recipe(), history_folder)
    penalised = Candidate(method="multi_penalty", ridge_penalty=1, group_penalty=1e6)
    x = history.predictors.to_numpy()
    weights = fit_weights(x, history.criterion, history.focal, [RIDGE, penalised], signed=False)
    composite = x @ weights
    gaps = composite[history.focal == 0].mean(0) - composite[history.focal == 1].mean(0)
    assert gaps[0] > 1.5
    assert abs(gaps[1]) < gaps[0] / 3
    assert (weights >= 0).all()


def test_signed_ridge_equals_scikit_learn_up_to_its_scale():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(200, 8)), random.normal(size=200)
    focal = np.arange(200) % 2.0
    found = fit_weights(x, y, focal, [Candidate(method="ridge", ridge_penalty=30)], signed=True)[
        :, 0
    ]
    expected = Ridge(alpha=30).fit(x, y).coef_
    assert found / np.linalg.norm(found) == pytest.approx(expected / np.linalg.norm(expected))
    assert (x @ found).std() == pytest.approx(10)


def test_a_multi_penalty_equals_ridge_with_the_group_difference_as_one_more_row():
    random = np.random.default_rng(1)
    focal = np.arange(300) % 3 == 0
    x = random.normal(size=(300, 5)) + focal[:, None]
    y = x.sum(axis=1) + random.normal(size=300)
    candidate = Candidate(method="multi_penalty", ridge_penalty=20, group_penalty=400)
    found = fit_weights(x, y, focal.astype(float), [candidate], signed=True)[:, 0]
    z, gap = x - x.mean(0), x[focal].mean(0) - x[~focal].mean(0)
    rows, target = np.vstack([z, 20 * gap]), np.append(y - y.mean(), 0)
    expected = Ridge(alpha=20, fit_intercept=False).fit(rows, target).coef_
    assert found / np.linalg.norm(found) == pytest.approx(expected / np.linalg.norm(expected))


def test_projected_weights_give_both_groups_the_same_mean():
    random = np.random.default_rng(2)
    focal = np.arange(300) % 2 == 0
    x = random.normal(size=(300, 10)) + 0.5 * focal[:, None]
    found = fit_weights(
        x,
        x.sum(axis=1),
        focal.astype(float),
        [Candidate(method="projected", ridge_penalty=5)],
        signed=True,
    )[:, 0]
    assert (x[focal] @ found).mean() == pytest.approx((x[~focal] @ found).mean())


def test_a_severe_supervisor_is_taken_off_performance():
    table = pd.DataFrame(
        {"person": list("abab"), "rater": list("xxyy"), "rating": [5.0, 3.0, 3.0, 1.0]}
    )
    assert performance(table).to_dict() == {"a": 1, "b": -1}


def test_the_worth_of_those_selected_sums_to_the_accuracy_part():
    high, retained = np.array([1.0, 1, 0, 0, 1]), np.array([1.0, 0, 1, 0, 1])
    assert worth(high, retained).sum() / 5 * 100 == pytest.approx(100)
    selected = np.array([True, True, False, False, False])
    assert worth(high, retained)[selected].sum() / 5 * 100 == pytest.approx(
        25 * 2 / 3 + 25 / 3 + 25
    )


def test_a_job_of_which_nobody_has_scores_keeps_its_chosen_weights(tmp_path):
    tables = simulate(simulation(people=300))
    hires = tables.hires
    replace(tables, scores=tables.scores.assign(job="another_job")).write(tmp_path)
    with pytest.raises(UndefinedMetric, match=rf"relationship_manager {len(hires)} \(no scores\)"):
        examples(recipe(), tmp_path)
    half = hires["person"].isin(hires["person"].iloc[:150])
    two = hires.assign(job=np.where(half, "teller", hires["job"]))
    replace(tables, hires=two).write(tmp_path)
    assert [history.job for history in examples(recipe(), tmp_path)] == ["relationship_manager"]


def test_labels_of_groups_are_no_predictor(history_folder):
    [history] = examples(recipe(), history_folder)
    assert set(history.predictors.columns) == set(simulation().weights)


def test_jobs_without_a_history_keep_their_chosen_weights_and_expression_stays_at_zero(version):
    weights = read_weights(version / "weights.json")
    assert set(weights) == set(jobs())
    for key, job in jobs().items():
        entry = weights[key]
        assert entry.predictors["expression"] == 0
        assert sum(entry.predictors.values()) == pytest.approx(1, abs=1e-5)
        if key == "relationship_manager":
            assert entry.source == "learned"
        else:
            assert (entry.source, entry.predictors) == ("chosen", job.weights)


def test_the_card_is_complete_and_its_correlations_recompute_from_the_predictions(version):
    card = read_card(version)
    assert missing(card) == []
    predictions = pd.read_csv(version / PREDICTIONS)
    found = dict(list(predictions.groupby("target")))
    assert set(found) == {
        "relationship_manager.high_performer",
        "relationship_manager.retained",
    }
    rows = [row for row in card.criterion_validity if row.type == "pearson"]
    for row in rows:
        part = found[row.target]
        assert np.corrcoef(part["rating"], part["score"])[0, 1] == pytest.approx(row.value)
    assert [row for row in check(version) if row.differences] == []


def test_an_interrupted_run_goes_on_and_gives_the_same(history_folder, tmp_path):
    config = recipe(repeats=3)
    [history] = examples(config, history_folder)
    first = held_out(config, history, config.scores, tmp_path)
    kept = sorted(tmp_path.glob("weights/*/*.npy"))
    before = [path.stat().st_mtime_ns for path in kept]
    kept[1].unlink()
    again = held_out(config, history, config.scores, tmp_path)
    assert (again == first).all()
    after = [path.stat().st_mtime_ns for path in kept]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_a_version_is_judged_on_other_people_of_the_same_form(version, tmp_path):
    simulate(simulation(people=500, seed=9)).write(tmp_path)
    rows = {row.metric: row for row in judge(version, tmp_path, tmp_path)}
    assert list(rows) == ["selection_score", "accuracy", "impact_ratio", "validity"]
    assert rows["accuracy"].value > 60
    assert rows["accuracy"].low < rows["accuracy"].value < rows["accuracy"].high
    expected = rows["accuracy"].value - 100 * abs(1 - rows["impact_ratio"].value)
    assert rows["selection_score"].value == pytest.approx(expected)


def test_too_few_hires_keep_the_chosen_weights_and_say_so(tmp_path):
    simulate(simulation(people=60)).write(tmp_path)
    with pytest.raises(UndefinedMetric, match=r"need 100 hires.*relationship_manager 60"):
        examples(recipe(), tmp_path)


def test_projecting_out_is_refused_for_weights_that_may_not_be_negative():
    with pytest.raises(ValidationError, match="use multi_penalty"):
        recipe(scores=[Candidate(method="projected", ridge_penalty=1)])


def test_the_starter_holds_the_chosen_weights_of_every_job_and_says_which_are_learned():
    manifest = read_manifest(STARTER)
    weights = read_weights(STARTER / manifest.artifact)
    chosen = {job: dict(entry.predictors) for job, entry in weights.items() if not entry.people}
    assert chosen == {key: dict(job.weights) for key, job in jobs().items()}, (
        "configs/jobs.yaml changed: training.weights.refresh(STARTER)"
    )
    assert {job: entry.source for job, entry in weights.items()} == {
        **dict.fromkeys(jobs(), "chosen"),
        "siop2020": "learned",
    }
    assert "chosen by people" in manifest.learned_from
    card = read_card(STARTER)
    assert missing(card) == []
    assert "unlearned, for every other job" in card.identity.summary
    assert "CC BY-SA 4.0" in " ".join(card.identity.licences)


def test_the_starters_learned_weights_do_better_than_unit_weights():
    selection = next(
        row for row in read_card(STARTER).metrics.rows if row.type == "selection_score"
    )
    assert selection.value > selection.baseline["unit_weights"]


def test_refreshing_puts_todays_chosen_weights_beside_the_learned_ones(tmp_path):
    folder = Path(shutil.copytree(STARTER, tmp_path / "weights"))
    before = read_weights(folder / "weights.json")
    stale = {**before, "teller": before["data_analyst"], "closed_job": before["teller"]}
    (folder / "weights.json").write_bytes(weights_json(stale))
    refresh(folder)
    assert read_weights(folder / "weights.json") == before
    assert read_manifest(folder).sha256 == file_sha256(folder / "weights.json")
    assert read_card(folder).identity.sha256 == read_manifest(folder).sha256


def test_other_high_performers_are_scored_anew(history_folder, tmp_path):
    config = recipe()
    [history] = examples(config, history_folder)
    held_out(config, history, config.scores, tmp_path)
    held_out(
        config, replace(history, high_performer=1 - history.high_performer), config.scores, tmp_path
    )
    assert len(list(tmp_path.glob("weights/*/0.npy"))) == 2


@pytest.fixture(scope="module")
def items(shared_data, tmp_path_factory) -> tuple[Path, Path]:
    """A version learned from two thirds of the real hires, and the folder of the others."""
    folder = tmp_path_factory.mktemp("siop")
    table = pd.read_csv(shared_data / "siop2020" / "hires.csv")
    for name, part in (("known", table.iloc[:4000]), ("others", table.iloc[4000:])):
        (folder / name).mkdir()
        part.to_csv(folder / name / "hires.csv", index=False)
    config = recipe(items=[Candidate(method="projected", ridge_penalty=3000)])
    built = run(config, folder / "known", folder)
    return write(built, folder / "weights", change="first"), folder / "others"


def test_weights_learned_from_real_hires_select_others_better_than_unit_weights(items, tmp_path):
    version, others = items
    rows = {row.metric: row for row in judge(version, others, tmp_path)}
    assert rows["accuracy"].value > 56
    assert rows["selection_score"].value > 48.5
    assert rows["validity"].low > 0.1
    assert rows["selection_score"].n == 1890


def test_weights_of_other_predictors_are_not_used_on_items(version, items, tmp_path):
    with pytest.raises(ContractMismatch, match="no weights for siop2020"):
        judge(version, items[1], tmp_path)


def test_the_starter_can_be_judged_on_a_folder_of_the_form_it_learned_from(items, tmp_path):
    rows = {row.metric: row for row in judge(STARTER, items[1], tmp_path)}
    assert rows["selection_score"].n == 1890
    assert rows["selection_score"].low < rows["selection_score"].value


def arrays(tables: Outcomes) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    y = performance(tables.performance)
    x = tables.scores.pivot(index="person", columns="name", values="score")
    group = tables.groups.set_index("person")["group"].reindex(y.index)
    focal = np.where(group.isna(), np.nan, group == "focal").astype(float)
    return x.loc[y.index, list(simulation().weights)], y.to_numpy(), focal
