"""The same clip filmed otherwise: how far each measure of the face drifts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from data.contract import EXPRESSION_MEASURES
from data.expression import expression_measures, expression_problem
from data.face import OUTLINE, FaceTracker, Image
from data.recording import Frame, open_recording, thinned
from data.watching import expression_series
from evaluation.stability import PLAIN
from training import fit

Frames = Iterable[Frame]
OFFERED_HZ = 30.0
"""Frames a second that changes are made from, before the measures ask for theirs."""


@dataclass(frozen=True)
class Change:
    """A way to film otherwise. make : frames at OFFERED_HZ, the face model → frames"""

    name: str
    make: Callable[[Frames, FaceTracker], Frames]


def _each(frames: Frames, tracker: FaceTracker, *, change: Callable[[Image], Image]) -> Frames:
    for frame in frames:
        yield Frame(frame.time_s, np.ascontiguousarray(change(frame.image)))


def _mirrored(image: Image) -> Image:
    return image[:, ::-1]


def _lit(image: Image, *, factor: float) -> Image:
    """In linear light, as another lamp or exposure would; bright parts burn out."""
    linear = (image / 255.0) ** 2.2 * factor
    return np.asarray(255 * np.clip(linear, 0, 1) ** (1 / 2.2), np.uint8)


def _blurred(image: Image) -> Image:
    """A little out of focus: a standard deviation of a four hundredth of the picture's width."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 400), np.uint8)


def _halved(image: Image) -> Image:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _tinted(image: Image) -> Image:
    """Warmer by the white balance of a lamp taken for daylight."""
    return np.asarray(np.clip(image * np.array([1.15, 1.0, 0.75]), 0, 255), np.uint8)


def _slower(frames: Frames, tracker: FaceTracker, *, rate_hz: float) -> Frames:
    return thinned(frames, rate_hz)


