"""Video frames → observable behaviour of the face over time, its measures and key frames.

Only what can be seen is measured: smile, gaze toward the camera, turns of the head.
Nothing here names or infers a feeling. One pass reads the frames, finds the faces
and keeps the few stills that may become key frames.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2
import mediapipe as mp
import numpy as np
import numpy.typing as npt
from mediapipe.tasks.python import BaseOptions, vision
from pydantic import Field
from scipy.signal import find_peaks, peak_widths

import configs
from data.assets import fetch
from data.contract import (
    EXPRESSION,
    EXPRESSION_MEASURES,
    ContractMismatch,
    Curve,
    KeyFrame,
    Quality,
    Record,
)
from data.recording import Frame

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]


class ExpressionConfig(Record):
    """configs/expression_measures.yaml."""

    rate_hz: float = Field(gt=0)
    quick_rate_hz: float = Field(gt=0, description="ask a recording for frames at this rate")
    mean_rate_hz: float = Field(gt=0)
    quick_change: float = Field(gt=0)
    max_gap_s: float = Field(gt=0)
    smile_at: float = Field(gt=0, lt=1)
    gaze_side_deg: float = Field(gt=0, lt=90)
    gaze_height_deg: float = Field(gt=0, lt=90)
    eye_range_deg: float = Field(gt=0, lt=90)
    blink_aperture: float = Field(gt=0, lt=1)
    blink_max_s: float = Field(gt=0)
    blink_side_deg: float = Field(gt=0, lt=90)
    blink_min_rate_hz: float = Field(gt=0)
    max_missed_share: float = Field(ge=0, le=1)
    nod_deg: float = Field(gt=0)
    nod_max_s: float = Field(gt=0)
    shake_deg: float = Field(gt=0)
    shake_max_s: float = Field(gt=0)
    movement_at_deg_s: float = Field(gt=0)
    min_face_s: float = Field(gt=0)
    min_one_face_share: float = Field(ge=0, le=1)
    several_share: float = Field(ge=0, le=1)
    min_face_pixels: float = Field(ge=0)
    dark_below: float = Field(ge=0, le=1)
    key_frame_width: int = Field(gt=0, le=320)
    key_frame_quality: int = Field(ge=1, le=95)
    key_frames_apart_s: float = Field(ge=0)


# --- one frame ---------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What one frame shows.

    faces : 0, 1, or 2 for two and more
    values : (EXPRESSION width,) of the face; NaN where not exactly one face
    box : (left, top, right, bottom) of the first face in shares of the picture
    """

    faces: int
    values: Floats
    box: tuple[float, float, float, float] | None = None


