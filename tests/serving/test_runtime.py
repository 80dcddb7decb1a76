import errno
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from data.assets import AssetUnavailable
from data.contract import ContractMismatch
from data.face import FaceTracker
from data.registry import RegistryConfig
from serving.api.access import create_key
from serving.api.problems import Problem
from serving.application import application
from serving.gate import Gate
from serving.models import LoadedVersion, RegistryUnavailable, load_champions, load_version
from serving.pulse import Pulse
from serving.runtime import Models, Runtime, Version, patiently, registered
from serving.settings import ServingConfig, load_config
from serving.vault import SealedWriter
from serving.workflow import Score


def nothing(name: str, version: str) -> Version:
    raise ContractMismatch(f"no {name} {version}")


def unused(config: ServingConfig) -> Any:
    pytest.fail("never asked")


@contextmanager
def running(
    config: ServingConfig, models: Callable[[], Models]
) -> Iterator[tuple[Runtime, TestClient]]:
    runtime = Runtime(config, models)
    runtime.start()
    try:
        yield (
            runtime,
            TestClient(Gate(application(runtime), runtime), raise_server_exceptions=False),
        )
    finally:
        runtime.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.usefixtures("config")
def test_a_service_whose_models_do_not_fit_is_alive_and_says_why_it_is_not_ready() -> None:
    loading = threading.Event()

    def champions() -> Mapping[str, Version]:
        loading.wait(30)
        raise ContractMismatch("speech-1-aaaa is not speech-2-bbbb")

    def models() -> Models:
        return Models(champions, nothing, unused)

    with running(load_config(), models) as (runtime, client):
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json()["code"] == "models_loading"
        assert client.get("/readyz").headers["retry-after"]
        loading.set()
        until(lambda: client.get("/readyz").json()["code"] == "contract_mismatch")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "speech-1-aaaa is not speech-2-bbbb"
        key = {"Authorization": f"Bearer {create_key(runtime.store, 'scorer')}"}
        for refused in (client.post("/v1/score", headers=key), client.get("/v1/models")):
            assert (refused.status_code, refused.json()["code"]) == (503, "contract_mismatch")
        assert "interview_models_loaded 0.0" in client.get("/metrics").text


@pytest.mark.usefixtures("config")
def test_a_process_without_workers_accepts_and_leaves_the_scoring_to_others(
    tiny: ModuleType,
) -> None:
    def models() -> Models:
        champions = {"speech": tiny.TinyVersion()}
        return Models(lambda: champions, nothing, unused)

    with running(load_config(workers=0), models) as (runtime, client):
        until(lambda: client.get("/readyz").status_code == 200)
        key = {"Authorization": f"Bearer {create_key(runtime.store, 'scorer')}"}
        files = {"recording": ("a.wav", b"voice")}
        answer = client.post("/v1/score", headers=key, files=files, data={"job": "teller"})
        assert answer.status_code == 202
        assert runtime.store.waiting() == [answer.json()["id"]]


@pytest.mark.usefixtures("config")
def test_a_fault_of_ours_is_a_problem_that_quotes_nothing(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(dict[str, Version]):
        def get(self, *_: object) -> Version:
            raise RuntimeError("Wang Fang said this")

    def models() -> Models:
        champions = Broken(speech=tiny.TinyVersion())
        return Models(lambda: champions, nothing, unused)

    with running(load_config(workers=0), models) as (_, client):
        until(lambda: client.get("/readyz").status_code == 200)
        answer = client.get("/v1/models/speech/1/card")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
    assert "Wang" not in answer.text + caplog.text
    assert "RuntimeError" in str([vars(record) for record in caplog.records])


@contextmanager
def ready(tiny: ModuleType, **changes: Any) -> Iterator[tuple[Runtime, TestClient]]:
    """A service that accepts and does not score; its client has a scorer's key."""

    def models() -> Models:
        return Models(lambda: {"speech": tiny.TinyVersion()}, nothing, unused)

    with running(load_config(workers=0, **changes), models) as (runtime, client):
        until(lambda: client.get("/readyz").status_code == 200)
        client.headers["Authorization"] = f"Bearer {create_key(runtime.store, 'scorer')}"
        yield runtime, client


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("form", ["multipart", "json"])
def test_a_transcript_longer_than_can_be_scored_is_refused_at_the_door(
    tiny: ModuleType, form: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"voice")

    def send(client: TestClient, characters: int) -> Any:
        request = {"job": "teller", "transcript": "字" * characters}
        if form == "json":
            return client.post("/v1/score", json={"url": str(file), "request": request})
        data = {"request": json.dumps(request)}
        return client.post("/v1/score", files={"recording": ("a.wav", b"voice")}, data=data)

    with ready(tiny, allowed_urls=(str(tmp_path),)) as (runtime, client):
        most = runtime.config.limits.transcript_characters
        refused = send(client, most + 1)
        assert (refused.status_code, refused.json()["code"]) == (422, "transcript_too_long")
        assert f"{most + 1} characters; at most {most}" in refused.json()["detail"]
        assert send(client, most).status_code == 202


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"url": "/a.wav", "request": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"url": "/a.wav", "request": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}",
    ],
)
def test_json_nested_too_deeply_is_the_callers_fault(tiny: ModuleType, body: str) -> None:
    with ready(tiny) as (_, client):
        answer = client.post(
            "/v1/score", content=body, headers={"Content-Type": "application/json"}
        )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.usefixtures("config")
