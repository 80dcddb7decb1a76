import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from data.contract import SPEECH, ContractMismatch
from data.head import HeadGraph
from data.registry import CARD, CARD_MARKDOWN, MANIFEST, PREDICTIONS, read_manifest
from evaluation.card import Card, missing, read_card
from training.publish import (
    Built,
    CardIncomplete,
    champion,
    download,
    git_commit,
    publish,
    register,
    register_starter,
    tracked,
    write,
    write_card,
)

Build = Callable[..., Built]


@pytest.fixture
def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": ["007", "007", "8"],
            "item": ["a", "b", "c"],
            "target": "fluency",
            "rating": [50.0, 61.0, 72.0],
            "score": [48.12345, 60.0, 75.5],
            "gender": ["f", "f", None],
        }
    )


@pytest.fixture
def built(build: Build, predictions: pd.DataFrame) -> Built:
    return build(predictions)


def names(client: MlflowClient) -> list[str]:
    return [model.name for model in client.search_registered_models()]


def test_what_is_published_is_what_is_downloaded(client: MlflowClient, built: Built) -> None:
    folder = download(client, "speech", publish(built, change="more speakers"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [CARD, CARD_MARKDOWN, MANIFEST, PREDICTIONS, "head.onnx"]
    )
    assert (folder / "head.onnx").read_bytes() == built.files["head.onnx"]
    assert read_manifest(folder) == built.manifest
    found = pd.read_csv(folder / PREDICTIONS, dtype={"person": str})
    pd.testing.assert_frame_equal(found, built.predictions.round(4))


def test_the_downloaded_head_gives_the_points_of_the_published_one(
    client: MlflowClient, built: Built
) -> None:
    folder = download(client, "speech", publish(built, change="more speakers"))
    features = np.array([[1, 2, 4], [0, 0, 1]], np.float32)
    points = HeadGraph(folder / "head.onnx").points(features)
    assert points == pytest.approx(np.array([[14.0], [0.5]]))


def test_the_published_card_is_complete_and_says_which_version_run_file_and_code_it_is_of(
    client: MlflowClient, built: Built
) -> None:
    with tracked("training") as run:
        version = publish(built, change="first")
    card = read_card(download(client, "speech", version))
    assert missing(card) == []
    identity = card.identity
    assert identity.version == version == "1"
    assert identity.sha256 == hashlib.sha256(built.files["head.onnx"]).hexdigest()
    assert identity.run == identity.registered_by == run.info.run_id
    assert identity.git_commit == git_commit()
    assert re.fullmatch(r"[0-9a-f]{40}(-changed)?|unknown", identity.git_commit)


def test_registering_elsewhere_keeps_the_run_and_the_code_of_the_training(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    with tracked("training") as training:
        folder = write(built, tmp_path / "speech", change="first")
    card = read_card(folder)
    assert missing(card) == []
    assert card.identity.version == "not registered"
    before = card.with_identity(git_commit="60a5733")
    write_card(before, folder)
    after = read_card(download(client, "speech", register(folder))).identity
    assert (after.run, after.git_commit) == (training.info.run_id, "60a5733")
    assert after.registered_by not in {training.info.run_id, "not registered"}


def test_a_later_version_says_what_changed_before_what_changed_earlier(
    client: MlflowClient, built: Built
) -> None:
    for change in ("first", "more speakers", "wider kernel"):
        version = publish(built, change=change)
    card = read_card(download(client, "speech", version))
    assert card.identity.change_since_last == "wider kernel"
    log = [line.change for line in card.change_log]
    assert log == ["wider kernel", "more speakers", "first"]
    with pytest.raises(CardIncomplete, match="change_since_last"):
        publish(built, change=" ")


def test_the_saved_folder_is_what_was_registered(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    version = publish(built, change="first", save=tmp_path / "saved")
    registered = read_card(download(client, "speech", version)).identity
    assert read_card(tmp_path / "saved").identity == registered.model_copy(
        update={"version": "not registered", "registered_by": "not registered"}
    )


def test_an_updated_starter_takes_the_place_of_the_starter_before(
    client: MlflowClient, built: Built, build: Build, tmp_path: Path
) -> None:
    folder = write(built, tmp_path / "speech", change="first")
    assert register_starter(client, folder, "speech") == "version 1 registered, champion"
    assert register_starter(client, folder, "speech") == "version 1 is the champion already"
    write(build(built.predictions, slope=5.0), folder, change="flatter")
    said = register_starter(client, folder, "speech")
    assert said == "version 2 registered, champion in place of starter version 1"
    assert champion(client, "speech") == "2"
    assert register_starter(client, folder, "speech") == "version 2 is the champion already"


def test_a_champion_that_is_no_starter_stays_and_it_is_said(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    publish(built, change="learned here")
    folder = write(built, tmp_path / "speech", change="shipped")
    said = register_starter(client, folder, "speech")
    assert said == "version 1 is the champion already and no starter: it stays"
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(manifest.replace(SPEECH.id, "speech-newer"))
    said = register_starter(client, folder, "speech")
    assert said.endswith("it stays, though this code reads speech-newer")
    assert champion(client, "speech") == "1"


def test_metrics_are_logged_in_the_run_of_the_version(client: MlflowClient, built: Built) -> None:
    version = client.get_model_version("speech", publish(built, change="more speakers"))
    run = client.get_run(version.run_id)
    assert run.data.metrics == {"fluency_pearson": 0.5}
    assert run.info.status == "FINISHED"


def test_the_first_version_becomes_champion_and_the_second_does_not(
    client: MlflowClient, built: Built
) -> None:
    assert champion(client, "speech") is None
    assert [publish(built, change="more speakers"), publish(built, change="more speakers")] == [
        "1",
        "2",
    ]
    assert champion(client, "speech") == "1"


def test_two_versions_published_in_one_run_keep_their_own_files(
    client: MlflowClient, built: Built
) -> None:
    with tracked("two"):
        versions = [publish(built, change="more speakers"), publish(built, change="more speakers")]
        assert mlflow.active_run() is not None
    folders = [download(client, "speech", version) for version in versions]
    assert [read_card(folder).identity.version for folder in folders] == versions


@pytest.mark.parametrize("field", ["oversight", "reliability"])
def test_an_empty_card_field_is_named_and_nothing_is_left_in_the_registry(
    client: MlflowClient, built: Built, complete_card: Card, field: str, build: Build
) -> None:
    empty = complete_card.model_copy(update={field: ""})
    with pytest.raises(CardIncomplete, match=rf"1 empty fields; fill in: {field}$"):
        publish(build(built.predictions, card=empty), change="x")
    assert names(client) == []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_runs(experiments) == []


def test_a_refused_second_version_leaves_the_first_alone(
    client: MlflowClient, built: Built, complete_card: Card, build: Build
) -> None:
    publish(built, change="more speakers")
    law = complete_card.law.model_copy(update={"ll144": " "})
    second = build(built.predictions, card=complete_card.model_copy(update={"law": law}))
    with pytest.raises(CardIncomplete, match=r"law\.ll144"):
        publish(second, change="more speakers")
    assert [found.version for found in client.search_model_versions("name='speech'")] == [1]
    assert champion(client, "speech") == "1"


def test_files_that_cannot_be_stored_leave_no_version_behind(
    client: MlflowClient, state: Path, built: Built
) -> None:
    (state / "artifacts").write_text("a file where the store's folder should be")
    with pytest.raises(OSError, match="artifacts"):
        publish(built, change="more speakers")
    assert names(client) == []


def test_a_head_that_is_not_the_manifests_is_refused(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    folder = write(built, tmp_path / "speech", change="first")
    (folder / "head.onnx").write_bytes(b"another head")
    with pytest.raises(ContractMismatch, match=r"head\.onnx should have sha256"):
        register(folder)
    (folder / "head.onnx").unlink()
    with pytest.raises(ContractMismatch, match="no such file"):
        register(folder)
    assert names(client) == []


def test_a_card_of_another_head_is_refused(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    folder = write(built, tmp_path / "speech", change="first")
    write_card(read_card(folder).with_identity(sha256="ab" * 32), folder)
    with pytest.raises(ContractMismatch, match="is the card of abab"):
        register(folder)
    assert names(client) == []


def test_a_version_that_does_not_exist_is_named_with_those_that_do(
    client: MlflowClient, built: Built
) -> None:
    with pytest.raises(ContractMismatch, match="no speech version 1; it has none"):
        download(client, "speech", "1")
    publish(built, change="more speakers")
    publish(built, change="more speakers")
    with pytest.raises(ContractMismatch, match="no speech version 7; it has 1, 2"):
        download(client, "speech", "7")
    with pytest.raises(ContractMismatch, match="no speech version newest"):
        download(client, "speech", "newest")


def test_a_registry_that_does_not_answer_is_not_one_without_a_champion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    elsewhere = MlflowClient(tracking_uri="http://127.0.0.1:9", registry_uri="http://127.0.0.1:9")
    with pytest.raises(mlflow.exceptions.MlflowException):
        champion(elsewhere, "speech")


def test_a_manifest_of_newer_code_is_refused_in_a_sentence_that_says_so(
    built: Built, tmp_path: Path
) -> None:
    folder = write(built, tmp_path / "speech", change="first")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ContractMismatch, match=r"written by a newer one.*schema_version"):
        read_manifest(folder)
    (folder / MANIFEST).write_bytes(b"\xff\x00")
    with pytest.raises(ContractMismatch, match="or is damaged"):
        read_manifest(folder)
    with pytest.raises(ContractMismatch, match="is it the folder of a version"):
        read_manifest(tmp_path)


def test_a_version_outlives_the_folder_it_was_published_from(
    client: MlflowClient, built: Built, tmp_path: Path
) -> None:
    folder = write(built, tmp_path / "speech", change="first")
    version = register(folder)
    shutil.rmtree(folder)
    assert (download(client, "speech", version) / "head.onnx").is_file()
