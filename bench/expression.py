"""The face over time: seconds beside MediaPipe at full rate, agreement with it, memory."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
import pandas as pd
from rich.progress import track
from rich.table import Table

from bench.measure import SAMPLE, Spread, console, spread, timed
from bench.peer import landmarker
from data.console import console as aside
from data.contract import EXPRESSION_MEASURES
from data.expression import ExpressionSeries, expression_measures
from data.face import FaceTracker
from data.key_frames import kept_frames
from data.recording import Frame, open_recording
from data.watching import expression_series
from training.stability import encoded

MINUTE_S, SIZE = 60.0, (640, 480)
GOAL_S = 2.5
"""For a minute of 640×480 on 2 cores."""

GOAL_RATIO = 5.0
GOAL_R = 0.95

STRETCH_S = 10.0
"""Measures of stretches this long are compared."""

RUNS, RUN_S = 200, 6.0
"""Recordings that memory is watched over, and the seconds of each."""


@dataclass(frozen=True)
class Full:
    """What MediaPipe saw, every frame of an OpenCV capture, in video mode with one face."""

    series: ExpressionSeries
    seconds: float


def expression(path: Path, repeats: int) -> dict[str, object]:
    """Print and return seconds, agreement over the recordings beside `path`, and memory."""
    with tempfile.TemporaryDirectory() as folder, FaceTracker() as tracker:
        minute = _minute(path, Path(folder) / "minute.mp4")
        ours, theirs = [], []
        for _ in track(range(repeats), "ours, theirs", console=aside):
            ours.append(timed(lambda: _watched(minute, tracker))[1])
            theirs.append(_full(minute, tracker).seconds)
        agreement = _agreement(_recordings(path), tracker)
        memory = _memory(path, Path(folder) / "short.mp4", tracker)
    mine, usual = spread(ours), spread(theirs)
    _print(path, mine, usual, agreement, memory)
    return {
        "file": path.name,
        "minute_s": asdict(mine),
        "full_rate_s": asdict(usual),
        "ratio": usual.median / mine.median,
        "agreement": agreement.to_dict("records"),
        "memory_mb": memory,
        "goal_s": GOAL_S,
        "goal_ratio": GOAL_RATIO,
        "goal_r": GOAL_R,
    }


def _recordings(path: Path) -> list[Path]:
    """Those beside `path`, and the sample: more people than one."""
    beside = [one for one in sorted(path.parent.glob("*.*")) if one.suffix in (".mp4", ".webm")]
    return list(dict.fromkeys([*beside, SAMPLE]))


def _minute(path: Path, target: Path, seconds: float = MINUTE_S) -> Path:
    """The recording again and again, cut and scaled to SIZE, as a browser sends it."""
    encoded(_repeated(path, seconds), target)
    return target


def _repeated(path: Path, seconds: float) -> Iterator[Frame]:
    recording = open_recording(path)
    begun_s, time_s = 0.0, 0.0
    while time_s < seconds:
        for frame in recording.frames(30):
            time_s = begun_s + frame.time_s
            if time_s >= seconds:
                return
            side = round(frame.image.shape[0] * SIZE[0] / SIZE[1])
            left = max(0, (frame.image.shape[1] - side) // 2)
            image = cv2.resize(frame.image[:, left : left + side], SIZE)
            yield Frame(time_s, np.asarray(image, np.uint8))
        begun_s = time_s + 1 / 15


def _watched(path: Path, tracker: FaceTracker) -> ExpressionSeries:
    """One pass over the file as the service makes it, stills and measures included."""
    config = tracker.config
    frames = open_recording(path).frames(config.quick_rate_hz)
    series = expression_series(frames, tracker, kept=kept_frames(config))
    expression_measures(series, config)
    return series


def _full(path: Path, tracker: FaceTracker) -> Full:
    """Only decoding and looking are timed; our own formulas turn what it saw into measures."""
    video, seen, times_s, brightness = cv2.VideoCapture(str(path)), [], [], []
    rate_hz = video.get(cv2.CAP_PROP_FPS) or 30.0

    def watch() -> None:
        with landmarker() as model:
            while True:
                read, picture = video.read()
                if not read:
                    return
                image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                at_ms = round(1000 * len(seen) / rate_hz)
                times_s.append(at_ms / 1000)
                brightness.append(image[::8, ::8].mean() / 255)
                found = model.detect_for_video(
                    mp.Image(image_format=mp.ImageFormat.SRGB, data=image), at_ms
                )
                seen.append((found, image.shape))

    _, seconds = timed(watch)
    video.release()
    looks = [tracker.described(found, np.zeros(shape, np.uint8)) for found, shape in seen]
    series = ExpressionSeries.clear(
        np.array(times_s),
        np.array([look.values for look in looks]),
        faces=np.array([look.faces for look in looks]),
        brightness=np.array(brightness),
        offered_hz=rate_hz,
        height=seen[0][1][0] if seen else 0,
    )
    return Full(series, seconds)


def _agreement(paths: Iterable[Path], tracker: FaceTracker) -> pd.DataFrame:
    """r of every measure over stretches of all recordings, with how many there were.

    peer_r : with MediaPipe at every frame in its video mode, which smooths over time
    every_r : with our own looks at every frame: what looking less often changes
    """
    config, rows = tracker.config, []
    every = config.model_copy(update={"rate_hz": config.quick_rate_hz, "mean_rate_hz": 1e3})
    for path in paths:
        ours = _watched(path, tracker)
        if np.mean(ours.faces == 1) < config.min_one_face_share:
            continue
        tracker.config = every
        series = (ours, _full(path, tracker).series, _watched(path, tracker))
        tracker.config = config
        for start_s in np.arange(0, ours.times_s[-1] - STRETCH_S + 1, STRETCH_S):
            parts = [expression_measures(_part(one, start_s), config) for one in series]
            for column in EXPRESSION_MEASURES:
                rows.append((column.name, *(part[column.name] for part in parts)))
    table = pd.DataFrame(rows, columns=["measure", "ours", "peer", "every"]).dropna()
    found = []
    for column in EXPRESSION_MEASURES:
        part = table[table["measure"] == column.name].astype(
            dict.fromkeys(table.columns[1:], float)
        )
        r = {f"{name}_r": _r(part["ours"], part[name]) for name in ("peer", "every")}
        found.append({"measure": column.name, "n": len(part), **r})
    return pd.DataFrame(found)


def _r(ours: pd.Series, other: pd.Series) -> float | None:
    if len(ours) < 3 or min(ours.nunique(), other.nunique()) < 2:
        return None
    return float(ours.corr(other))


def _part(series: ExpressionSeries, start_s: float) -> ExpressionSeries:
    inside = (series.times_s >= start_s) & (series.times_s < start_s + STRETCH_S)
    by_frame = ("times_s", "values", "faces", "brightness", "blurred", "covered", "frozen")
    cut: dict[str, object] = {name: getattr(series, name)[inside] for name in by_frame}
    cut["times_s"] = series.times_s[inside] - start_s
    return replace(series, duration_s=STRETCH_S, **cut)  # type: ignore[arg-type]


def _memory(path: Path, target: Path, tracker: FaceTracker) -> dict[str, float]:
    """Resident 10⁶ bytes after the first 20 recordings and after the last."""
    short = _minute(path, target, RUN_S)
    found = {}
    for number in track(range(1, RUNS + 1), f"{RUNS} recordings", console=aside):
        _watched(short, tracker)
        if number in (20, RUNS // 2, RUNS):
            gc.collect()
            found[f"after {number}"] = _resident_mb()
    return found


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _print(
    path: Path, ours: Spread, usual: Spread, agreement: pd.DataFrame, memory: dict[str, float]
) -> None:
    console.print(
        f"{path.name}, repeated to {MINUTE_S:g} s of {SIZE[0]}×{SIZE[1]}: ours {ours} s (goal "
        f"{GOAL_S:g} s); OpenCV and FaceLandmarker at every frame {usual} s: "
        f"{usual.median / ours.median:.1f}× (goal {GOAL_RATIO:g}×)"
    )
    table = Table(title=f"measures of {STRETCH_S:g} s stretches, ours and at every frame")
    for heading in ("measure", "stretches", "r with MediaPipe's video mode", "r with our own"):
        table.add_column(heading)
    for row in agreement.itertuples():
        shown = (f"{r:.3f}" if pd.notna(r) else "does not vary" for r in (row.peer_r, row.every_r))
        table.add_row(row.measure, str(row.n), *shown)
    console.print(table)
    shown = ", ".join(f"{when} {size:.0f} MB" for when, size in memory.items())
    console.print(f"memory over {RUNS} recordings of {RUN_S:g} s: {shown}")
