"""The few stills of a recording that show its measured moments, for the report."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from data.contract import EXPRESSION, KeyFrame
from data.expression import (
    ExpressionSeries,
    expression_problem,
    gazes,
    nod_times,
    regular,
    shows_quick_moves,
)
from data.face import OUTLINE, ExpressionConfig, Image, Look
from data.recording import Frame

Floats = npt.NDArray[np.float64]


Outlines = dict[str, tuple[tuple[float, float], ...]]
"""Part of the face -> its landmarks in shares of the picture."""


@dataclass(frozen=True)
class Still:
    """A picture that may become a key frame.

    landmarks : (478, 2) in shares of the picture
    """

    jpeg: bytes
    landmarks: npt.NDArray[np.float32]


@dataclass
class KeptFrames:
    """The stills that may become key frames, as small JPEGs by time.

    Of each second of the recording at most four stay: the largest smile, the gaze
    farthest from the camera, the lowest head, the fastest head. A minute takes two megabytes.
    """

    width: int
    quality: int
    stills: dict[float, Still] = field(default_factory=dict)
    _second: int = -1
    _best: dict[str, tuple[float, float, Image, Look]] = field(default_factory=dict)
    _pose: Floats | None = None
    _pose_s: float = 0.0

    def offer(self, frame: Frame, look: Look) -> None:
        """Keep the frame if its second has none that shows more."""
        time_s = frame.time_s
        if int(time_s) != self._second:
            self.finish()
            self._second = int(time_s)
        if look.faces != 1:
            self._pose = None
            return
        pose = look.values[_POSE]
        shown = {
            "smile": float(look.values[_SMILE]),
            "away": float(look.values[_CAMERA_ANGLE]),
            "lowered": -float(look.values[_PITCH]),
        }
        if self._pose is not None and time_s > self._pose_s:
            speed = np.linalg.norm(pose - self._pose) / (time_s - self._pose_s)
            shown["movement"] = float(speed)
        self._pose, self._pose_s = pose, time_s
        for moment, value in shown.items():
            if moment not in self._best or value > self._best[moment][0]:
                self._best[moment] = (value, time_s, frame.image, look)

    def finish(self) -> None:
        """Turn the last second's pictures into JPEGs; call once after the last frame."""
        for _, time_s, image, look in self._best.values():
            if time_s not in self.stills:
                jpeg = _jpeg(image, self.width, self.quality)
                self.stills[time_s] = Still(jpeg, _shares(look, image))
        self._best = {}


_POSE = [EXPRESSION.names.index(name) for name in ("head_yaw", "head_pitch", "head_roll")]
_PITCH = EXPRESSION.names.index("head_pitch")
_SMILE = EXPRESSION.names.index("smile")
_CAMERA_ANGLE = EXPRESSION.names.index("camera_angle")


def _jpeg(image: Image, width: int, quality: int) -> bytes:
    height = round(image.shape[0] * width / image.shape[1])
    if width < image.shape[1]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def _shares(look: Look, image: Image) -> npt.NDArray[np.float32]:
    assert look.landmarks is not None
    return np.asarray(look.landmarks / (image.shape[1], image.shape[0]), np.float32)


def _outlines(landmarks: npt.NDArray[np.float32]) -> Outlines:
    return {
        part: tuple((round(float(x), 4), round(float(y), 4)) for x, y in landmarks[list(places)])
        for part, places in OUTLINE.items()
    }


def kept_frames(config: ExpressionConfig) -> KeptFrames:
    """An empty keeper; leave it out where there is no consent for pictures."""
    return KeptFrames(config.key_frame_width, config.key_frame_quality)


def key_frames(
    series: ExpressionSeries, kept: KeptFrames, config: ExpressionConfig
) -> tuple[KeyFrame, ...]:
    """Stills of the largest smile, the longest look away and a nod or the fastest head.

    In time order, at least `key_frames_apart_s` apart; a moment that does not occur
    (no smile, no look away) has none. Empty when the face is not measured.
    """
    if expression_problem(series, config) is not None or not kept.stills:
        return ()
    chosen: list[KeyFrame] = []
    for measure, unit, moments in _moments(series, config):
        within = (
            (still_s, moment.value)
            for moment in moments
            for still_s in moment.stills(kept)
            if all(abs(still_s - other.time_s) >= config.key_frames_apart_s for other in chosen)
        )
        for still_s, value in islice(within, 1):
            still = kept.stills[still_s]
            chosen.append(
                KeyFrame(
                    time_s=still_s,
                    measure=measure,
                    value=value,
                    unit=unit,
                    jpeg=base64.b64encode(still.jpeg).decode(),
                    outlines=_outlines(still.landmarks),
                )
            )
    return tuple(sorted(chosen, key=lambda frame: frame.time_s))


@dataclass(frozen=True)
class _Moment:
    """Something measured that lasts from begin_s to end_s."""

    begin_s: float
    end_s: float
    value: float

    def stills(self, kept: KeptFrames) -> list[float]:
        """Times of the stills taken while it lasts, the one nearest to its middle first."""
        middle = (self.begin_s + self.end_s) / 2
        inside = [time_s for time_s in kept.stills if self.begin_s <= time_s <= self.end_s]
        return sorted(inside, key=lambda time_s: abs(time_s - middle))


_SHOWN_S = 0.1
"""A still shows what was measured so near to it."""


def _at(time_s: float, value: float) -> _Moment:
    return _Moment(time_s - _SHOWN_S, time_s + _SHOWN_S, value)


def _moments(
    series: ExpressionSeries, config: ExpressionConfig
) -> list[tuple[str, str, list[_Moment]]]:
    """(measure, unit, moments), the best of each first."""
    rate_hz = config.quick_rate_hz
    times, values = regular(series, rate_hz, max_gap_s=config.max_gap_s)
    table = {name: values[:, i] for i, name in enumerate(EXPRESSION.names)}
    smile = np.nan_to_num(table["smile"])
    most = [i for i in np.argsort(-smile) if smile[i] > config.smile_at]
    _, looks_away = gazes(table, ~np.isnan(values[:, 0]), config)
    away = [_Moment(float(times[a]), float(times[b - 1]), (b - a) / rate_hz) for a, b in looks_away]
    nods = [
        _at(float(times[0] + t), float(table["head_pitch"][round(t * rate_hz)]))
        for t in nod_times(table["head_pitch"], table["head_yaw"], rate_hz, config)
    ]
    fastest = [
        moment for moment in _fastest(times, table) if moment.value > config.movement_at_deg_s
    ]
    nodded = nods and shows_quick_moves(series, config)
    return [
        ("smile", "1", [_at(float(times[i]), float(smile[i])) for i in most]),
        ("look_away", "s", sorted(away, key=lambda moment: -moment.value)),
        ("nod", "deg", nods) if nodded else ("head_movement", "deg/s", fastest),
    ]


def _fastest(times: Floats, table: dict[str, Floats]) -> list[_Moment]:
    pose = np.stack([table["head_yaw"], table["head_pitch"], table["head_roll"]], axis=1)
    if len(times) < 4:
        return []
    speed = np.linalg.norm(pose[3:] - pose[:-3], axis=1) / (times[3:] - times[:-3])
    speed = np.nan_to_num(speed)
    return [
        _Moment(float(times[i]), float(times[i + 3]), float(speed[i])) for i in np.argsort(-speed)
    ]
