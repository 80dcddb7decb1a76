"""Peak memory of a fresh process that scores one recording."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import REQUEST, ROOT, console, spread, starter_state

GOAL_GB = 1.5


def memory(path: Path, repeats: int) -> dict[str, object]:
    """Print and return the peak resident memory of `python -m serving score`, in GB."""
    with starter_state():
        peaks = spread([peak_gb(path) for _ in range(repeats)])
    console.print(f"{path.name}: peak memory {peaks} GB (goal ≤ {GOAL_GB} GB)")
    return {
        "file": path.name,
        "peak_gb": peaks.median,
        "low_gb": peaks.low,
        "high_gb": peaks.high,
        "repeats": repeats,
        "goal_gb": GOAL_GB,
    }


def peak_gb(path: Path) -> float:
    """Largest resident memory of one process that loads, scores and ends, in 10⁹ bytes.

    As the kernel accounts it to that child alone. Raises subprocess.CalledProcessError
    when the child fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        assert REQUEST.question is not None
        assert REQUEST.language is not None
        command = [
            *(sys.executable, "-m", "serving", "score", str(path)),
            *("--out", str(Path(folder) / "scorecard.json")),
            *("--job", REQUEST.job, "--question", REQUEST.question),
            *("--language", REQUEST.language),
        ]
        with subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr) as child:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return usage.ru_maxrss * 1024 / 1e9  # Linux counts in KiB
