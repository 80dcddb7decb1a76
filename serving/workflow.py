"""The durable steps of one interview: score it, then remove its recording.

The row in the store is the truth: `Store.accept` makes an interview ours. DBOS decides
who works on it and takes it up again after a crash; a try that was overtaken by another
writes nothing, so every accepted interview ends exactly once.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig

from data.contract import Scored, ScoreRequest, UnusableRecording
from serving.database import create_engine
from serving.log import log
from serving.seats import Seats, executor_id, seat_number
from serving.settings import ServingConfig
from serving.store import DATABASE_AWAY, Attempt, Store
from serving.vault import FULL

Done = TypeVar("Done")
Missing = TypeVar("Missing")
Score = Callable[[Path, ScoreRequest], Scored]

APPLICATION = "interview-scoring"
QUEUE = "interviews"
WORKFLOW = "score_interview"
WORKFLOW_VERSION = "1"
"""Fixed, so that what an older release accepted is finished by a newer one.

Change it only together with the order of the steps below, after the queue ran empty.
"""

LIVE = ["ENQUEUED", "DELAYED", "PENDING"]
POLLING_S = 0.2
BACKOFF_S = 2.0
RETRY_S = (1, 2, 5, 10, 30, 60)
"""Pauses before what is away (storage, a registry) is asked for again; then the last."""


def prepare(config: ServingConfig) -> None:
    """Make or migrate the tables of the queue; processes may call it at the same time."""
    url = config.workflow_database_url
    if url.startswith("sqlite"):
        # WAL, so that whoever enqueues does not wait for whoever polls; it stays set.
        config.folder  # noqa: B018 - the folder must exist before the file
        with create_engine(url).connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    DBOS.migrate(url)


def patiently(
    act: Callable[[], Done],
    stopping: threading.Event,
    missing: Callable[[Exception], Missing | None],
    note: Callable[[Missing], None],
) -> Done:
    """What `act` gives, asked for again while what it needs is away.

    missing : what is away, or nothing where the error is a fault: that is raised at once
    note : told each time what it has to wait for
    Raises the last error once `stopping` is set.
    """
    for pause_s in chain(RETRY_S, repeat(RETRY_S[-1])):
        try:
            return act()
        except Exception as error:
            if not (what := missing(error)):
                raise
            note(what)
            if stopping.wait(pause_s):
                raise
    raise AssertionError("the pauses never end")


class Away(Exception):
    """Storage that is needed is away: what, in words."""


class Queue:
    """The door to the workers: puts accepted interviews in line."""

    def __init__(self, config: ServingConfig) -> None:
        """The tables of the queue must exist: see `prepare`."""
        self._client = DBOSClient(
            system_database_url=config.workflow_database_url, application_name=APPLICATION
        )

    def put(self, score_id: str) -> None:
        """Put a score in line; one that is in line already stays where it is."""
        self._client.enqueue(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": score_id,
                "app_version": WORKFLOW_VERSION,
            },
            score_id,
        )

    def close(self) -> None:
        """Let go of every connection."""
        self._client.destroy()


class Worker:
    """Scores what is in line, `config.workers` interviews at once. One in a process."""

    def __init__(self, config: ServingConfig, store: Store, score: Score) -> None:
        """`score` turns a recording and a request into a scorecard with its exhibit."""
        self._config = config
        self._store = store
        self._score = score
        self._seats = Seats(config)
        self._stopping = threading.Event()
        self._away = ""
        self._sweeper = threading.Thread(target=self._sweep_often, daemon=True, name="sweeper")

    def start(self) -> None:
        """Begin with what is in line, and with what dead workers left unfinished."""
        settings: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._config.workflow_database_url,
            "application_version": WORKFLOW_VERSION,
            "executor_id": executor_id(self._seats.take()),
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": POLLING_S,
        }
        DBOS(config=settings)

        # DBOS marks the function it registers, and a bound method cannot be marked.
        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def interview(score_id: str) -> None:
            self._interview(score_id)

        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._config.workers,
            polling_interval_sec=POLLING_S,
            on_conflict="always_update",
        )
        self._sweeper.start()

    def stop(self, wait_s: int = 0) -> None:
        """Stop, after running interviews ended or `wait_s` passed; the rest stays in line."""
        self._stopping.set()
        DBOS.destroy(workflow_completion_timeout_sec=wait_s, destroy_registry=True)
        self._sweeper.join(timeout=self._config.sweep_s)
        self._seats.close()

    def _interview(self, score_id: str) -> None:
        """The workflow. Each step is recorded when it returns, and not repeated after that."""
        tries = 1
        while not DBOS.run_step({"name": "score"}, self._try, score_id):
            DBOS.sleep(BACKOFF_S * tries)
            tries += 1
        DBOS.run_step({"name": "delete_media"}, self._store.delete_media, score_id)

    def _try(self, score_id: str) -> bool:
        """True when nothing is left to do here, False when it must be tried again.

        While storage is away it waits, for that is nobody's fault and no try; a worker that
        is stopped meanwhile leaves the interview in line, where the next sweep finds it.
        """
        try:
            tried = self._patiently(lambda: self._try_now(score_id))
        except (Away, *DATABASE_AWAY):
            return True
        self._note("")
        return tried

    def _try_now(self, score_id: str) -> bool:
        attempt = self._store.begin(score_id)
        if attempt is None:
            return True
        if attempt.number > self._config.attempts:
            detail = f"Scoring broke off {self._config.attempts} times; a person will look at it."
            self._store.fail(score_id, "scoring_failed", detail)
            return True
        try:
            self._score_once(attempt)
        except Exception as error:
            if missing := self._missing(error):
                self._patiently(lambda: self._store.hand_back(attempt))
                raise Away(missing) from error
            # Neither the message nor the values: they may quote what the candidate said.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "scoring broke off",
                extra={
                    "score": score_id,
                    "attempt": attempt.number,
                    "error": type(error).__name__,
                    "place": f"{Path(place.filename).name}:{place.lineno}",
                },
            )
            return False
        return True

    def _patiently(self, act: Callable[[], Done]) -> Done:
        return patiently(act, self._stopping, self._missing, self._note)

    def _missing(self, error: Exception) -> str:
        """What is away for now; empty where the error is a fault that counts as a try."""
        if isinstance(error, Away):
            return str(error)
        if isinstance(error, DATABASE_AWAY):
            return "database"
        if not isinstance(error, OSError):
            return ""
        if error.errno in FULL:
            return "room on the disk"
        return "" if self._store.vault.in_place else "recordings"

    def _note(self, missing: str) -> None:
        """Log where an outage begins and where it ends, not every try within it."""
        before, self._away = self._away, missing
        if missing and not before:
            log.error("waiting for storage", extra={"away": missing})
        elif before and not missing:
            log.info("storage is back", extra={"away": before})

    def _score_once(self, attempt: Attempt) -> None:
        request = self._store.request(attempt)
        try:
            with self._store.vault.open_plain(attempt.media, attempt.suffix) as path:
                scored = self._score(path, request)
        except UnusableRecording as unusable:
            self._store.abstain(attempt, unusable.code, str(unusable))
        else:
            self._store.finish(attempt, scored)

    # --- what crashes leave behind -------------------------------------------

    def _sweep_often(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep()
            except Exception as error:
                log.error("sweep broke off", extra={"error": type(error).__name__})
            self._stopping.wait(self._config.sweep_s)

    def sweep(self) -> None:
        """Take over from dead workers, put lost interviews in line, remove what is out of date."""
        self._take_over()
        self._put_back()
        removed = self._store.sweep(self._config.idempotency_hours)
        if any(removed.values()):
            log.info("swept", extra=removed)

    def _take_over(self) -> None:
        pending = DBOS.list_workflows(status="PENDING", name=WORKFLOW, load_input=False)
        seats = {seat_number(workflow.executor_id) for workflow in pending} - {None}
        with self._seats.empty(seat for seat in seats if seat is not None) as empty:
            dead = {executor_id(seat) for seat in empty}
            for workflow in pending:
                if workflow.executor_id in dead:
                    DBOS.resume_workflow(workflow.workflow_id, queue_name=QUEUE)

    def _put_back(self) -> None:
        """Put in line what the store waits for and no workflow works on.

        A process may die between accepting an interview and putting it in line, and a
        workflow may end early when a database is away for long.
        """
        waiting = self._store.waiting()
        if not waiting:
            return
        live = DBOS.list_workflows(status=LIVE, name=WORKFLOW, load_input=False)
        worked_on = {workflow.workflow_id.partition(".")[0] for workflow in live}
        for score_id in waiting:
            if score_id not in worked_on:
                earlier = len(DBOS.list_workflows(workflow_id_prefix=score_id, load_input=False))
                DBOS.enqueue_workflow_with_options(
                    {
                        "workflow_name": WORKFLOW,
                        "queue_name": QUEUE,
                        "workflow_id": f"{score_id}.{earlier}" if earlier else score_id,
                        "app_version": WORKFLOW_VERSION,
                    },
                    score_id,
                )
