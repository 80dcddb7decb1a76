"""Fixtures of the service tests: a store of its own, keys, the tiny scorer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from serving.api.access import create_key
from serving.settings import ServingConfig, load_config
from serving.store import Store

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny(module_at: Callable[[Path], ModuleType]) -> ModuleType:
    """The module tests/serving/tiny_scorer.py."""
    return module_at(HERE / "tiny_scorer.py")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingConfig:
    """The shipped configuration with a state folder of its own."""
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path / "state"))
    return load_config()


@pytest.fixture
def store(config: ServingConfig) -> Iterator[Store]:
    opened = Store.open(config)
    yield opened
    opened.close()


@dataclass
class Served:
    """A running service: its address, its state folder, its process."""

    url: str
    state: Path
    process: subprocess.Popen[bytes]
    log: Path

    def key(self, role: str) -> dict[str, str]:
        """Headers of a new API key."""
        store = Store.open(self.config())
        try:
            return {"Authorization": f"Bearer {create_key(store, role)}"}
        finally:
            store.close()

    def config(self) -> ServingConfig:
        """The configuration the service runs with."""
        before = os.environ.get("INTERVIEW_STATE")
        os.environ["INTERVIEW_STATE"] = str(self.state)
        try:
            return load_config()
        finally:
            os.environ.pop("INTERVIEW_STATE")
            if before is not None:
                os.environ["INTERVIEW_STATE"] = before


@contextmanager
def serve(folder: Path, **environment: str) -> Iterator[Served]:
    """The tiny service under BentoML on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state, log = folder / "state", folder / "service.log"
    command = [
        *(sys.executable, "-m", "bentoml", "serve", "tiny_service:service"),
        *("--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)),
    ]
    variables = {"INTERVIEW_STATE": str(state), "PYTHONPATH": str(HERE.parents[1]), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", state, process, log)
    try:
        wait_for(served, "/readyz")
        yield served
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a service: kindly, then not."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


def wait_for(served: Served, path: str) -> None:
    """Until `path` answers 200; fails with the log after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and served.process.poll() is None:
        try:
            if httpx.get(served.url + path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the service does not answer {path}:\n{served.log.read_text()}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests that do not need one of their own."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "answers").mkdir()
    changes = {"allowed_urls": [str(folder / "answers"), "s3://bucket/answers/"]}
    journal = folder / "journal"
    with serve(
        folder,
        TINY_CONFIG=json.dumps(changes),
        TINY_SECONDS="0.2",
        TINY_JOURNAL=str(journal),
    ) as running:
        yield running