class FaceTracker:
    """MediaPipe's face landmarker; one per worker, used as a context manager.

    Pictures are looked at one by one. In video mode with two faces the landmarker
    gives the same values to the last bit at the same cost (it looks for the second
    face in every frame), but would carry its state from one recording to the next;
    with one face it costs a fifth less, and loses fast turns of the head.
    Calls are serialised: the landmarker is not safe to share between threads.
    """

    def __init__(self, config: ExpressionConfig | None = None) -> None:
        """Load the model, fetching it first where the machine has not got it (a second)."""
        self.config = config or configs.load("expression_measures", ExpressionConfig)
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(fetch("face_landmarker.task"))),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=2,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._lock = threading.Lock()
        with _native_stderr_silenced():
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
            self._detect(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> Self:
        """The tracker."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give the native memory back; the tracker cannot be used afterwards."""
        self._landmarker.close()

    def look(self, image: Image) -> Look:
        """image : (height, width, 3) uint8 RGB.

        A face smaller than a seventh of the picture's width escapes the detector, so
        a picture without a face is searched again in overlapping parts.
        """
        height, width = image.shape[:2]
        for left, top, side_x, side_y in ((0, 0, width, height), *_parts(width, height)):
            found = self._detect(image[top : top + side_y, left : left + side_x])
            if found.face_landmarks:
                scale, corner = (side_x, side_y, side_x), (left, top, 0)
                faces = [_positions(face, scale) + corner for face in found.face_landmarks]
                return self._described(found, faces, (width, height))
        return Look(0, _NOTHING)

    def _described(self, found: Any, faces: list[Floats], size: tuple[int, int]) -> Look:
        """faces : landmarks in pixels of the whole picture of that (width, height)."""
        box = _box(faces[0], size)
        if len(faces) > 1:
            return Look(2, _NOTHING, box)
        blendshapes = {shape.category_name: shape.score for shape in found.face_blendshapes[0]}
        pose = np.asarray(found.facial_transformation_matrixes[0])
        columns = {
            **_movements(blendshapes),
            **_apertures(faces[0]),
            **_directions(pose, blendshapes, self.config.eye_range_deg),
            "face_x": (box[0] + box[2]) / 2,
            "face_y": (box[1] + box[3]) / 2,
            "face_height": box[3] - box[1],
        }
        return Look(1, np.array([columns[name] for name in EXPRESSION.names]), box)

    def _detect(self, image: Image) -> Any:
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        with self._lock:
            return self._landmarker.detect(picture)


_NOTHING = np.full(len(EXPRESSION.columns), np.nan)

BLENDSHAPES = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "mouth_corners_down": ("mouthFrownLeft", "mouthFrownRight"),
    "mouth_press": ("mouthPressLeft", "mouthPressRight"),
    "mouth_pucker": ("mouthPucker",),
    "mouth_stretch": ("mouthStretchLeft", "mouthStretchRight"),
    "upper_lip_raise": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "lower_lip_down": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "jaw_open": ("jawOpen",),
    "brow_raise": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brow_lower": ("browDownLeft", "browDownRight"),
    "eye_squint": ("eyeSquintLeft", "eyeSquintRight"),
    "eye_wide": ("eyeWideLeft", "eyeWideRight"),
    "eye_closure": ("eyeBlinkLeft", "eyeBlinkRight"),
}
"""Column -> the blendshapes it is the mean of."""

UNUSED_BLENDSHAPES = (
    *("_neutral", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "jawForward"),
    *("noseSneerLeft", "noseSneerRight"),
)
"""Stayed below 0.005 in every frame of the real recordings: they carry nothing."""

# Landmarks of the 478-point mesh: (upper, lower, one corner, other corner).
_MOUTH = (13, 14, 78, 308)
_EYES = ((159, 145, 33, 133), (386, 374, 362, 263))


def _movements(blendshapes: dict[str, float]) -> dict[str, float]:
    return {
        column: sum(blendshapes[name] for name in names) / len(names)
        for column, names in BLENDSHAPES.items()
    }


def _positions(face: Any, scale: tuple[int, int, int]) -> Floats:
    """(478, 3) in pixels; depth is in the scale of the width, as the model gives it."""
    return np.array([(p.x, p.y, p.z) for p in face]) * scale