def test_only_models_of_ours_are_asked_of_the_registry(tiny: ModuleType) -> None:
    asked = []

    def find(name: str, version: str) -> Version:
        asked.append(name)
        return nothing(name, version)

    champions = {"speech": tiny.TinyVersion()}
    with starting(Models(lambda: champions, find, unused)) as (_, client):
        until(lambda: client.get("/readyz").status_code == 200)
        for name in ("somebody-elses", "weights", "speech"):
            answer = client.get(f"/v1/models/{name}/7/card")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_version")
    assert asked == ["weights", "speech"]


def starting(
    runtime_models: Models, **changes: Any
) -> AbstractContextManager[tuple[Runtime, TestClient]]:
    return running(load_config(**{"workers": 0, **changes}), lambda: runtime_models)


def refusal(client: TestClient, code: str) -> dict[str, Any]:
    until(lambda: client.get("/readyz").json().get("code") == code)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionError("The registry at flows.example does not answer."), "registry_unavailable"),
        (AssetUnavailable("a.task could not be had. Tried: x, y"), "asset_unavailable"),
    ],
)
def test_a_registry_or_weights_away_at_start_are_asked_for_again_and_named_meanwhile(
    tiny: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: str,
) -> None:
    monkeypatch.setattr("serving.workflow.RETRY_S", (0.01,))
    back = threading.Event()

    def champions() -> Mapping[str, Version]:
        if not back.is_set():
            raise error
        return {"speech": tiny.TinyVersion()}

    with starting(Models(champions, nothing, unused)) as (_, client):
        assert refusal(client, code)["detail"] == str(error)
        back.set()
        until(lambda: client.get("/readyz").status_code == 200)
    logged = [vars(record).get("detail") for record in caplog.records]
    assert str(error) in logged


@pytest.mark.usefixtures("config")
def test_a_service_is_stopped_while_it_waits_for_the_registry() -> None:
    def champions() -> Mapping[str, Version]:
        raise ConnectionError("away")

    with starting(Models(champions, nothing, unused)) as (runtime, client):
        refusal(client, "registry_unavailable")
    assert not runtime._loading.is_alive()


@pytest.mark.usefixtures("config")
def test_an_error_nobody_foresaw_is_told_and_logged_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def champions() -> Mapping[str, Version]:
        raise ZeroDivisionError("Wang Fang said this")

    line = champions.__code__.co_firstlineno + 1
    with starting(Models(champions, nothing, unused)) as (_, client):
        detail = refusal(client, "models_failed")["detail"]
    assert f"ZeroDivisionError at test_runtime.py:{line}" in detail
    assert detail in [vars(record).get("detail") for record in caplog.records]
    assert "Wang" not in detail + caplog.text


@pytest.mark.usefixtures("config")
def test_a_database_that_is_gone_is_a_service_not_ready_and_metrics_still_answer(
    tiny: ModuleType, tmp_path: Path
) -> None:
    with ready(tiny) as (_, client):
        assert "interview_database_up 1.0" in client.get("/metrics").text
        state = tmp_path / "state"
        state.rename(tmp_path / "unmounted")
        assert refusal(client, "database_unreachable")["detail"]
        assert client.get("/healthz").status_code == 200
        (tmp_path / "unmounted").rename(state)
        until(lambda: client.get("/readyz").status_code == 200)


