"""Frames of a recording → the face over time, looked at no more often than it changes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from data.contract import EXPRESSION
from data.expression import ExpressionSeries, Flags
from data.face import OUTLINE, Box, ExpressionConfig, FaceTracker, Image, Look
from data.key_frames import KeptFrames
from data.recording import Frame

Floats = npt.NDArray[np.float64]


def expression_series(
    frames: Iterable[Frame],
    tracker: FaceTracker,
    *,
    duration_s: float = 0.0,
    kept: KeptFrames | None = None,
) -> ExpressionSeries:
    """The face over time.

    frames : at `config.quick_rate_hz`. Where the picture of the eyes rests, only
        `config.rate_hz` of them are analysed, and never more than `mean_rate_hz` on
        average, so that a restless minute does not take twice as long.
    duration_s : of the recording, which may go on where its pictures end
    kept : collects the stills for key frames; None keeps no picture
    """
    config = tracker.config
    seen, still = _Seen(), _Stillness()
    offered, height, first_s, last_s, searched = 0, 0, 0.0, 0.0, [-np.inf]
    waiting: tuple[Frame, Future[Look]] | None = None
    for frame in frames:
        first_s = frame.time_s if offered == 0 else first_s
        offered, last_s = offered + 1, frame.time_s
        still.add(frame)
        if seen.looks and not seen.asks_for(frame, config):
            continue
        search = frame.time_s - searched[-1] >= config.search_every_s
        if search:
            searched.append(frame.time_s)
        look, height = tracker.begin(frame.image, search=search), frame.image.shape[0]
        # The look before ends while this one has begun: two are under way at once.
        seen.add(frame, look)
        if kept is not None and waiting is not None:
            kept.offer(waiting[0], waiting[1].result())
        waiting = frame, look
    if kept is not None:
        if waiting is not None:
            kept.offer(waiting[0], waiting[1].result())
        kept.finish()
    times_s = np.array(seen.times_s)
    looks = _as_searched(times_s, [look.result() for look in seen.looks], searched)
    blurred, covered = _obscured(times_s, looks, config)
    frozen = still.frozen(times_s, config)
    values = np.array([look.values for look in looks]).reshape(-1, len(EXPRESSION.columns))
    values[blurred | covered | frozen] = np.nan
    return ExpressionSeries(
        times_s=times_s,
        values=values,
        faces=np.array([look.faces for look in looks], dtype=np.int64),
        brightness=np.array(seen.brightness),
        blurred=blurred,
        covered=covered,
        frozen=frozen,
        duration_s=max(duration_s, last_s),
        offered_hz=(offered - 1) / (last_s - first_s) if last_s > first_s else 0.0,
        missed_share=seen.missed / max(1, offered),
        deformation=_deformation(looks),
        height=height,
    )


_UNDER_WAY = 2
"""Looks that have begun while the frames after them are read."""


@dataclass
class _Seen:
    """The frames analysed so far, and the one whose picture showed nothing new.

    Where the eyes' picture changes between two frames, the first is added with the values
    of the last analysed one, which it resembled: straight lines between analysed frames
    would begin a blink long before it. Where lids were met while they closed, the
    next frame is analysed too: in the dark they are seen to be closed only there.

    box : of the face in the look _UNDER_WAY before the last: it is waited for, the later ones
        go on; which frames are looked at does not depend on how fast that goes
    """

    times_s: list[float] = field(default_factory=list)
    looks: list[Future[Look]] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    analysed: int = 0
    missed: int = 0
    analysed_s: float = 0.0
    box: Box | None = None
    eyes: Floats = field(default_factory=lambda: np.empty(0))
    contrast: float = 0.0
    changed: bool = False
    unchanged_s: float | None = None
    under_way: list[Future[Look]] = field(default_factory=list)

    def asks_for(self, frame: Frame, config: ExpressionConfig) -> bool:
        """True when it is time, or the eyes' picture changed and the mean allows it."""
        # half a frame of slack: 5 frames at 15 a second are a third of a second but for rounding
        due = frame.time_s - self.analysed_s >= 1 / config.rate_hz - 0.5 / config.quick_rate_hz
        change = np.abs(_eyes(frame.luma, self.box) - self.eyes).ravel()
        changed = bool(
            np.partition(change, _CHANGED)[_CHANGED] > config.quick_change * self.contrast
        )
        closing, self.changed = self.changed and self._closing(), changed
        if not due and self.analysed >= config.mean_rate_hz * (frame.time_s + 1):
            self.missed += changed
            return False
        if changed and self.unchanged_s is not None:
            self._append(self.unchanged_s, self.looks[-1], self.brightness[-1])
        self.unchanged_s = frame.time_s
        return due or changed or closing

    def add(self, frame: Frame, look: Future[Look]) -> None:
        """Take in a frame whose look has begun, once the one before it has ended."""
        self.box = self._ended(look).result().box
        self._append(frame.time_s, look, _luma(frame.image))
        self.analysed += 1
        self.analysed_s = frame.time_s
        self.eyes = _eyes(frame.luma, self.box)
        self.contrast = float(self.eyes.std()) + 2
        self.unchanged_s = None

    def _closing(self) -> bool:
        """Whether the eyes are less open in the last look than in the one before; waits for it."""
        before, last = (look.result().values[_APERTURE] for look in self.looks[-2:])
        return bool(last < _CLOSING * before)

    def _ended(self, look: Future[Look]) -> Future[Look]:
        """The look that box is of; in the beginning the first."""
        self.under_way = [*self.under_way, look][-_UNDER_WAY - 1 :]
        return self.under_way[0]

    def _append(self, time_s: float, look: Future[Look], brightness: float) -> None:
        self.times_s.append(time_s)
        self.looks.append(look)
        self.brightness.append(brightness)


