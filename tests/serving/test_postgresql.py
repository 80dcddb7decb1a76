"""The same store, queue and seats on PostgreSQL, where its server is installed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fastapi import FastAPI
from starlette.testclient import TestClient

from data.contract import ContractMismatch, ScoreRequest
from serving import workflow
from serving.api.access import create_key
from serving.application import application
from serving.database import create_engine, metadata
from serving.runtime import Runtime
from serving.seats import Seats
from serving.settings import DATABASE_VARIABLE, ServingConfig, load_config
from serving.store import Conflict, Event, Interview, KeyRow, Store
from serving.workflow import Queue

HERE = Path(__file__).parent
PATIENCE_S = 60


def binary(name: str) -> str:
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), None]
    found = [shutil.which(name, path=place and str(place)) for place in places]
    path = next(filter(None, found), None)
    if path is None:
        pytest.skip(f"PostgreSQL is not installed: no {name}")
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a PostgreSQL server of its own; it refuses to run as root."""
    initdb, postgres = binary("initdb"), binary("postgres")
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    if user:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
    subprocess.run([initdb, "-D", folder / "db", "-U", "postgres", "-N"], check=True, **quiet)
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    options = ["-p", str(port), "-k", str(folder), *settings]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([postgres, "-D", folder / "db", *options], stderr=log, **quiet)
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    until(lambda: answers(url))
    yield url
    process.send_signal(signal.SIGINT)  # fast: does not wait for open sessions
    process.wait(PATIENCE_S)
    shutil.rmtree(folder, ignore_errors=True)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def config(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingConfig:
    """The shipped configuration on a database of its own."""
    name = f"scores_{time.time_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(DATABASE_VARIABLE, server.removesuffix("postgres") + name)
    config = load_config(sweep_s=1)
    assert config.workflow_database_url == config.database_url
    return config


def interview(store: Store, plain: bytes = b"voice") -> Interview:
    with store.vault.new() as writer:
        writer.write(plain)
    request = ScoreRequest(job="teller", transcript="我叫王芳")
    return Interview("owner", request, writer.sha256, writer.name, ".wav")


def test_tables_keys_and_the_audit_trail_are_the_same(store: Store, config: ServingConfig) -> None:
    with create_engine(config.database_url).connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"include_name": ours}), metadata
        )
        assert found == []
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))
    token = store.reserve("owner", "k", 24)
    with pytest.raises(Conflict):
        store.reserve("owner", "k", 24)
    store.release(token)
    store.record(Event("owner", "score.read"))
    for statement in ("UPDATE audit_trail SET actor = 'x'", "TRUNCATE audit_trail"):
        with (
            pytest.raises(sa.exc.DBAPIError, match="append-only"),
            create_engine(config.database_url).begin() as connection,
        ):
            connection.execute(sa.text(statement))
    assert len(store.trail()) == 1


def test_fifty_requests_with_one_key_make_one_score(store: Store) -> None:
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))

    def send(round_: int) -> str:
        try:
            token = store.reserve("owner", f"key-{round_}", 24)
        except Conflict as conflict:
            return conflict.code
        return store.accept_once(interview(store), token)[0]

    with ThreadPoolExecutor(16) as pool:
        for round_ in range(10):
            answers = set(pool.map(send, [round_] * 50))
            assert len(answers - {"in_flight"}) == 1
    assert len(store.waiting()) == 10


@pytest.fixture
def client(config: ServingConfig, store: Store, tiny: ModuleType) -> Iterator[TestClient]:
    """The application on this database; it accepts, and nobody scores."""
    runtime = Runtime(config.model_copy(update={"workers": 0}), tiny.models)
    runtime.start()
    until(lambda: runtime.unready() is None)
    headers = {"Authorization": f"Bearer {create_key(store, 'admin')}"}
    with TestClient(application(runtime), headers=headers, raise_server_exceptions=False) as opened:
        yield opened
    runtime.stop()


def test_what_no_column_holds_is_refused(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"voice")
    runtime = cast(FastAPI, client.app).state.runtime
    runtime.config = runtime.config.model_copy(update={"allowed_urls": (str(tmp_path),)})
    envelopes = [{"consent": text} for text in ("a\0b", "a\ud800b")]
    envelopes += [{"supersedes": text} for text in ("\0", "\ud800", "nobody", "0" * 32)]
    for envelope in envelopes:
        body = {"url": str(tmp_path / "a.wav"), "request": {"job": "teller"}, **envelope}
        headers = {"Content-Type": "application/json"}
        answer = client.post("/v1/score", content=json.dumps(body), headers=headers)
        assert answer.status_code == 422, answer.text
    assert runtime.store.vault.names() == []
    assert runtime.store.waiting() == []


