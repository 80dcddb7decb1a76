import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from data.contract import ContractMismatch
from serving.api.access import create_key
from serving.application import application
from serving.gate import Gate
from serving.runtime import Models, Runtime, Version
from serving.settings import ServingConfig, load_config


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