EYES = (0.18, 0.48)
"""Top and bottom of the band of a face that holds eyes and brows, in shares of its height."""


_EYES_SIDE = 32
"""Points along each side of the eyes' picture that is compared."""

_CHANGED = round(0.97 * _EYES_SIDE**2)
"""The picture of the eyes changed when more than three in a hundred of its points did."""


_APERTURE = EXPRESSION.names.index("eye_aperture")

_CLOSING = 0.85
"""Of the opening before: lids that close, more than a gaze that sinks between two frames."""


def _eyes(luma: Image, box: tuple[float, float, float, float] | None) -> Floats:
    """(32, 32) of the eyes' place in the picture (height, width), or of the whole picture.

    A mouth that speaks does not change it; a blink, a look aside or a turned head does.
    """
    height, width = luma.shape
    left, top, right, bottom = box or (0.0, 0.0, 1.0, 1.0)
    if box is not None:
        top, bottom = (top + share * (bottom - top) for share in EYES)
    rows = slice(max(0, int(top * height)), max(int(top * height) + 2, int(bottom * height)))
    columns = slice(max(0, int(left * width)), max(int(left * width) + 2, int(right * width)))
    crop = luma[rows, columns]
    if crop.size == 0:
        crop = luma
    return np.asarray(
        cv2.resize(crop, (_EYES_SIDE, _EYES_SIDE), interpolation=cv2.INTER_AREA), dtype=np.float64
    )


def _luma(image: Image) -> float:
    return float(image[::8, ::8].mean(axis=(0, 1)) @ (0.299, 0.587, 0.114) / 255)


def _as_searched(times_s: Floats, looks: list[Look], searched: list[float]) -> list[Look]:
    """Small faces are two until a search finds one again: other looks end at the first."""
    found: list[Look] = []
    several, due = False, iter(searched[1:])
    next_s = next(due, np.inf)
    for time_s, look in zip(times_s, looks, strict=True):
        if time_s >= next_s:
            several, next_s = look.small and look.faces > 1, next(due, np.inf)
        if several and look.small and look.faces == 1:
            look = Look(2, np.full_like(look.values, np.nan), look.box, small=True)
        found.append(look)
    return found


# --- what was not live ----------------------------------------------------------------