def _parts(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height) of overlapping squares half as wide as the picture.

    From the middle outward: a candidate rarely sits at the edge.
    """
    side = min(max(width, height) // 2, width, height)
    corners = [(x, y) for x in _steps(width, side) for y in _steps(height, side)]
    middle = ((width - side) / 2, (height - side) / 2)
    corners.sort(key=lambda corner: np.hypot(corner[0] - middle[0], corner[1] - middle[1]))
    return [(left, top, side, side) for left, top in corners]


def _steps(length: int, side: int) -> list[int]:
    """Starts of stretches of `side` that cover `length`, each overlapping the next by half."""
    count = 1 + int(np.ceil((length - side) / (side / 2)))
    return [int(start) for start in np.linspace(0, length - side, count)]


def _box(points: Floats, size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top = points[:, :2].min(axis=0) / size
    right, bottom = points[:, :2].max(axis=0) / size
    return float(left), float(top), float(right), float(bottom)


def _apertures(points: Floats) -> dict[str, float]:
    def opening(upper: int, lower: int, corner: int, other: int) -> float:
        gap = np.linalg.norm(points[upper] - points[lower])
        return float(gap / max(float(np.linalg.norm(points[corner] - points[other])), 1e-6))

    eyes = [opening(*eye) for eye in _EYES]
    return {"mouth_opening": opening(*_MOUTH), "eye_aperture": sum(eyes) / len(eyes)}


def _directions(
    pose: Floats, blendshapes: dict[str, float], eye_range_deg: float
) -> dict[str, float]:
    """Head and gaze away from the camera, in degrees.

    pose : (4, 4), rotation and place of the face: x right, y up, z toward the viewer.
    Its rotation follows from how the face looks, wherever in the picture it is: a
    photograph moved sideways by a fifth of the picture keeps its angles within 3°.
    """
    forward = pose[:3, 2]
    head_yaw, head_pitch = _yaw(forward), _pitch(forward)
    mean = _look_means(blendshapes)
    gaze_yaw = head_yaw + eye_range_deg * mean["right"]
    gaze_pitch = head_pitch + eye_range_deg * mean["up"]
    return {
        "head_yaw": head_yaw,
        "head_pitch": head_pitch,
        "head_roll": float(np.degrees(np.arctan2(pose[1, 0], pose[1, 1]))),
        "gaze_yaw": gaze_yaw,
        "gaze_pitch": gaze_pitch,
        "camera_angle": float(np.hypot(gaze_yaw, gaze_pitch)),
    }


def _look_means(shape: dict[str, float]) -> dict[str, float]:
    """Turn of the eyes, -1 to 1, toward the image's right (the person's left) and up."""
    left_eye = shape["eyeLookOutLeft"] - shape["eyeLookInLeft"]
    right_eye = shape["eyeLookInRight"] - shape["eyeLookOutRight"]
    up = shape["eyeLookUpLeft"] + shape["eyeLookUpRight"]
    down = shape["eyeLookDownLeft"] + shape["eyeLookDownRight"]
    return {"right": (left_eye + right_eye) / 2, "up": (up - down) / 2}


def _yaw(direction: Floats) -> float:
    return float(np.degrees(np.arctan2(direction[0], direction[2])))


def _pitch(direction: Floats) -> float:
    return float(np.degrees(np.arcsin(direction[1] / np.linalg.norm(direction))))


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """MediaPipe writes notices to file descriptor 2 before any log level can be set."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# --- over time -----------------------------------------------------------------------


@dataclass(frozen=True)
class ExpressionSeries:
    """The analysed frames of one recording, in order, irregular in time.

    times_s : (frames,)
    values : (frames, EXPRESSION width), NaN where not exactly one face
    faces : (frames,) 0, 1, or 2 for two and more
    brightness : (frames,) mean luma, 0 black to 1 white
    offered_hz : frames a second that the recording offered, analysed or not
    missed_share : of them, 0 to 1, that showed a change and were one too many to analyse
    height : of the pictures, pixels
    """

    times_s: Floats
    values: Floats
    faces: npt.NDArray[np.int64]
    brightness: Floats
    offered_hz: float
    missed_share: float
    height: int

    def column(self, name: str) -> Floats:
        """(frames,) of one column of EXPRESSION."""
        return self.values[:, EXPRESSION.names.index(name)]


