import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from data.contract import Scored, ScoreRequest
from serving import database, workflow
from serving.database import create_engine, scores
from serving.settings import ServingConfig, load_config
from serving.store import Interview, KeyRow, Store
from serving.vault import Vault
from serving.workflow import Queue, Score, Worker

HERE = Path(__file__).parent
PATIENCE_S = 60


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def accept(store: Store) -> Callable[[bytes], str]:
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))

    def accepted(plain: bytes) -> str:
        with store.vault.new() as writer:
            writer.write(plain)
        request = ScoreRequest(job="teller")
        return store.accept(Interview("owner", request, writer.sha256, writer.name, ".wav"))

    return accepted


@contextmanager
def working(
    config: ServingConfig, store: Store, tiny: ModuleType, score: Score | None = None
) -> Iterator[Worker]:
    workflow.prepare(config)
    worker = Worker(config, store, score or tiny.score)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(wait_s=5)


@contextmanager
def worker_process(**environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "tiny_worker.py")],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert '"ready"' in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_is_put_in_line_is_scored_and_its_recording_removed(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
) -> None:
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    with working(config, store, tiny):
        queue = Queue(config)
        queue.put(score_id)
        queue.put(score_id)
        until(lambda: store.status(score_id) == "completed" and not store.vault.names())
        queue.close()
    row = store.get(score_id)
    assert row is not None
    assert row.scorecard is not None
    assert row.scorecard["total"] == 25
    assert [line["outcome"] for line in store.trail(score=score_id)] == ["ok", "completed"]


def test_an_interview_nobody_put_in_line_is_found(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
) -> None:
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    with working(config, store, tiny):
        until(lambda: store.status(score_id) == "completed")


def test_an_unusable_recording_abstains_and_a_fault_of_ours_fails_after_retries(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workflow, "BACKOFF_S", 0.05)
    text, broken = accept(b"a text file"), accept(b"bug: Wang Fang said this")
    with working(config, store, tiny):
        until(lambda: store.waiting() == [])
    abstained, failed = store.get(text), store.get(broken)
    assert abstained is not None
    assert failed is not None
    assert (abstained.status, abstained.problem_code) == ("abstained", "not_media")
    assert (failed.status, failed.problem_code) == ("failed", "scoring_failed")
    assert len(store.vault.names()) == 1, "the recording of a failure is kept to be looked at"
    broken_off = [r for r in caplog.records if r.getMessage() == "scoring broke off"]
    assert len(broken_off) == config.attempts
    assert "Wang" not in caplog.text


