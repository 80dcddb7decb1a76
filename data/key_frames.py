"""The few stills of a recording that show its measured moments, for the report."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from data.contract import EXPRESSION, KeyFrame
from data.expression import (
    ExpressionSeries,
    expression_problem,
    nod_times,
    regular,
    runs,
    shows_quick_moves,
    toward_camera,
)
from data.face import OUTLINE, ExpressionConfig, Image, Look
from data.recording import Frame

Floats = npt.NDArray[np.float64]


Outlines = dict[str, tuple[tuple[float, float], ...]]
"""Part of the face -> its landmarks in shares of the picture."""


@dataclass(frozen=True)
class Still:
    """A picture that may become a key frame."""

    jpeg: bytes
    outlines: Outlines


@dataclass
class KeptFrames:
    """The stills that may become key frames, as small JPEGs by time.

    Of each second of the recording at most three stay: the largest smile, the gaze
    farthest from the camera, the fastest head. A minute takes about a megabyte.
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
        shown = {"smile": float(look.values[_SMILE]), "away": float(look.values[_CAMERA_ANGLE])}
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
                self.stills[time_s] = Still(jpeg, _outlines(look, image))
        self._best = {}


_POSE = [EXPRESSION.names.index(name) for name in ("head_yaw", "head_pitch", "head_roll")]
_SMILE = EXPRESSION.names.index("smile")
_CAMERA_ANGLE = EXPRESSION.names.index("camera_angle")


def _jpeg(image: Image, width: int, quality: int) -> bytes:
    height = round(image.shape[0] * width / image.shape[1])
    if width < image.shape[1]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def _outlines(look: Look, image: Image) -> Outlines:
    assert look.landmarks is not None
    shares = np.round(look.landmarks / (image.shape[1], image.shape[0]), 4)
    return {
        part: tuple((float(x), float(y)) for x, y in shares[list(places)])
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
    for measure, unit, candidates in _moments(series, config):
        for time_s, value in candidates:
            still_s = min(kept.stills, key=lambda kept_s: abs(kept_s - time_s))
            apart = [abs(still_s - other.time_s) for other in chosen]
            if abs(still_s - time_s) <= 1 and min(apart, default=1e9) >= config.key_frames_apart_s:
                chosen.append(
                    KeyFrame(
                        time_s=still_s,
                        measure=measure,
                        value=value,
                        unit=unit,
                        jpeg=base64.b64encode(kept.stills[still_s].jpeg).decode(),
                        outlines=kept.stills[still_s].outlines,
                    )
                )
                break
    return tuple(sorted(chosen, key=lambda frame: frame.time_s))


Candidates = list[tuple[float, float]]
"""(time_s, value), the best first."""


def _moments(
    series: ExpressionSeries, config: ExpressionConfig
) -> list[tuple[str, str, Candidates]]:
    rate_hz = config.quick_rate_hz
    times, values = regular(series, rate_hz, max_gap_s=config.max_gap_s)
    table = {name: values[:, i] for i, name in enumerate(EXPRESSION.names)}
    smile = np.nan_to_num(table["smile"])
    smiles = [(float(times[i]), float(smile[i])) for i in np.argsort(-smile)]
    smiles = [moment for moment in smiles if moment[1] > config.smile_at]
    toward = toward_camera(table["gaze_yaw"], table["gaze_pitch"], config)
    looks = runs(~np.isnan(table["gaze_yaw"]) & ~toward)
    away = [
        (float(times[round(a + share * (b - 1 - a))]), (b - a) / rate_hz)
        for a, b in looks
        for share in (0.5, 0.2, 0.8)
    ]
    nods = [
        (float(times[0] + t), float(table["head_pitch"][round(t * rate_hz)]))
        for t in nod_times(table["head_pitch"], table["head_yaw"], rate_hz, config)
    ]
    fastest = [moment for moment in _fastest(times, table) if moment[1] > config.movement_at_deg_s]
    nodded = nods and shows_quick_moves(series, config)
    moved = ("nod", "deg", nods) if nodded else ("head_movement", "deg/s", fastest)
    return [
        ("smile", "1", smiles),
        ("look_away", "s", sorted(away, key=lambda moment: -moment[1])),
        moved,
    ]


def _fastest(times: Floats, table: dict[str, Floats]) -> Candidates:
    pose = np.stack([table["head_yaw"], table["head_pitch"], table["head_roll"]], axis=1)
    if len(times) < 4:
        return []
    speed = np.linalg.norm(pose[3:] - pose[:-3], axis=1) / (times[3:] - times[:-3])
    speed = np.nan_to_num(speed)
    return [(float(times[i + 1]), float(speed[i])) for i in np.argsort(-speed)]