@dataclass
class KeptFrames:
    """The stills that may become key frames, as small JPEGs by time.

    Of each second of the recording at most three stay: the largest smile, the gaze
    farthest from the camera, the fastest head. A minute takes about a megabyte.
    """

    width: int
    quality: int
    jpegs: dict[float, bytes] = field(default_factory=dict)
    _second: int = -1
    _best: dict[str, tuple[float, float, Image]] = field(default_factory=dict)
    _pose: Floats | None = None
    _pose_s: float = 0.0

    def offer(self, time_s: float, image: Image, values: Floats) -> None:
        """Keep the picture if its second has none that shows more. values: a Look's."""
        if int(time_s) != self._second:
            self.finish()
            self._second = int(time_s)
        if np.isnan(values[0]):
            self._pose = None
            return
        pose = values[_POSE]
        shown = {"smile": float(values[_SMILE]), "away": float(values[_CAMERA_ANGLE])}
        if self._pose is not None and time_s > self._pose_s:
            speed = np.linalg.norm(pose - self._pose) / (time_s - self._pose_s)
            shown["movement"] = float(speed)
        self._pose, self._pose_s = pose, time_s
        for moment, value in shown.items():
            if moment not in self._best or value > self._best[moment][0]:
                self._best[moment] = (value, time_s, image)

    def finish(self) -> None:
        """Turn the last second's pictures into JPEGs; call once after the last frame."""
        for _, time_s, image in self._best.values():
            if time_s not in self.jpegs:
                self.jpegs[time_s] = _jpeg(image, self.width, self.quality)
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


def kept_frames(config: ExpressionConfig) -> KeptFrames:
    """An empty keeper; leave it out where there is no consent for pictures."""
    return KeptFrames(config.key_frame_width, config.key_frame_quality)


def expression_series(
    frames: Iterable[Frame], tracker: FaceTracker, *, kept: KeptFrames | None = None
) -> ExpressionSeries:
    """The face over time.

    frames : at `config.quick_rate_hz`. Where the picture of the eyes rests, only
        `config.rate_hz` of them are analysed, and never more than `mean_rate_hz` on
        average, so that a restless minute does not take twice as long.
    kept : collects the stills for `key_frames`; None keeps no picture
    """
    config = tracker.config
    seen = _Seen()
    offered, height, last_s = 0, 0, 0.0
    for frame in frames:
        offered, last_s = offered + 1, frame.time_s
        if seen.looks and not seen.asks_for(frame, config):
            continue
        look, height = tracker.look(frame.image), frame.image.shape[0]
        seen.add(frame, look)
        if kept is not None:
            kept.offer(frame.time_s, frame.image, look.values)
    if kept is not None:
        kept.finish()
    offered_hz = (offered - 1) / last_s if last_s > 0 else 0.0
    return ExpressionSeries(
        times_s=np.array(seen.times_s),
        values=np.array([look.values for look in seen.looks]).reshape(-1, len(EXPRESSION.columns)),
        faces=np.array([look.faces for look in seen.looks], dtype=np.int64),
        brightness=np.array(seen.brightness),
        offered_hz=offered_hz,
        missed_share=seen.missed / max(1, offered),
        height=height,
    )


@dataclass
class _Seen:
    """The frames analysed so far, and the one whose picture showed nothing new.

    Where the eyes' picture changes between two frames, the first is added with the values
    of the last analysed one, which it resembled: straight lines between analysed frames
    would begin a blink long before it.
    """

    times_s: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    analysed: int = 0
    missed: int = 0
    analysed_s: float = 0.0
    eyes: Floats = field(default_factory=lambda: np.empty(0))
    contrast: float = 0.0
    unchanged_s: float | None = None

    def asks_for(self, frame: Frame, config: ExpressionConfig) -> bool:
        """True when it is time, or the eyes' picture changed and the mean allows it."""
        # half a frame of slack: 5 frames at 15 a second are a third of a second but for rounding
        due = frame.time_s - self.analysed_s >= 1 / config.rate_hz - 0.5 / config.quick_rate_hz
        change = np.abs(_eyes(frame.luma, self.looks[-1].box) - self.eyes).ravel()
        changed = np.partition(change, _CHANGED)[_CHANGED] > config.quick_change * self.contrast
        if changed and not due and self.analysed >= config.mean_rate_hz * (frame.time_s + 1):
            self.missed += 1
            return False
        if changed and self.unchanged_s is not None:
            self._append(self.unchanged_s, self.looks[-1], self.brightness[-1])
        self.unchanged_s = frame.time_s
        return bool(due or changed)

    def add(self, frame: Frame, look: Look) -> None:
        """Take in an analysed frame."""
        self._append(frame.time_s, look, _luma(frame.image))
        self.analysed += 1
        self.analysed_s = frame.time_s
        self.eyes = _eyes(frame.luma, look.box)
        self.contrast = float(self.eyes.std()) + 2
        self.unchanged_s = None

    def _append(self, time_s: float, look: Look, brightness: float) -> None:
        self.times_s.append(time_s)
        self.looks.append(look)
        self.brightness.append(brightness)


