"""What one process of the service holds: configuration, store, queue, models, worker."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol, TypeVar

from data.assets import AssetUnavailable
from data.contract import ContractMismatch, Manifest
from data.jobs import Job, jobs
from data.registry import NAMES
from serving import workflow
from serving.api.problems import Problem
from serving.log import log, place
from serving.metrics import Metrics
from serving.pulse import Pulse
from serving.settings import ServingConfig
from serving.store import Store
from serving.workflow import Queue, Score, Worker

LEAVE_S = 30
"""A worker that is asked to stop finishes what it scores, this long at most."""

PULSE_S = 2
"""The database has this long to answer a readiness probe."""

OTHER_VERSIONS = 16
"""Versions kept on this machine beside the champions, for whoever reads their cards."""

AWAY = (ConnectionError, AssetUnavailable)
"""What passes by itself: the registry, or a source of pretrained weights, does not answer."""

Loaded = TypeVar("Loaded")

LOADING = "The models are being loaded; try again in a few seconds."


class Version(Protocol):
    """A registered version, as far as callers see it."""

    @property
    def version(self) -> str:
        """Its number in the registry."""

    @property
    def manifest(self) -> Manifest:
        """What serving needs to use it."""

    @property
    def card_json(self) -> str:
        """The card as it was published."""

    @property
    def card_markdown(self) -> str:
        """The card as Markdown."""


@dataclass(frozen=True)
class Models:
    """Where models come from; each is called once the process has started.

    champions : name -> the version that scores
    version : (name, version) -> that version. Raises ContractMismatch
    scorer : the configuration -> what scores a recording, until it is left
    Each raises an error of AWAY for what may be there in a moment.
    """

    champions: Callable[[], Mapping[str, Version]]
    version: Callable[[str, str], Version]
    scorer: Callable[[ServingConfig], AbstractContextManager[Score]]


def registered() -> Models:
    """The models of the registry."""
    # MLflow and ONNX are imported by whoever scores, after the service answers its probes.
    from serving.models import load_champions, load_version
    from serving.scorer import Scorer

    # MLflow repeats itself for minutes; `patiently` does, and says meanwhile what is missing.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    champions = cache(load_champions)

    @contextmanager
    def scorer(config: ServingConfig) -> Iterator[Score]:
        with Scorer(champions(), dict(config.policies)) as loaded:
            yield loaded.score

    return Models(champions, lru_cache(OTHER_VERSIONS)(load_version), scorer)


class Runtime:
    """Everything one process holds, from `start` to `stop`."""

    def __init__(self, config: ServingConfig, models: Callable[[], Models]) -> None:
        """Opens the store. Raises ContractMismatch if newer code has written it."""
        self.config = config
        self.jobs: dict[str, Job] = jobs()
        self.store = Store.open(config)
        workflow.prepare(config)
        self.queue = Queue(config)
        self._pulse = Pulse(config.database_url)
        self.metrics = Metrics(self.store, lambda: self.champions is not None)
        self.champions: Mapping[str, Version] | None = None
        self._find: Callable[[str, str], Version] | None = None
        self._models = models
        self._refusal: Problem | None = None
        self._worker: Worker | None = None
        self._held = ExitStack()
        self._stopping = threading.Event()
        self._loading = threading.Thread(target=self._load, daemon=True, name="loading")

    def start(self) -> None:
        """Load the models in the background, then begin to score."""
        self._loading.start()

    def stop(self) -> None:
        """Stop scoring; what is not finished stays in line."""
        self._stopping.set()
        self._loading.join(timeout=30)
        if self._worker is not None:
            self._worker.stop(wait_s=LEAVE_S)
        self._held.close()
        self.queue.close()
        self.store.close()

    def unready(self) -> Problem | None:
        """Why this process cannot score; None when it can."""
        if self.champions is not None:
            return None
        headers = {"Retry-After": "5"}
        return self._refusal or Problem(503, "models_loading", LOADING, headers=headers)

    def cut_off(self) -> Problem | None:
        """That the database does not answer; None when it does. Takes PULSE_S at most."""
        if self._pulse.beats(within_s=PULSE_S):
            return None
        detail = "The database of the service does not answer."
        return Problem(503, "database_unreachable", detail, headers={"Retry-After": "5"})

    def version(self, name: str, version: str) -> Version:
        """A registered version. Raises Problem 404, or 503 while the registry is away."""
        if problem := self.unready():
            raise problem
        assert self.champions is not None
        assert self._find is not None
        champion = self.champions.get(name)
        if champion is not None and version in (champion.version, "champion"):
            return champion
        unknown = Problem(404, "unknown_version", f"The registry has no usable {name} {version}.")
        # A registry may be shared: nobody makes this service fetch what is not its own.
        if name not in NAMES:
            raise unknown
        try:
            return self._find(name, version)
        except ContractMismatch as mismatch:
            raise unknown from mismatch
        except AWAY as away:
            raise _unavailable(away) from away

    def _load(self) -> None:
        try:
            models = self._models()
            champions = patiently(models.champions, self._stopping, self._refuse)
            if self.config.workers:
                score = patiently(
                    lambda: self._held.enter_context(models.scorer(self.config)),
                    self._stopping,
                    self._refuse,
                )
                self._worker = Worker(self.config, self.store, score)
                self._worker.start()
        except ContractMismatch as mismatch:
            self._refuse(Problem(503, "contract_mismatch", str(mismatch)))
        except AWAY:
            log.info("stopped before the models were there")
        except Exception as error:
            kind, where = type(error).__name__, place(error)
            detail = f"Loading the models broke off: {kind} at {where}."
            self._refuse(Problem(503, "models_failed", detail))
        else:
            _settle_memory()
            self._find = models.version
            self.champions = champions
            versions = {name: version.version for name, version in champions.items()}
            log.info("ready", extra={"versions": versions})

    def _refuse(self, problem: Problem) -> None:
        log.critical("models refused", extra={"code": problem.code, "detail": problem.detail})
        self._refusal = problem


def patiently(
    load: Callable[[], Loaded], stopping: threading.Event, note: Callable[[Problem], None]
) -> Loaded:
    """What `load` gives, asked for again while what it needs is away.

    note : told each time why it has to wait
    Raises an error of AWAY once `stopping` is set.
    """

    def missing(error: Exception) -> Problem | None:
        return _unavailable(error) if isinstance(error, AWAY) else None

    return workflow.patiently(load, stopping, missing, note)


def _unavailable(error: Exception) -> Problem:
    code = "asset_unavailable" if isinstance(error, AssetUnavailable) else "registry_unavailable"
    return Problem(503, code, str(error), headers={"Retry-After": "5"})


def _say_why(problem: Problem) -> None:
    log.error("waiting for models", extra={"code": problem.code, "detail": problem.detail})


def work(config: ServingConfig, models: Callable[[], Models] = registered) -> None:
    """Score what is in line, in a process of its own, until SIGTERM or SIGINT.

    Raises ContractMismatch if the models or the database do not fit this code.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    store = Store.open(config)
    workflow.prepare(config)
    with closing(store), ExitStack() as held:
        scorer = models().scorer
        try:
            score = patiently(lambda: held.enter_context(scorer(config)), stopping, _say_why)
        except AWAY:
            return
        worker = Worker(config, store, score)
        worker.start()
        _settle_memory()
        log.info("ready", extra={"workers": config.workers})
        stopping.wait()
        worker.stop(wait_s=LEAVE_S)


def _settle_memory() -> None:
    """Take what is loaded out of the garbage collector's rounds: p99 242 -> 8.5 ms at 300 rps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 1_000)