def test_an_address_that_no_column_holds_is_refused(client: TestClient) -> None:
    expected = {
        "/v1/scores/%00": 404,
        "/v1/scores/%ED%A0%80": 404,
        "/v1/scores/" + "0" * 41: 404,
        "/v1/scores/%00/report": 404,
        "/v1/audit?score=%00": 422,
        "/v1/audit?score=" + "0" * 41: 422,
        "/v1/audit?score=" + "0" * 32: 200,
        f"/v1/audit?after={2**31}": 422,
        f"/v1/audit?after={2**31 - 1}": 200,
    }
    assert {path: client.get(path).status_code for path in expected} == expected
    assert client.delete("/v1/scores/%00").status_code == 404


def test_a_score_is_superseded_with_a_key(client: TestClient, store: Store) -> None:
    def send(key: str, **fields: str) -> Any:
        form = {"job": "teller", "transcript": "我叫王芳", **fields}
        headers = {"Idempotency-Key": key}
        return client.post("/v1/score", files={"recording": b"a"}, data=form, headers=headers)

    old = send("first").json()["id"]
    assert send("first").json()["id"] == old
    new = send("second", supersedes=old).json()["id"]
    assert store.waiting() == [new]
    assert send("third", supersedes=old).status_code == 409
    assert store.waiting() == [new]


def test_while_the_database_is_away_callers_are_told_to_come_again(
    client: TestClient, store: Store, config: ServingConfig, server: str
) -> None:
    name = config.database_url.rpartition("/")[2]

    def send() -> Any:
        headers = {"Idempotency-Key": "once"}
        form = {"job": "teller", "transcript": "我叫王芳"}
        return client.post("/v1/score", files={"recording": b"a"}, data=form, headers=headers)

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        leave = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(leave, [name])
        for answer in (send(), client.get("/v1/scores/" + "0" * 32)):
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unreachable")
            assert answer.headers["retry-after"]
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    accepted = send().json()["id"]
    assert store.waiting() == [accepted]
    assert len(store.vault.names()) == 1


def ours(name: str | None, kind: str, _: object) -> bool:
    return kind != "schema" or name is None


def test_a_database_written_by_newer_code_is_refused(store: Store, config: ServingConfig) -> None:
    with create_engine(config.database_url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ContractMismatch, match="9999"):
        Store.open(config)


def test_a_seat_is_free_when_its_process_is_gone(config: ServingConfig) -> None:
    first, second = Seats(config), Seats(config)
    assert (first.take(), second.take()) == (0, 1)
    with second.empty([0, 1, 2]) as empty:
        assert empty == [2]
    first.close()
    with second.empty([0]) as empty:
        assert empty == [0]
    second.close()


def test_a_second_worker_finishes_what_a_killed_one_left(
    store: Store, config: ServingConfig, tiny: ModuleType, tmp_path: Path
) -> None:
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))
    workflow.prepare(config)
    queue, journal = Queue(config), tmp_path / "journal"
    journal.touch()
    ids = []
    for share in (0.25, 0.5, 0.75):
        plain = tiny.recording(tmp_path / "a.wav", sounding=share).read_bytes()
        ids.append(store.accept(interview(store, plain)))
        queue.put(ids[-1])
    queue.close()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "TINY_JOURNAL": str(journal)}
    command = [sys.executable, str(HERE / "tiny_worker.py")]
    stuck = subprocess.Popen(command, env={**environment, "TINY_SECONDS": "600"})
    try:
        until(lambda: "begin" in journal.read_text())
        other = subprocess.Popen(command, env=environment)
        try:
            until(lambda: len(store.waiting()) == 1)
            stuck.kill()
            until(lambda: store.waiting() == [])
        finally:
            other.kill()
            other.wait()
    finally:
        stuck.kill()
        stuck.wait()
    totals = [(store.get(one).scorecard or {})["total"] for one in ids]  # type: ignore[union-attr]
    assert totals == [25, 50, 75]
    assert all([e["outcome"] for e in store.trail(score=one)] == ["ok", "completed"] for one in ids)
