"""What every measurement shares: the recording, a registry of its own, medians, the last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console

from data.console import console as aside
from data.contract import ScoreRequest

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "recordings" / "fluent_man.mp4"
SAMPLE = ROOT / "data" / "sample" / "sample.mp4"

REQUEST = ScoreRequest(
    job="relationship_manager", question="unhappy_customer", language="en", policy_region="default"
)
"""Every part runs: delivery, content and face."""

Result = TypeVar("Result")

console = Console(width=None if sys.stdout.isatty() else 120)
"""For tables; a file has room for them that it does not tell of."""


def recording(named: Path | None = None) -> Path:
    """The recording that was named, else the real one of 40 s, else the sample."""
    if named is None and not REAL.is_file():
        aside.print(f"{REAL} is not there; the sample is measured instead")
    return named or (REAL if REAL.is_file() else SAMPLE)


@dataclass(frozen=True)
class Spread:
    """Median and range of repeated measurements, all in one unit."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """Raises statistics.StatisticsError where there are no values."""
    return Spread(median(values), min(values), max(values), len(values))


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What `work` returns, and its seconds on the wall clock."""
    begun = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun


@contextmanager
def starter_state() -> Iterator[Path]:
    """A state folder whose registry holds the starter versions, removed afterwards.

    INTERVIEW_STATE names it, for this process and for those it starts.
    """
    before = os.environ.get("INTERVIEW_STATE")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.environ["INTERVIEW_STATE"] = folder
        try:
            # Another process, so that nothing training needs sits in the memory that is measured.
            subprocess.run(
                [sys.executable, "-m", "training", "starter"],
                check=True,
                cwd=ROOT,
                stdout=sys.stderr,
            )
            yield Path(folder)
        finally:
            os.environ.pop("INTERVIEW_STATE")
            if before is not None:
                os.environ["INTERVIEW_STATE"] = before


def conclude(measurement: str, numbers: dict[str, Any]) -> None:
    """Print the last line: the numbers as JSON, with what else the machine was doing."""
    machine = {"cores": os.cpu_count(), "load": [round(load, 2) for load in os.getloadavg()]}
    print(json.dumps({"measurement": measurement, **rounded(numbers), "machine": machine}))


def rounded(numbers: Any) -> Any:
    """The same structure with floats to four places."""
    if isinstance(numbers, dict):
        return {key: rounded(value) for key, value in numbers.items()}
    if isinstance(numbers, list):
        return [rounded(value) for value in numbers]
    return round(numbers, 4) if isinstance(numbers, float) else numbers
