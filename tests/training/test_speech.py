"""The speech recipe on forty real utterances: small, but every step is the real one."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import Wav2Vec2Config, Wav2Vec2Model

import configs
from data.contract import SPEECH, UndefinedMetric
from data.corpora import speechocean762
from data.corpora.speechocean762 import ASPECTS
from data.head import HeadGraph
from data.registry import ROBUSTNESS
from evaluation.audit import check
from evaluation.calibration import conformal_half_width
from evaluation.card import missing
from evaluation.rows import Intervals
from training import robustness
from training.conditions import CONDITIONS
from training.publish import Built, write
from training.rated import Examples, answers, examples
from training.speech import (
    Fitted,
    Head,
    SpeechRecipe,
    by_utterance,
    held_out,
    judge,
    learn,
    onnx_head,
    prediction_table,
    projection,
    references,
    run,
)
from training.speech_card import _abstention, calibration


@pytest.fixture(scope="module")
def folder(shared_data, tmp_path_factory) -> Path:
    """Ten adults and four children, three utterances each."""
    source = shared_data / "speechocean762"
    table = pd.read_csv(source / "ratings.csv", dtype={"utt": str, "speaker": str})
    people = table.drop_duplicates("speaker").sort_values("age")["speaker"]
    chosen = [*people.iloc[:4], *people.iloc[-10:]]
    part = table[table["speaker"].isin(chosen)].groupby("speaker").head(3)
    target = tmp_path_factory.mktemp("speechocean762")
    part.to_csv(target / "ratings.csv", index=False)
    (target / "audio").symlink_to(source / "audio")
    stated = "{name: fourteen speakers, languages: [en], settings: [read_aloud]}"
    (target / "dataset.yaml").write_text(stated)
    return target


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def config() -> SpeechRecipe:
    recipe = configs.load("speech", SpeechRecipe)
    return recipe.model_copy(
        update={
            **{"trials": 2, "outer_folds": 2, "inner_folds": 2, "components": (3, 6)},
            "recorded_worse": 1,
        }
    )


TRIED = tuple(
    condition
    for condition in reversed(CONDITIONS)
    if condition.name
    in ("gain -12 dB", "white noise 5 dB", "another voice 0 dB", "AMR 12.2 kbit/s")
)
"""Every one is tested by itself in test_conditions.py."""


@pytest.fixture(scope="module", autouse=True)
def fewer_conditions():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "CONDITIONS", TRIED)
        yield


@pytest.fixture(scope="module")
def built(config, folder, store) -> Built:
    return run(config, folder, store)


@pytest.fixture(scope="module")
def rated(folder, store) -> Examples:
    return examples(folder, store, languages=("en",), whole=False, workers=1, seed=0)


def test_the_card_lacks_only_what_publishing_fills_in(built, added_by_publishing):
    assert set(missing(built.card)) == added_by_publishing


def test_the_cards_rows_come_out_of_its_predictions_again(built, tmp_path):
    checked = check(write(built, tmp_path / "speech", change="first"))
    assert {"pearson", "bias", "qwk", "partial_pearson", "icc_2_1", "half_width", "coverage"} | {
        *("pearson_in_answer", "bias_in_answer", "pearson_of_two_raters")
    } <= {row.name for row in checked if row.recomputed is not None}
    assert [row for row in checked if row.differences] == []


def test_too_few_adults_for_an_interval_are_an_error_and_not_an_interval_of_zero(rated):
    scores = np.full((len(rated.table), len(ASPECTS)), 50.0)
    few = prediction_table(rated, scores, scores, scores)
    few.loc[few["person"] != rated.people[-1], "age_group"] = "child"
    served = Intervals.of(calibration(few, level=0.9))
    with pytest.raises(UndefinedMetric, match="Rate more people"):
        served.target("fluency", few)


def test_half_widths_are_those_of_adults(built):
    for target in built.manifest.targets:
        rows = built.predictions[built.predictions["target"] == target.name]
        grown = rows[rows["age_group"] == "adult"]
        exact = conformal_half_width(grown["rating"], grown["score"], by=grown["person"])
        assert exact <= target.half_width < exact + 0.01
        assert target.bands == ()  # ten adults are too few to part
    slices = [row.slice for row in built.card.calibration.coverage if row.target == "fluency"]
    assert {"age_group": "adult", "score_band": "low"} in slices


def test_a_speakers_ratings_move_the_scores_of_others_and_not_their_own(config, rated, store):
    first = held_out(config, rated, store).scores
    one = rated.people == rated.people[0]
    table = rated.table.copy()
    columns = [name for name in table if str(name).startswith(ASPECTS)]
    table.loc[one, columns] = 10 - table.loc[one, columns]
    again = held_out(config, replace(rated, table=table), store).scores
    np.testing.assert_array_equal(again[one], first[one])
    assert not np.allclose(again[~one], first[~one])


@pytest.fixture(scope="module")
def learned(config, rated, store) -> Fitted:
    head = Head(components=5, length_scale=30, noise=0.3, measures_weight=2)
    return learn(config, head, rated, np.arange(len(rated.table)), store, name="graph")


def test_the_published_graph_gives_what_was_learned(learned, rated, tmp_path):
    (tmp_path / "head.onnx").write_bytes(onnx_head(learned, targets=len(ASPECTS)))
    head = HeadGraph(tmp_path / "head.onnx")
    assert head.reads == {"features"}
    nearby = rated.rows * np.random.default_rng(0).normal(1, 0.02, rated.rows.shape)
    for rows in (rated.rows, nearby.astype(np.float32), rated.in_answers.rows):
        assert head.points(rows).std() > 1
        np.testing.assert_allclose(head.points(rows), learned.points(rows, ()), atol=0.4)


def test_the_published_graph_hears_what_was_learned(learned, rated, tmp_path):
    (tmp_path / "head.onnx").write_bytes(onnx_head(learned, targets=len(ASPECTS)))
    familiar, voices = HeadGraph(tmp_path / "head.onnx").sounds(rated.rows)
    exact = learned.voices.familiarity(rated.rows)
    np.testing.assert_allclose(familiar, exact, rtol=0.05)
    assert np.median(exact) == pytest.approx(1, abs=0.1)
    wanted = learned.voices.voices(rated.rows)
    assert voices.shape == wanted.shape
    assert np.abs(voices - wanted).mean() < 0.1 * np.abs(wanted).mean()


def test_every_utterance_is_also_said_between_others_of_its_person(rated):
    within = rated.in_answers
    assert set(within.owner) == set(range(len(rated.table)))
    people = rated.people[within.owner]
    for answer in np.unique(within.answer):
        assert len(set(people[within.answer == answer])) == 1
    alone = np.bincount(rated.owner, rated.durations_s)
    beside = np.bincount(within.owner, within.durations_s)
    assert np.median(np.abs(beside - alone)) < 0.15
    rows, owner = rated.learned_from(np.array([0, 1]), worse=False)
    assert (
        len(rows)
        == len(owner)
        == np.isin(rated.owner, [0, 1]).sum() + np.isin(within.owner, [0, 1]).sum()
    )


def test_every_utterance_is_also_recorded_worse_unless_it_is_refused(rated):
    learned = np.unique(rated.worse.owner)
    assert 0.8 * len(rated.table) < len(learned) <= len(rated.table)
    both = learned[np.isin(learned, rated.owner)]
    first = {int(i): k for k, i in reversed(list(enumerate(rated.owner)))}
    again = {int(i): k for k, i in reversed(list(enumerate(rated.worse.owner)))}
    moved = [np.abs(rated.rows[first[i]] - rated.worse.rows[again[i]]).mean() for i in both]
    assert min(moved) > 1e-4
    everything, _ = rated.learned_from(np.arange(len(rated.table)), worse=True)
    assert len(everything) == len(rated.rows) + len(rated.in_answers.rows) + len(rated.worse.rows)


def test_other_conditions_are_another_cache(config, folder, store, tmp_path, monkeypatch, rated):
    """What was recorded worse in one way is not taken for what was in another."""
    monkeypatch.setattr(robustness, "CONDITIONS", TRIED[:1])
    for name in ("ratings.csv", "dataset.yaml"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "audio").symlink_to(folder / "audio")
    table = pd.read_csv(tmp_path / "ratings.csv", dtype=str).head(6)
    table.to_csv(tmp_path / "ratings.csv", index=False)
    again = examples(tmp_path, store, languages=("en",), whole=False, workers=1, seed=0)
    assert len(again.worse.rows) >= 5
    assert TRIED[0].learned
    known = np.isin(rated.table["item"].iloc[rated.worse.owner], again.table["item"])
    assert not np.allclose(again.worse.rows[0], rated.worse.rows[known][0])


def test_answers_are_of_one_person_and_of_all_their_sentences_once():
    people = np.array(["b"] * 8 + ["a"] * 3)
    found = answers(people, seed=1)
    assert sorted(map(len, found)) == [2, 3, 6]
    assert sorted(np.concatenate(found)) == list(range(11))
    assert all(len(set(people[rows])) == 1 for rows in found)


def test_the_card_says_how_often_answers_are_taken_for_several_voices(built):
    rows = {row.group: row for row in built.card.abstention if row.column == "voices"}
    assert [row.n for row in rows.values()] == [14, 14, rows[list(rows)[-1]].n]
    familiar = {r.group: r for r in built.card.abstention if r.column == "familiarity"}
    assert familiar["adult"].n + familiar["child"].n == familiar["everybody"].n == 42
    assert built.manifest.voice_limits.min_familiarity > 0.3
    assert len(built.manifest.voice_limits.max_apart) == 2  # of two and of three sentences


def test_ratings_that_experts_disagree_about_are_doubted(rated):
    doubt = rated.doubt()
    assert doubt.mean(axis=0) == pytest.approx(1)
    spread = np.nanvar(speechocean762.ratings(rated.table, "fluency"), axis=1)
    assert np.corrcoef(doubt[:, 0], spread)[0, 1] == pytest.approx(1)
    assert doubt.min() >= 0.4


def test_worse_recordings_are_of_every_adult_in_every_condition(built, rated, config):
    worse = pd.read_csv(io.BytesIO(built.files[ROBUSTNESS]), dtype={"person": str, "item": str})
    assert set(worse["condition"]) == {"plain", *(c.name for c in TRIED)}
    adults = rated.table[rated.table["age_group"] == "adult"]
    assert len(set(worse["person"])) > 5
    assert set(worse["person"]) <= set(adults["person"])
    plain = worse[worse["condition"] == "plain"]
    assert len(plain) == config.recorded_worse * worse["person"].nunique() * len(ASPECTS)
    np.testing.assert_array_equal(plain["score"], plain["plain"])
    # Each by the head that was not fitted on the speaker, as in the card's other tables.
    held = built.predictions.merge(plain, on=["person", "item", "target"], suffixes=("", "_plain"))
    assert len(held) == len(plain)
    np.testing.assert_allclose(held["score"], held["score_plain"], atol=1e-3)
    softer = [row for row in built.card.robustness if row.condition == "gain -12 dB"]
    assert max(row.median for row in softer) < 1


def test_judging_gives_the_agreement_of_the_published_graph(built, rated, folder, store, tmp_path):
    version = write(built, tmp_path / "speech", change="first")
    head = HeadGraph(version / built.manifest.artifact)
    points = np.clip(head.points(rated.rows), 0, 100)
    scores = by_utterance(points, rated.owner, rated.durations_s, np.arange(len(rated.table)))
    first = judge(version, folder, store)[0]
    assert (first.metric, first.target, first.people) == ("pearson", "fluency", "all")
    expected = np.corrcoef(rated.median()[:, 0], scores[:, 0])[0, 1]
    assert first.value == pytest.approx(expected)
    assert first.low <= first.value <= first.high


def test_a_folder_that_states_nothing_is_called_unknown_and_validates_nothing(
    config, folder, store, tmp_path
):
    for name in ("ratings.csv", "audio"):
        (tmp_path / name).symlink_to(folder / name)
    built = run(config, tmp_path, store)
    assert built.card.data.consent_basis == "unknown: the folder states nothing"
    assert "unknown" in built.card.metrics.by_codec
    assert (built.manifest.validated_languages, built.manifest.validated_settings) == ((), ())


def test_an_utterance_without_speech_is_counted_for_its_group(rated):
    unheard = rated.table.iloc[:1].assign(item="silent", age_group="adult", gender="f")
    scores = np.full((len(rated.table), len(ASPECTS)), 50.0)
    table = prediction_table(replace(rated, unheard=unheard), scores, scores, scores)
    rows = {(row.column, row.group): row for row in _abstention(table[table["target"] == "total"])}
    assert rows["all", "everybody"].abstained == rows["gender", "f"].abstained == 1
    assert rows["gender", "m"].abstained == 0


def test_the_manifest_names_the_features_and_where_the_version_is_valid(built):
    assert built.manifest.feature_set == SPEECH.id
    assert [target.name for target in built.manifest.targets] == list(ASPECTS)
    assert built.manifest.validated_languages == ("en",)
    assert built.manifest.validated_settings == ("read_aloud",)
    assert built.manifest.language_bound


def test_reference_ranges_leave_out_what_a_single_sentence_cannot_say(rated):
    found = references(rated)
    assert {"pause_ratio", "longest_pause", "f0_level"}.isdisjoint(found)
    assert all(low < high for low, high in found.values())


def test_stretches_are_averaged_by_their_duration():
    points = np.array([[10.0], [40.0], [70.0]])
    owner, seconds = np.array([4, 4, 9]), np.array([1.0, 3.0, 2.0])
    found = by_utterance(points, owner, seconds, np.array([4, 9]))
    np.testing.assert_allclose(found, [[32.5], [70.0]])


def test_the_first_components_of_a_wide_projection_are_those_of_a_narrow_one():
    random = np.random.default_rng(0)
    factors = random.normal(size=(60, 6)) * 4.0 ** -np.arange(6)
    rows = factors @ random.normal(size=(6, len(SPEECH.columns)))
    wide = projection(6, 1.0).fit_transform(rows)[:, :3]
    narrow = projection(3, 1.0).fit_transform(rows)[:, :3]
    for i in range(3):
        assert abs(np.corrcoef(wide[:, i], narrow[:, i])[0, 1]) > 0.99


def test_a_folder_that_rates_one_aspect_by_two_experts_gives_a_version_of_it(
    config, folder, store, tmp_path
):
    table = pd.read_csv(folder / "ratings.csv", dtype={"utt": str, "speaker": str})
    own = table[["utt", "speaker", "fluency_e1", "fluency_e2"]].assign(age_group="adult")
    own.to_csv(tmp_path / "ratings.csv", index=False)
    (tmp_path / "audio").symlink_to(folder / "audio")
    built = run(config, tmp_path, store)
    assert [target.name for target in built.manifest.targets] == ["fluency"]
    assert built.card.identity.summary.startswith("Fluency of speech")
    version = write(built, tmp_path / "speech", change="first")
    assert {row.target for row in judge(version, folder, store)} == {"fluency"}
    assert not any(row.differences for row in check(version))


def test_a_folder_without_ratings_says_what_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ratings\.csv"):
        speechocean762.read(tmp_path)


def test_a_whole_encoder_goes_through_the_recipe_into_the_published_graph(
    config, folder, store, tmp_path, monkeypatch
):
    """As on a GPU, with a tiny wav2vec 2.0 of random weights."""
    raw = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(16, 16), conv_kernel=(10, 8), conv_stride=(16, 20), num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, mask_time_prob=0.0,
    )  # fmt: skip
    Wav2Vec2Model(raw).save_pretrained(tmp_path / "encoder")
    recipe = config.tuning.model_copy(update={"encoder": str(tmp_path / "encoder"), "epochs": 1})
    whole = config.model_copy(update={"tuning": recipe, "trials": 1, "recorded_worse": 1})
    monkeypatch.setattr(robustness, "CONDITIONS", TRIED[:1])
    built = run(whole, folder, store)
    version = write(built, tmp_path / "speech", change="another encoder")
    head = HeadGraph(version / built.manifest.artifact)
    assert head.reads == {"features", "waveform"}
    rated = examples(folder, store, languages=("en",), whole=True, workers=1, seed=0)
    points = head.points(rated.rows, waveforms=rated.waveforms)
    other = [np.roll(part, 1600) for part in rated.waveforms]
    assert np.abs(head.points(rated.rows, waveforms=other) - points).max() > 1e-4
    judged = {(row.metric, row.target, row.people): row for row in judge(version, folder, store)}
    assert np.isfinite(judged["pearson", "fluency", "all"].value)