@dataclass
class _Stillness:
    """How much every offered picture differs from the one before, looked at or not.

    A camera's noise and a breathing person change every picture; one that is frozen, or
    shown again and again, is the same but for what the encoder mends now and then.
    """

    times_s: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    _last: npt.NDArray[np.int16] | None = None

    def add(self, frame: Frame) -> None:
        """Take in the next offered frame."""
        luma, last = frame.luma[::4, ::4].astype(np.int16), self._last
        comparable = last is not None and luma.shape == last.shape
        self.times_s.append(frame.time_s)
        self.changes.append(float(np.abs(luma - last).mean()) if comparable else np.inf)  # type: ignore[operator]
        self._last = luma

    def frozen(self, times_s: Floats, config: ExpressionConfig) -> Flags:
        """(times,) within a stretch of `frozen_s` in which nearly no picture shows a change.

        A camera that is slower than its file repeats pictures, and changes every few.
        """
        offered_s, changes = np.array(self.times_s), np.array(self.changes)
        still_s = [
            offered_s[near]
            for near in _windows(offered_s, config.frozen_s)
            if _mostly_below(changes[near], config.frozen_change)
        ]
        return (
            np.isin(times_s, np.concatenate(still_s)) if still_s else np.zeros(len(times_s), bool)
        )


_MOST = 0.9
"""Of the pictures of a still stretch: an encoder mends one now and then."""


def _windows(times_s: Floats, width_s: float) -> list[slice]:
    """Around each time, those within half of width_s."""
    first = np.searchsorted(times_s, times_s - width_s / 2)
    last = np.searchsorted(times_s, times_s + width_s / 2, side="right")
    return [slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)]


def _mostly_below(values: Floats, limit: float) -> bool:
    rank = int(_MOST * (len(values) - 1))
    return bool(np.partition(values, rank)[rank] < limit)


def _obscured(times_s: Floats, looks: list[Look], config: ExpressionConfig) -> tuple[Flags, Flags]:
    """(blurred, covered), each (frames,): for longer than a blink lasts.

    Blurred where the face shows no detail; covered where it does, but for eyes or mouth.
    """
    blurred, covered = np.zeros(len(looks), bool), np.zeros(len(looks), bool)
    seen = np.array([(look.sharpness, look.eye_contrast, look.mouth_contrast) for look in looks])
    limits = np.array([config.blurred_below, config.eyes_covered_below, config.mouth_covered_below])
    for i, window in enumerate(_windows(times_s, config.covered_s)):
        if looks[i].faces == 1:
            near = seen[window]
            below = np.median(near[np.isfinite(near[:, 0])], axis=0) < limits
            blurred[i] = below[0]
            covered[i] = below[1:].any() and not below[0]
    return blurred, covered


_PLANE = np.array(sorted({i for part in OUTLINE.values() for i in part}))
"""Landmarks that a plane is laid through."""

_PARTS = tuple(
    np.flatnonzero(np.isin(_PLANE, [i for name in names for i in OUTLINE[name]]))
    for names in (("eye_a", "eye_b"), ("mouth", "lips"), ("brow_a", "brow_b"), ("nose",))
)


def _deformation(looks: list[Look], share: float = 0.95) -> float:
    """As ExpressionSeries has it: a high quantile over the pictures, of the part that moves most.

    Compared with the picture in which the head is turned least, by the best homography: what
    a photograph does that is moved, tilted and turned before the camera.
    """
    looks = [look for look in looks if look.landmarks is not None]
    if len(looks) < 2:
        return float("nan")
    angles = [np.linalg.norm(look.values[_POSE]) for look in looks]
    base = _points(looks[int(np.argmin(angles))])
    moved = []
    for look in looks:
        points = _points(look)
        plane, _ = cv2.findHomography(base, points, 0)
        if plane is None:
            continue
        expected = np.column_stack([base, np.ones(len(base))]) @ plane.T
        error = np.linalg.norm(expected[:, :2] / expected[:, 2:] - points, axis=1)
        moved.append(max(error[part].mean() for part in _PARTS) / np.ptp(points[:, 1]))
    return 100 * float(np.quantile(moved, share)) if moved else float("nan")


_POSE = [EXPRESSION.names.index(name) for name in ("head_yaw", "head_pitch", "head_roll")]


def _points(look: Look) -> Floats:
    """(points, 2) of _PLANE in pixels."""
    assert look.landmarks is not None
    return np.asarray(look.landmarks[_PLANE])