EYES = (0.18, 0.48)
"""Top and bottom of the band of a face that holds eyes and brows, in shares of its height."""


_EYES_SIDE = 32
"""Points along each side of the eyes' picture that is compared."""

_CHANGED = round(0.97 * _EYES_SIDE**2)
"""The picture of the eyes changed when more than three in a hundred of its points did."""


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


def save_series(series: ExpressionSeries, path: Path) -> None:
    """Write the series as one .npz, which `load_series` reads; it holds no picture."""
    np.savez_compressed(path, **vars(series))


def load_series(path: Path) -> ExpressionSeries:
    """The series in an .npz of `save_series`.

    Raises ContractMismatch when it has another number of columns than EXPRESSION.
    """
    with np.load(path, allow_pickle=False) as arrays:
        series = ExpressionSeries(
            **{name: arrays[name] for name in ("times_s", "values", "faces", "brightness")},
            offered_hz=float(arrays["offered_hz"]),
            missed_share=float(arrays["missed_share"]),
            height=int(arrays["height"]),
        )
    needed = len(EXPRESSION.columns)
    if series.values.ndim != 2 or series.values.shape[1] != needed:
        raise ContractMismatch(
            f"{path.name} holds values of shape {series.values.shape}, {EXPRESSION.id} has "
            f"{needed} columns; extract the series again from the recording."
        )
    return series


def regular(series: ExpressionSeries, rate_hz: float, *, max_gap_s: float) -> tuple[Floats, Floats]:
    """(times, values) at a steady rate, by straight lines between neighbouring frames.

    values : (times, EXPRESSION width), NaN where one of the two neighbours has not
        exactly one face or they lie further apart than max_gap_s
    """
    width = len(EXPRESSION.columns)
    if len(series.times_s) < 2:
        return np.empty(0), np.empty((0, width))
    times = np.arange(series.times_s[0], series.times_s[-1] + 1e-9, 1 / rate_hz)
    right = np.clip(np.searchsorted(series.times_s, times), 1, len(series.times_s) - 1)
    left = right - 1
    step = series.times_s[right] - series.times_s[left]
    share = ((times - series.times_s[left]) / step)[:, None]
    values = series.values[left] * (1 - share) + series.values[right] * share
    values[step > max_gap_s] = np.nan
    return times, values


