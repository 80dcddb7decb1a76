"""What training publishes is what serving loads; anything else is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from data.contract import SPEECH, ContractMismatch
from data.head import HeadGraph
from data.listening import identity
from data.registry import NAMES
from serving.models import load_champions, load_version
from serving.scorer import Scorer
from training.publish import CHAMPION, connect, register

STARTER = Path(__file__).resolve().parents[1] / "training" / "starter"


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow puts the address in use here
    return tmp_path / "state"


def altered(tmp_path: Path, name: str, **changes: object) -> Path:
    """The starter version of `name` with fields of its manifest replaced."""
    folder = shutil.copytree(STARTER / name, tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}")
    manifest = json.loads((folder / "version.json").read_text(encoding="utf-8"))
    (folder / "version.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
    return folder


def test_every_starter_version_is_served_as_it_was_published(starters):
    champions = load_champions()
    assert set(champions) == set(NAMES)
    for name, version in champions.items():
        assert version.version == "1"
        assert version.manifest.name == name
        for path in (STARTER / name).iterdir():
            if path.name not in {"card.json", "card.md"}:
                assert (version.folder / path.name).read_bytes() == path.read_bytes()
        assert json.loads(version.card_json)["identity"]["version"] == "1"


def test_training_and_serving_get_the_same_points_from_one_head(starters):
    version = load_version("speech", "1")
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 1, (3, len(SPEECH.columns))).astype("f4")
    trained = HeadGraph(version.folder / version.manifest.artifact).points(rows)
    served = version.points(rows)
    np.testing.assert_allclose(served, trained.clip(0, 100), atol=1e-4)


def test_a_head_that_cannot_tell_voices_is_refused_where_its_manifest_says_it_does(state, tmp_path):
    limits = {"min_familiarity": 0.5, "max_apart": [4.0]}
    folder = altered(tmp_path, "competency", voice_limits=limits)
    with pytest.raises(ContractMismatch, match="gives no familiarity and voice"):
        served(folder, "competency")


def test_a_missing_champion_is_named_with_what_to_do(state):
    connect()
    with pytest.raises(ContractMismatch, match=r"no champion of speech.*training starter"):
        load_champions()


def served(folder: Path, name: str) -> None:
    client = connect()
    client.set_registered_model_alias(name, CHAMPION, register(folder))
    load_version(name, register(folder))


def test_a_version_trained_on_other_features_is_refused_and_both_ids_are_named(tmp_path, state):
    folder = altered(tmp_path, "speech", feature_set="speech-0-00000000")
    with pytest.raises(ContractMismatch, match=r"speech-0-00000000") as caught:
        served(folder, "speech")
    assert SPEECH.id in str(caught.value)


def test_a_speech_version_of_another_encoders_features_is_refused(tmp_path, state):
    for name in NAMES:
        register(STARTER / name)
    folder = altered(tmp_path, "speech", listened_with="whisper-large-v3-int8-00000000")
    connect().set_registered_model_alias("speech", CHAMPION, register(folder))
    with pytest.raises(ContractMismatch, match="whisper-large-v3-int8-00000000") as caught:
        Scorer.load()
    assert identity() in str(caught.value)


def test_a_manifest_of_newer_code_is_refused(tmp_path, state):
    with pytest.raises(ContractMismatch, match="newer"):
        served(altered(tmp_path, "speech", schema_version=2), "speech")


def test_a_head_with_a_wrong_hash_is_refused(tmp_path, state):
    folder = altered(tmp_path, "speech")
    head = folder / "head.onnx"
    head.write_bytes(head.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ContractMismatch, match="sha256"):
        served(folder, "speech")


def test_a_registry_written_by_newer_code_is_refused(state, tmp_path, monkeypatch):
    connect()
    newer = tmp_path / "newer"  # another address: MLflow checks each database once a process
    shutil.copytree(state, newer)
    with sqlite3.connect(newer / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fromthefuture'")
    monkeypatch.setenv("INTERVIEW_STATE", str(newer))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(ContractMismatch, match=r"registry.*fromthefuture|registry.*schema"):
        load_champions()
