"""The running service: seconds until it is ready, and its numbers beside the scorer's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.measure import REQUEST, ROOT, console, spread, starter_state, timed
from data.console import console as aside

GOAL_READY_S = 15.0

PATIENCE_S = 180.0
"""A service that is not ready, or a score that has not ended, by then never will."""

OWN = {"id", "created_at"}
"""Fields of a scorecard that differ each time by design."""


class ServiceFailed(Exception):
    """The service ended or did not answer; the message holds its log."""


@dataclass(frozen=True)
class Served:
    """A running service. ready_s : seconds from starting its process to /readyz 200."""

    url: str
    ready_s: float


@contextmanager
def serve() -> Iterator[Served]:
    """The service under BentoML on a free port, ready, until the block ends.

    Raises ServiceFailed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "bentoml", "serve", "serving.service:service"),
        *("--working-dir", str(ROOT), "--host", "127.0.0.1", "--port", str(port)),
    ]
    with tempfile.TemporaryFile() as log:
        begun_s = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not _ready(process, url):
                log.seek(0)
                raise ServiceFailed(log.read()[-2000:].decode(errors="replace"))
            yield Served(url, time.perf_counter() - begun_s)
        finally:
            _end(process)


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return True
        time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the service and what it started: kindly, then not."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


def ready(repeats: int) -> dict[str, object]:
    """Print and return the seconds from starting the service to its being ready.

    The state folder is new: the first start also makes the databases and the key.
    """
    seconds = []
    with starter_state():
        for _ in range(repeats):
            with serve() as served:
                seconds.append(served.ready_s)
    found = spread(seconds)
    console.print(f"ready after {found} s, the first time {seconds[0]:.2f} s")
    return {"ready_s": asdict(found), "first_s": seconds[0], "goal_s": GOAL_READY_S}


def over_http(path: Path, repeats: int) -> dict[str, object]:
    """Print and return whether the service gives the scorer's own numbers, and what HTTP costs.

    Both are warm and take turns. Raises ServiceFailed.
    """
    from serving.scorer import Scorer

    inside, outside, differing = [], [], set[str]()
    with (
        starter_state(),
        Scorer.load() as scorer,
        serve() as served,
        httpx.Client(base_url=served.url, headers=_key(), timeout=PATIENCE_S) as client,
    ):
        scorer.score(path, REQUEST)
        posted(client, path)
        for _ in range(repeats):
            scored, seconds = timed(lambda: scorer.score(path, REQUEST))
            inside.append(seconds)
            answered, seconds = timed(lambda: posted(client, path))
            outside.append(seconds)
            differing |= differences(scored.scorecard.model_dump(mode="json"), answered)
    ours, theirs = spread(inside), spread(outside)
    overhead_s = theirs.median - ours.median
    verdict = "every field equal" if not differing else f"differs in {sorted(differing)}"
    console.print(f"{path.name}: {verdict} (but {', '.join(sorted(OWN))})")
    console.print(f"scorer {ours} s, over HTTP {theirs} s: {overhead_s:+.2f} s")
    return {
        "file": path.name,
        "equal": not differing,
        "differing": sorted(differing),
        "scorer_s": asdict(ours),
        "http_s": asdict(theirs),
        "overhead_s": overhead_s,
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Fields of two scorecards that are not the same to the last digit."""
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} - OWN


def posted(client: httpx.Client, path: Path) -> dict[str, Any]:
    """The scorecard of the recording, sent and waited for. Raises ServiceFailed."""
    with path.open("rb") as stream:
        answer = client.post(
            "/v1/score",
            files={"recording": (path.name, stream)},
            data={"request": REQUEST.model_dump_json()},
            headers={"Prefer": "wait=60"},
        )
    answer.raise_for_status()
    deadline = time.monotonic() + PATIENCE_S
    while answer.json().get("scorecard") is None and time.monotonic() < deadline:
        if (status := answer.json()["status"]) not in ("queued", "running"):
            raise ServiceFailed(f"the score is {status}: {answer.json().get('problem')}")
        aside.print("still being scored")
        time.sleep(1)
        answer = client.get(f"/v1/scores/{answer.json()['id']}").raise_for_status()
    scorecard: dict[str, Any] = answer.json()["scorecard"]
    return scorecard


def _key() -> dict[str, str]:
    """Headers of a new API key of the state in use."""
    from serving.api.access import create_key
    from serving.settings import load_config
    from serving.store import Store

    store = Store.open(load_config())
    try:
        return {"Authorization": f"Bearer {create_key(store, 'scorer')}"}
    finally:
        store.close()