def head_input(
    series: ExpressionSeries, config: ExpressionConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What a learned head reads: (times, width) at `rate_hz` and its mask (times,).

    mask : 1 where the face was measured; there are zeros under a 0.
    """
    _, values = regular(series, config.rate_hz, max_gap_s=config.max_gap_s)
    mask = np.asarray(np.isfinite(values).all(axis=1))
    features = np.zeros(values.shape, np.float32)
    features[mask] = values[mask]
    return features, mask.astype(np.float32)


# --- what the picture allows -----------------------------------------------------------


def expression_problem(
    series: ExpressionSeries, config: ExpressionConfig
) -> tuple[str, str] | None:
    """Why the face is not measured, as (code, sentence); None when it is.

    Codes: no_video, too_dark, several_faces, no_face, face_too_small.
    """
    if len(series.times_s) < 2:
        return "no_video", "The recording has no video that can be read."
    brightness = float(np.median(series.brightness))
    if brightness < config.dark_below:
        return (
            "too_dark",
            f"The picture is too dark: mean brightness {brightness:.2f} of 1, "
            f"at least {config.dark_below} is needed. Turn a light on in front of you.",
        )
    several, one = np.mean(series.faces > 1), np.mean(series.faces == 1)
    if several > config.several_share:
        return (
            "several_faces",
            f"Two or more faces are in {several:.0%} of the pictures; nobody can say whose "
            "behaviour was measured. A person should look at the recording.",
        )
    if one < config.min_one_face_share:
        return (
            "no_face",
            f"A face is visible in {one:.0%} of the pictures; at least "
            f"{config.min_one_face_share:.0%} are needed.",
        )
    return _size_problem(series, config)


def _size_problem(series: ExpressionSeries, config: ExpressionConfig) -> tuple[str, str] | None:
    pixels = float(np.nanmedian(series.column("face_height")) * series.height)
    if pixels >= config.min_face_pixels:
        return None
    return (
        "face_too_small",
        f"The face is {pixels:.0f} pixels high; at least {config.min_face_pixels:.0f} are "
        "needed. Sit closer to the camera.",
    )


def with_face_quality(quality: Quality, series: ExpressionSeries) -> Quality:
    """The quality record with the share of frames with one face, their number, brightness."""
    if not len(series.times_s):
        return quality
    return quality.model_copy(
        update={
            "one_face_share": float(np.mean(series.faces == 1)),
            "face_frames": len(series.times_s),
            "brightness": float(series.brightness.mean()),
        }
    )


# --- measures ----------------------------------------------------------------------------

MOVEMENTS = (*BLENDSHAPES, "mouth_opening")
"""Columns whose variation is expressiveness; eye_closure and gaze are not among them."""


def expression_measures(
    series: ExpressionSeries, config: ExpressionConfig
) -> dict[str, float | None]:
    """Every name of EXPRESSION_MEASURES; None where it could not be measured.

    All are None when `expression_problem` gives a reason.
    """
    measures: dict[str, float | None] = dict.fromkeys(column.name for column in EXPRESSION_MEASURES)
    if expression_problem(series, config) is not None:
        return measures
    rate_hz = config.quick_rate_hz
    _, values = regular(series, rate_hz, max_gap_s=config.max_gap_s)
    seen = ~np.isnan(values[:, 0])
    if seen.sum() / rate_hz < config.min_face_s:
        return measures
    table = {name: values[:, i] for i, name in enumerate(EXPRESSION.names)}
    measures |= _levels({name: column[seen] for name, column in table.items()}, config)
    measures |= _gaze(table, seen, config)
    measures |= _head(table, config)
    if shows_quick_moves(series, config):
        measures |= _nods_and_shakes(table, seen, config)
        if series.offered_hz >= config.blink_min_rate_hz:
            measures |= _blinks(table, seen, config)
    return measures


def shows_quick_moves(series: ExpressionSeries, config: ExpressionConfig) -> bool:
    """Whether nods, shakes and blinks can be told: hardly a change was left unlooked at."""
    return series.missed_share <= config.max_missed_share


def _levels(table: dict[str, Floats], config: ExpressionConfig) -> dict[str, float]:
    """table : columns of EXPRESSION at a steady rate, only where the face was seen."""
    spreads = [table[name].std() for name in MOVEMENTS if name not in _EYE_MOVEMENTS]
    offset = np.hypot(table["face_x"] - 0.5, table["face_y"] - 0.5)
    return {
        "smile_share": float(np.mean(table["smile"] > config.smile_at)),
        "smile_intensity": float(table["smile"].mean()),
        "brow_movement": float(table["brow_raise"].std()),
        "mouth_opening": float(table["mouth_opening"].mean()),
        "head_turn": float(np.median(np.abs(table["head_yaw"]))),
        "head_raise": float(np.median(table["head_pitch"])),
        "head_tilt": float(np.median(np.abs(table["head_roll"]))),
        "expressiveness": float(np.mean(spreads)),
        "face_height": float(np.median(table["face_height"])),
        "face_offset": float(np.median(offset)),
    }


_EYE_MOVEMENTS = ("eye_closure", "eye_wide", "eye_squint")


def toward_camera(
    gaze_yaw: Floats, gaze_pitch: Floats, config: ExpressionConfig
) -> npt.NDArray[np.bool_]:
    """True where the gaze lies within the ellipse around the camera; NaN is False."""
    side, height = gaze_yaw / config.gaze_side_deg, gaze_pitch / config.gaze_height_deg
    return np.asarray(side**2 + height**2 <= 1)


def _gaze(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float]:
    toward = toward_camera(table["gaze_yaw"], table["gaze_pitch"], config)
    closed = _lids_closed(table, seen, config)
    # behind closed lids the gaze counts as where it was before
    toward = toward[np.maximum.accumulate(np.where(closed, 0, np.arange(len(closed))))]
    away = [end - start for start, end in _runs(seen & ~toward)]
    return {
        "gaze_to_camera_share": float(toward[seen].mean()),
        "longest_look_away": max(away, default=0) / config.quick_rate_hz,
    }


def _head(table: dict[str, Floats], config: ExpressionConfig) -> dict[str, float | None]:
    rate_hz = config.quick_rate_hz
    pose = np.stack([table["head_yaw"], table["head_pitch"], table["head_roll"]], axis=1)
    # over three frames: the landmarks tremble by a few tenths of a degree from frame to frame
    speed = np.linalg.norm(pose[3:] - pose[:-3], axis=1) * rate_hz / 3
    return {"head_movement": float(np.nanmean(speed)) if np.any(~np.isnan(speed)) else None}


def _nods_and_shakes(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float | None]:
    rate_hz = config.quick_rate_hz
    minutes = float(seen.sum()) / rate_hz / 60
    return {
        "nods": len(nod_times(table["head_pitch"], table["head_yaw"], rate_hz, config)) / minutes,
        "shakes": len(shake_times(table["head_yaw"], rate_hz, config)) / minutes,
    }


def nod_times(
    head_pitch: Floats, head_yaw: Floats, rate_hz: float, config: ExpressionConfig
) -> Floats:
    """Seconds from the start at which the head is lowest in a quick lowering and return.

    A lowering during a larger turn to the side is not counted: the measured pitch of
    a turning head moves by itself.

    head_pitch, head_yaw : (times,) degrees at a steady rate, NaN where no face was seen
    """
    found = _excursions(-head_pitch, rate_hz, depth=config.nod_deg, longest_s=config.nod_max_s)
    half = int(config.nod_max_s * rate_hz / 2) + 1

    def moved(angle: Floats, time_s: float) -> float:
        middle = round(time_s * rate_hz)
        window = angle[max(0, middle - half) : middle + half + 1]
        return float(np.nanmax(window) - np.nanmin(window))

    return np.array([t for t in found if moved(head_yaw, t) < moved(head_pitch, t)])


def shake_times(head_yaw: Floats, rate_hz: float, config: ExpressionConfig) -> Floats:
    """Seconds at which a turn to one side is followed by one to the other within shake_max_s."""
    sides = [
        _excursions(sign * head_yaw, rate_hz, depth=config.shake_deg, longest_s=config.shake_max_s)
        for sign in (1, -1)
    ]
    turns = sorted((time, side) for side, times in enumerate(sides) for time in times)
    shakes, last = [], None
    for turn in turns:
        if last and turn[1] != last[1] and turn[0] - last[0] <= config.shake_max_s:
            shakes.append((turn[0] + last[0]) / 2)
            last = None  # each turn belongs to one shake
        else:
            last = turn
    return np.array(shakes)


def _excursions(signal: Floats, rate_hz: float, *, depth: float, longest_s: float) -> Floats:
    """Times of peaks that rise at least `depth` on both sides within `longest_s`."""
    seen = ~np.isnan(signal)
    if seen.sum() < 3:
        return np.empty(0)
    index = np.arange(len(signal))
    filled = np.interp(index, index[seen], signal[seen])
    window = 2 * int(longest_s * rate_hz) + 1
    # a plateau as wide as the window has no sides in it to rise above
    limits = {"plateau_size": (1, window // 2), "prominence": depth}
    peaks, found = find_peaks(filled, **limits, wlen=window)
    bounds = (found["prominences"], found["left_bases"], found["right_bases"])
    widths = peak_widths(filled, peaks, prominence_data=bounds)[0]
    quick = (widths <= longest_s * rate_hz) & seen[peaks]
    return np.asarray(peaks[quick] / rate_hz)


def _blinks(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float | None]:
    usable = seen & (np.abs(np.nan_to_num(table["head_yaw"], nan=180)) < config.blink_side_deg)
    if usable.sum() / config.quick_rate_hz < config.min_face_s:
        return {"blink_rate": None, "blink_duration": None}
    closed = _lids_closed(table, usable, config)
    durations = [(end - start) / config.quick_rate_hz for start, end in _runs(closed)]
    blinks = [duration for duration in durations if duration <= config.blink_max_s]
    minutes = float(usable.sum()) / config.quick_rate_hz / 60
    return {
        "blink_rate": len(blinks) / minutes,
        "blink_duration": float(np.mean(blinks)) if blinks else None,
    }


def _lids_closed(
    table: dict[str, Floats], among: npt.NDArray[np.bool_], config: ExpressionConfig
) -> npt.NDArray[np.bool_]:
    """Where the lids are nearer than is usual for this person among these frames."""
    aperture = table["eye_aperture"]
    usual = np.median(aperture[among])
    return np.asarray(among & (aperture < config.blink_aperture * usual))


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of each stretch of True, end excluded."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


# --- for the report ------------------------------------------------------------------------


def curves(series: ExpressionSeries, config: ExpressionConfig) -> tuple[Curve, ...]:
    """Smile, angle between gaze and camera, head yaw and pitch at `rate_hz`, gaps as None."""
    times, values = regular(series, config.rate_hz, max_gap_s=config.max_gap_s)
    drawn = []
    for name in ("smile", "camera_angle", "head_yaw", "head_pitch"):
        column = EXPRESSION.column(name)
        points = values[:, EXPRESSION.names.index(name)]
        drawn.append(
            Curve(
                name=name,
                unit=column.unit,
                meaning=column.meaning,
                times_s=tuple(round(float(time), 3) for time in times),
                values=tuple(None if np.isnan(p) else round(float(p), 3) for p in points),
            )
        )
    return tuple(drawn)


def key_frames(
    series: ExpressionSeries, kept: KeptFrames, config: ExpressionConfig
) -> tuple[KeyFrame, ...]:
    """Stills of the largest smile, the longest look away and a nod or the fastest head.

    In time order, at least `key_frames_apart_s` apart; a moment that does not occur
    (no smile, no look away) has none. Empty when the face is not measured.
    """
    if expression_problem(series, config) is not None or not kept.jpegs:
        return ()
    chosen: list[KeyFrame] = []
    for measure, unit, candidates in _moments(series, config):
        for time_s, value in candidates:
            still_s = min(kept.jpegs, key=lambda kept_s: abs(kept_s - time_s))
            apart = [abs(still_s - other.time_s) for other in chosen]
            if abs(still_s - time_s) <= 1 and min(apart, default=1e9) >= config.key_frames_apart_s:
                jpeg = base64.b64encode(kept.jpegs[still_s]).decode()
                chosen.append(
                    KeyFrame(time_s=still_s, measure=measure, value=value, unit=unit, jpeg=jpeg)
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
    runs = _runs(~np.isnan(table["gaze_yaw"]) & ~toward)
    away = [(float(times[(a + b - 1) // 2]), (b - a) / rate_hz) for a, b in runs]
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