def test_a_database_that_accepts_and_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pulse = Pulse(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x")
        assert not pulse.beats(within_s=0.05)
        assert not pulse.beats(within_s=0.05)
        assert len([t for t in threading.enumerate() if t.name.endswith("(_ask)")]) == 1


@pytest.mark.usefixtures("config")
def test_the_scorer_is_closed_after_the_worker_has_stopped(tiny: ModuleType) -> None:
    events: list[str] = []

    @contextmanager
    def scorer(config: ServingConfig) -> Iterator[Score]:
        events.append("opened")
        yield tiny.score
        events.append("closed")

    models = Models(lambda: {"speech": tiny.TinyVersion()}, nothing, scorer)
    with starting(models, workers=1) as (_, client):
        until(lambda: client.get("/readyz").status_code == 200)
        assert events == ["opened"]
    assert events == ["opened", "closed"]


@pytest.mark.usefixtures("starters")
def test_what_the_registered_scorer_holds_of_the_face_model_is_given_back() -> None:
    with registered().scorer(load_config()) as score:
        tracker: FaceTracker = score.__self__.tracker  # type: ignore[attr-defined]
        assert tracker.look(np.zeros((64, 64, 3), np.uint8)).faces == 0
    with pytest.raises(RuntimeError, match="shutdown"):
        tracker.begin(np.zeros((64, 64, 3), np.uint8))
    assert tracker._free.empty(), "no landmarker is left open"


@pytest.mark.usefixtures("starters")
def test_a_version_is_fetched_once_and_its_files_go_when_it_is_let_go_of() -> None:
    find = registered().version
    first = find("weights", "1")
    assert isinstance(first, LoadedVersion)
    assert find("weights", "1") is first
    folder = first.folder
    assert folder.is_dir()
    del first, find
    gc.collect()
    assert not folder.exists()


def test_a_registry_that_does_not_answer_is_told_from_one_that_lacks_a_version() -> None:
    away = RegistryConfig(uri="http://u:secret@127.0.0.1:9", artifacts="", experiment="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9") as caught:
            load_champions(away)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("starters")
@pytest.mark.parametrize("version", ["99", "abc"])
def test_a_version_the_registry_lacks_is_no_version(version: str) -> None:
    with pytest.raises(ContractMismatch, match=version):
        load_version("speech", version)


def test_a_worker_told_to_stop_while_it_waits_leaves() -> None:
    stopping, seen = threading.Event(), []

    def note(problem: Problem) -> None:
        seen.append(problem.code)
        stopping.set()

    def away() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        patiently(away, stopping, note)
    assert seen == ["registry_unavailable"]


@pytest.mark.usefixtures("config")
def test_a_body_beyond_the_limit_is_told_the_limit_that_held_where_it_was_sent(
    tiny: ModuleType,
) -> None:
    with ready(tiny) as (runtime, client):
        limits = runtime.config.limits

        def refused(path: str, size: int, **headers: str) -> str:
            declared = {"Content-Length": str(size), **headers}
            answer = client.post(path, content=b"x", headers=declared)
            assert answer.status_code == 413
            return f"{answer.json()['code']}: {answer.json()['detail']}"

        elsewhere = refused("/v1/models", limits.request_bytes + 1)
        assert elsewhere.startswith("request_too_large")
        assert f" {limits.request_bytes} bytes" in elsewhere
        recording = refused("/v1/score", limits.upload_bytes + limits.request_bytes + 1)
        assert recording.startswith("recording_too_large")
        assert f" {limits.upload_bytes} bytes" in recording


@pytest.mark.usefixtures("config")
def test_a_full_disk_is_told_and_leaves_no_half_recording(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(writer: SealedWriter, plain: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with ready(tiny) as (runtime, client):
        monkeypatch.setattr(SealedWriter, "write", write)
        files = {"recording": ("a.wav", b"voice")}
        answer = client.post("/v1/score", files=files, data={"job": "teller"})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
        assert runtime.store.vault.names() == []
        assert runtime.store.waiting() == []


@pytest.mark.usefixtures("config")
def test_a_method_that_somebody_made_up_adds_no_series(tiny: ModuleType) -> None:
    with ready(tiny) as (_, client):
        for method in ("BREW", "X1", "X2"):
            client.request(method, "/v1/models")
        text = client.get("/metrics").text
    series = [line for line in text.splitlines() if line.startswith("interview_requests_total{")]
    methods = {line.split('method="')[1].split('"')[0] for line in series}
    assert methods == {"GET", "other"}
