"""The speech recipe on forty real utterances: small, but every step is the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from data.contract import SPEECH
from data.corpora import speechocean762
from data.corpora.speechocean762 import ASPECTS
from evaluation.card import missing, recompute
from training.publish import Built, head_points, write
from training.speech import (
    SpeechRecipe,
    by_utterance,
    examples,
    held_out,
    judge,
    projection,
    references,
    run,
)


@pytest.fixture(scope="module")
def folder(shared_data, tmp_path_factory) -> Path:
    """Ten speakers, adults and children, four utterances each."""
    source = shared_data / "speechocean762"
    table = pd.read_csv(source / "ratings.csv", dtype={"utt": str, "speaker": str})
    people = table.drop_duplicates("speaker").sort_values("age")["speaker"]
    chosen = [*people.iloc[:5], *people.iloc[-5:]]
    part = table[table["speaker"].isin(chosen)].groupby("speaker").head(4)
    target = tmp_path_factory.mktemp("speechocean762")
    part.to_csv(target / "ratings.csv", index=False)
    (target / "audio").symlink_to(source / "audio")
    return target


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def config() -> SpeechRecipe:
    return configs.load(
        "speech", SpeechRecipe, trials=2, outer_folds=2, inner_folds=2, components=(3, 6)
    )


@pytest.fixture(scope="module")
def built(config, folder, store) -> Built:
    return run(config, folder, store)


def test_the_card_lacks_only_what_publishing_fills_in(built):
    assert missing(built.card) == [
        "identity.version",
        "identity.sha256",
        "identity.run",
        "identity.git_commit",
    ]


def test_the_cards_metrics_come_out_of_its_predictions_again(built):
    checked = [pair for pair in recompute(built.predictions, built.card) if pair[1] is not None]
    assert len(checked) > 20
    for row, value in checked:
        assert value == pytest.approx(row.value, abs=1e-6), row


def test_every_utterance_is_scored_by_a_head_that_never_saw_its_speaker(
    config, folder, store, built
):
    rated = examples(folder, store, workers=1)
    scores = held_out(config, rated, store)
    assert np.isfinite(scores).all()
    one = built.predictions[built.predictions["target"] == "fluency"]
    np.testing.assert_allclose(one["score"], scores[:, 0])
    assert len(one) == len(rated.table)


def test_the_published_graph_gives_what_judging_reads_from_it(built, folder, store, tmp_path):
    version = write(built, tmp_path / "speech")
    rows = examples(folder, store, workers=1).rows
    points = head_points(version, built.manifest, rows)
    assert points.shape == (len(rows), len(ASPECTS))
    rating = examples(folder, store, workers=1).mean()
    assert np.corrcoef(points[:, 0], rating[examples(folder, store, workers=1).owner, 0])[0, 1] > 0
    first = judge(version, folder, store)[0]
    assert (first.metric, first.target, first.people) == ("pearson", "fluency", "all")
    assert first.low <= first.value <= first.high


def test_the_manifest_names_the_features_and_where_the_version_is_valid(built):
    assert built.manifest.feature_set == SPEECH.id
    assert [target.name for target in built.manifest.targets] == list(ASPECTS)
    assert built.manifest.validated_languages == ("en",)
    assert built.manifest.validated_settings == ("read_aloud",)
    assert built.manifest.language_bound


def test_reference_ranges_leave_out_what_a_single_sentence_cannot_say(folder, store):
    found = references(examples(folder, store, workers=1))
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


def test_a_folder_without_ratings_says_what_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ratings\.csv"):
        speechocean762.read(tmp_path)