def _compressed(frames: Frames, tracker: FaceTracker, *, bit_rate: int) -> Frames:
    """At a bit rate that a poor connection leaves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encoded(frames, path, bit_rate=bit_rate)
        yield from open_recording(path).frames(OFFERED_HZ)


def encoded(frames: Frames, path: Path, *, bit_rate: int | None = None) -> None:
    """Write frames of one size as H.264, as a browser sends it, each at its time.

    bit_rate : bits a second; None: as many as the encoder takes
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(frames):
            height, width = (side // 2 * 2 for side in frame.image.shape[:2])
            if number == 0:
                stream.height, stream.width = height, width
            image = np.ascontiguousarray(frame.image[:height, :width])
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = round(1000 * frame.time_s), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _drawn(
    frames: Frames, tracker: FaceTracker, *, draw: Callable[[Image, np.ndarray], Image]
) -> Iterator[Frame]:
    """What `draw` makes of every picture with one face and its landmarks in pixels.

    The landmarks tremble and a thing that is worn does not: those of a face at rest follow
    slowly, those of one that moves at once.
    """
    steady: np.ndarray | None = None
    for frame in frames:
        points = tracker.look(frame.image).landmarks
        if points is None or steady is None:
            steady = points
        else:
            moved = np.linalg.norm(points - steady, axis=1).mean() / np.ptp(points[:, 0])
            steady = steady + np.clip(moved / _MOVES, 0.1, 1) * (points - steady)
        yield Frame(frame.time_s, frame.image if steady is None else draw(frame.image, steady))


_MOVES = 0.02
"""Of the face's width: further away, landmarks have moved with the head."""


def _darker_skin(image: Image, points: np.ndarray, *, share: float) -> Image:
    """The lightness of the face, and of nothing else, brought down to this share."""
    inside: npt.NDArray[np.float32] = np.zeros(image.shape[:2], np.float32)
    outline = cv2.convexHull(np.round(points).astype(np.int32))
    cv2.fillConvexPoly(inside, outline, 1.0)
    soft = cv2.GaussianBlur(inside, (0, 0), np.ptp(points[:, 0]) / 40)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] *= 1 - (1 - share) * soft
    return np.asarray(cv2.cvtColor(lab.astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


_RIM = (40, 35, 35)


def _with_glasses(image: Image, points: np.ndarray) -> Image:
    """Dark rims as wide as of real glasses around both eyes, joined, with a glint in each."""
    worn, width = image.copy(), float(np.ptp(points[:, 0]))
    rim = max(1, round(width / 60))
    eyes = [points[list(OUTLINE[name])] for name in ("eye_a", "eye_b")]
    middles = [(eye.mean(axis=0), float(np.ptp(eye[:, 0]))) for eye in eyes]
    for middle, side in middles:
        centre = middle + np.array([0, 0.12 * side])
        cv2.ellipse(
            worn, _fine(centre), _fine((0.85 * side, 0.66 * side)), 0, 0, 360, _RIM, rim,
            cv2.LINE_AA, _FINE,
        )  # fmt: skip
        glint, size = centre + np.array([0.45, -0.35]) * side, width / 70
        cv2.circle(worn, _fine(glint), _fine((size,))[0], (245, 245, 245), -1, cv2.LINE_AA, _FINE)
    (a, side_a), (b, side_b) = middles
    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
    ends = a + 0.85 * side_a * along, b - 0.85 * side_b * along
    cv2.line(worn, _fine(ends[0]), _fine(ends[1]), _RIM, rim, cv2.LINE_AA, _FINE)
    return worn


_FINE = 4
"""Bits of a pixel that drawing keeps: rims that jump from pixel to pixel are no glasses."""


def _fine(values: Iterable[float]) -> tuple[int, ...]:
    return tuple(round(float(value) * 2**_FINE) for value in values)


CHANGES = (
    Change("mirror", partial(_each, change=_mirrored)),
    Change("light x 1.6", partial(_each, change=partial(_lit, factor=1.6))),
    Change("light x 0.4", partial(_each, change=partial(_lit, factor=0.4))),
    Change("blur", partial(_each, change=_blurred)),
    Change("half size", partial(_each, change=_halved)),
    Change("150 kbit/s", partial(_compressed, bit_rate=150_000)),
    Change("10 frames/s", partial(_slower, rate_hz=10)),
    Change("warm hue", partial(_each, change=_tinted)),
    Change("darker skin", partial(_drawn, draw=partial(_darker_skin, share=0.5))),
    Change("glasses", partial(_drawn, draw=_with_glasses)),
)
"""Darker skin and glasses are painted on: what they do to real people is not thereby known."""


def filmed_otherwise(paths: Sequence[Path], tracker: FaceTracker) -> pd.DataFrame:
    """The table of `evaluation.stability` of these recordings under every change."""
    rows: list[tuple[str, str, str, float | None, str]] = []
    with fit.progress("filmed otherwise", len(paths) * (len(CHANGES) + 1)) as done:
        for number, path in enumerate(paths, start=1):
            recording = open_recording(path)
            for name, make in ((PLAIN, None), *((c.name, c.make) for c in CHANGES)):
                frames: Frames = recording.frames(OFFERED_HZ)
                seen = make(frames, tracker) if make else frames
                measured, reason = _measured(seen, tracker, recording.duration_s)
                done()
                for column in EXPRESSION_MEASURES:
                    value = measured[column.name]
                    # by number: a file's name may be somebody's
                    rows.append((f"recording {number}", name, column.name, value, reason))
    columns = ["recording", "change", "measure", "value", "reason"]
    return pd.DataFrame(rows, columns=columns).round({"value": 4})


def _measured(
    frames: Frames, tracker: FaceTracker, duration_s: float
) -> tuple[dict[str, float | None], str]:
    config = tracker.config
    asked = thinned(frames, config.quick_rate_hz)
    series = expression_series(asked, tracker, duration_s=duration_s)
    problem = expression_problem(series, config)
    return expression_measures(series, config), problem[0] if problem else ""