@pytest.mark.parametrize("broken", ["sealed with a lost key", "of an older shape"])
def test_a_request_that_does_not_open_fails_after_retries_and_a_person_looks_at_it(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    monkeypatch.setattr(workflow, "BACKOFF_S", 0.05)
    score_id = accept(b"voice")
    sealed = store.vault.seal(b'{"job": "teller", "renamed": 1}', score_id)
    if broken == "sealed with a lost key":
        vault = Vault(store.vault.media, store.vault.plain, os.urandom(32), 4096)
        sealed = vault.seal(b'{"job": "teller"}', score_id)
    with create_engine(config.database_url).begin() as connection:
        connection.execute(sa.update(scores).values(sealed_request=sealed))
    with working(config, store, tiny):
        until(lambda: store.waiting() == [])
    row = store.get(score_id)
    assert row is not None
    assert (row.status, row.problem_code) == ("failed", "scoring_failed")
    assert len(store.vault.names()) == 1


def test_a_cancelled_interview_is_not_scored(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINY_JOURNAL", str(tmp_path / "journal"))
    cancelled = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    other = accept(tiny.recording(tmp_path / "b.wav", sounding=0.75).read_bytes())
    store.erase(cancelled)
    with working(config, store, tiny):
        queue = Queue(config)
        queue.put(cancelled)
        queue.close()
        until(lambda: store.status(other) == "completed")
    assert len((tmp_path / "journal").read_text().splitlines()) == 2
    assert store.status(cancelled) == "cancelled"


def test_killed_in_the_middle_every_accepted_interview_ends_exactly_once(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
) -> None:
    workflow.prepare(config)
    queue = Queue(config)
    journal = tmp_path / "journal"
    journal.touch()
    shares = [n / 10 for n in range(1, 7)]
    ids = []
    for share in shares:
        ids.append(accept(tiny.recording(tmp_path / "a.wav", sounding=share).read_bytes()))
        queue.put(ids[-1])
    queue.close()
    environment = {"TINY_JOURNAL": str(journal), "TINY_SECONDS": "0.3"}
    with worker_process(**environment) as first:
        # The third is being scored: its plain copy is open, nothing of it is written.
        until(lambda: journal.read_text().count("begin") == 3)
        first.send_signal(signal.SIGKILL)
        first.wait()
    done = [score_id for score_id in ids if store.status(score_id) == "completed"]
    assert len(done) < len(ids)
    with worker_process(**environment):
        until(lambda: store.waiting() == [])
        until(lambda: store.vault.names() == [])
    for score_id, share in zip(ids, shares, strict=True):
        row = store.get(score_id)
        assert row is not None
        assert row.scorecard is not None
        assert row.scorecard["total"] == pytest.approx(100 * share, abs=0.01)
        assert [line["outcome"] for line in store.trail(score=score_id)] == ["ok", "completed"]
    assert journal.read_text().count("begin") == len(ids) + 1, "only the broken one was repeated"


def test_a_worker_asked_to_stop_finishes_what_it_scores(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    ids = [
        accept(tiny.recording(tmp_path / "a.wav", sounding=share).read_bytes())
        for share in (0.25, 0.5)
    ]
    with worker_process(TINY_JOURNAL=str(journal), TINY_SECONDS="1") as process:
        until(lambda: "begin" in journal.read_text())
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert "completed" in {store.status(score_id) for score_id in ids}
    assert "running" not in {store.status(score_id) for score_id in ids}


def test_a_living_worker_takes_over_from_a_dead_one(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    workflow.prepare(config)
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.5).read_bytes())
    with worker_process(TINY_JOURNAL=str(journal), TINY_SECONDS="600") as stuck:
        until(lambda: "begin" in journal.read_text())
        with working(load_config(sweep_s=0.2), store, tiny):
            assert store.status(score_id) == "running", "nobody takes it from a living worker"
            stuck.kill()
            until(lambda: store.status(score_id) == "completed")
    assert journal.read_text().count("begin") == 1


# --- what is away for a while ------------------------------------------------


def tries(config: ServingConfig) -> int:
    with create_engine(config.database_url).connect() as connection:
        return int(connection.scalars(sa.select(scores.c.attempts)).one())


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[str]:
    found = [vars(record) for record in caplog.records if record.getMessage() == message]
    return [str(record.get("away")) for record in found]


def test_while_the_recordings_are_away_an_interview_waits_and_no_try_counts(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "interview")
    monkeypatch.setattr(workflow, "RETRY_S", (0.02,))
    monkeypatch.setattr(workflow, "BACKOFF_S", 0.02)
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    store.vault.media.rename(tmp_path / "unmounted")
    with working(config, store, tiny):
        until(lambda: said(caplog, "waiting for storage") != [])
        time.sleep(1)
        assert store.status(score_id) in ("queued", "running")
        (tmp_path / "unmounted").rename(store.vault.media)
        until(lambda: store.status(score_id) == "completed")
    assert tries(config) == 1
    assert said(caplog, "waiting for storage") == ["recordings"], "once, not at every try"
    assert said(caplog, "storage is back") == ["recordings"]


def test_a_full_disk_is_waited_for(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workflow, "RETRY_S", (0.02,))
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    calls = 0

    def score(path: Path, request: ScoreRequest) -> Scored:
        nonlocal calls
        calls += 1
        if calls <= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        scored: Scored = tiny.score(path, request)
        return scored

    with working(config, store, tiny, score):
        until(lambda: store.status(score_id) == "completed")
    assert (calls, tries(config)) == (6, 1)
    assert said(caplog, "waiting for storage") == ["room on the disk"]


def test_a_database_that_is_away_when_the_scorecard_is_written_is_waited_for(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workflow, "RETRY_S", (0.02,))
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    with create_engine(config.database_url).connect() as other:
        locked = other.execution_options(**database.WRITES)
        taken = []

        def score(path: Path, request: ScoreRequest) -> Scored:
            if not taken:
                taken.append(locked.begin())
            scored: Scored = tiny.score(path, request)
            return scored

        impatient = Store.open(config)
        with working(config, impatient, tiny, score):
            until(lambda: said(caplog, "waiting for storage") != [])
            time.sleep(0.5)
            taken[0].rollback()
            until(lambda: store.status(score_id) == "completed")
        impatient.close()
    assert tries(config) == 1
    assert said(caplog, "waiting for storage") == ["database"]


def test_a_worker_that_waits_is_stopped_at_once_and_the_interview_stays_in_line(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workflow, "RETRY_S", (3600,))
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    store.vault.media.rename(tmp_path / "unmounted")
    with working(config, store, tiny):
        until(lambda: said(caplog, "waiting for storage") != [])
    assert (store.status(score_id), tries(config)) == ("queued", 0)
    (tmp_path / "unmounted").rename(store.vault.media)
    with working(config, store, tiny):
        until(lambda: store.status(score_id) == "completed")


def test_a_recording_that_is_gone_from_its_folder_holds_nobody_up(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workflow, "BACKOFF_S", 0.02)
    gone = accept(b"voice")
    store.vault.delete(store.vault.names()[0][0])
    other = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    with working(config, store, tiny):
        until(lambda: store.waiting() == [])
    assert (store.status(gone), store.status(other)) == ("failed", "completed")


def test_a_failed_interview_that_is_put_back_in_line_is_scored_with_its_tries_anew(
    config: ServingConfig,
    store: Store,
    accept: Callable[[bytes], str],
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workflow, "BACKOFF_S", 0.02)
    score_id = accept(tiny.recording(tmp_path / "a.wav", sounding=0.25).read_bytes())
    calls = 0

    def score(path: Path, request: ScoreRequest) -> Scored:
        nonlocal calls
        calls += 1
        if calls <= config.attempts + 1:
            raise ZeroDivisionError
        scored: Scored = tiny.score(path, request)
        return scored

    with working(load_config(sweep_s=0.2), store, tiny, score):
        until(lambda: store.status(score_id) == "failed")
        store.retry(score_id)
        until(lambda: store.status(score_id) == "completed")
    assert tries(config) == 2
    acts = [(line["action"], line["outcome"]) for line in store.trail(score=score_id)]
    assert acts == [
        ("score.create", "ok"),
        ("score.end", "failed:scoring_failed"),
        ("score.retry", "ok"),
        ("score.end", "completed"),
    ]
