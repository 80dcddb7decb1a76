"""One picture → what its face shows: movements, directions, landmarks, and what is covered.

Only what can be seen is measured: smile, gaze toward the camera, turns of the head.
Nothing here names or infers a feeling.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Self

import cv2
import mediapipe as mp
import numpy as np
import numpy.typing as npt
from mediapipe.tasks.python import BaseOptions, vision
from pydantic import Field

import configs
from data.assets import fetch
from data.contract import EXPRESSION, Record

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]


class ExpressionConfig(Record):
    """configs/expression_measures.yaml."""

    rate_hz: float = Field(gt=0)
    quick_rate_hz: float = Field(gt=0, description="ask a recording for frames at this rate")
    mean_rate_hz: float = Field(gt=0)
    looks_at_once: int = Field(ge=1, le=16)
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
    moves_min_rate_hz: float = Field(gt=0)
    nod_deg: float = Field(gt=0)
    nod_max_s: float = Field(gt=0)
    shake_deg: float = Field(gt=0)
    shake_max_s: float = Field(gt=0)
    movement_at_deg_s: float = Field(gt=0)
    min_face_s: float = Field(gt=0)
    min_one_face_share: float = Field(ge=0, le=1)
    min_measured_share: float = Field(ge=0, le=1)
    several_share: float = Field(ge=0, le=1)
    search_every_s: float = Field(gt=0)
    min_face_pixels: float = Field(ge=0)
    dark_below: float = Field(ge=0, le=1)
    frozen_s: float = Field(gt=0)
    frozen_change: float = Field(ge=0, description="of the luma, 0 to 255")
    max_frozen_share: float = Field(ge=0, le=1)
    covered_s: float = Field(gt=0)
    eyes_covered_below: float = Field(ge=0)
    mouth_covered_below: float = Field(ge=0)
    max_covered_share: float = Field(ge=0, le=1)
    blurred_below: float = Field(ge=0)
    max_blurred_share: float = Field(ge=0, le=1)
    profile_deg: float = Field(gt=0, lt=90)
    max_profile_share: float = Field(ge=0, le=1)
    static_s: float = Field(gt=0)
    static_below: float = Field(ge=0, description="% of the height of the face")
    static_lids: float = Field(gt=0, lt=1, description="of the open eye")
    key_frame_width: int = Field(gt=0, le=320)
    key_frame_quality: int = Field(ge=1, le=95)
    key_frames_apart_s: float = Field(ge=0)


@dataclass(frozen=True)
class Look:
    """What one picture shows.

    faces : 0, 1, or 2 for two and more
    values : (EXPRESSION width,) of the face; NaN where not exactly one face
    box : (left, top, right, bottom) of the first face in shares of the picture
    landmarks : (478, 2) in pixels; None where not exactly one face
    eye_contrast, mouth_contrast : spread of the luma within the clearer eye and within the
        lips, over the mean luma of the face; about 0 where something plain covers them
    sharpness : spread of the Laplacian of the face, brought to one size, over its mean luma
    small : the face was found in a part of the picture only
    """

    faces: int
    values: Floats
    box: Box | None = None
    landmarks: Floats | None = None
    eye_contrast: float = np.nan
    mouth_contrast: float = np.nan
    sharpness: float = np.nan
    small: bool = False


class FaceTracker:
    """MediaPipe's face landmarkers, one a thread; one tracker per process, a context manager.

    Pictures are looked at one by one, so that several threads may look at once and none
    knows of another's recording. In video mode with two faces the landmarker gives the
    same values to the last bit at the same cost (it looks for the second face in every
    frame); with one face it costs a fifth less, and loses fast turns of the head.
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
        at_once = self.config.looks_at_once
        self._free: SimpleQueue[Any] = SimpleQueue()
        self._threads = ThreadPoolExecutor(at_once, "face")
        with _native_stderr_silenced():
            for _ in range(at_once):
                self._free.put(vision.FaceLandmarker.create_from_options(options))
                self._detect(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> Self:
        """The tracker."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give the native memory back; the tracker cannot be used afterwards."""
        self._threads.shutdown()
        for _ in range(self.config.looks_at_once):
            self._free.get().close()

    def begin(self, image: Image, *, search: bool = True) -> Future[Look]:
        """`look` in a thread of its own, as soon as one is free."""
        return self._threads.submit(self.look, image, search=search)

    def look(self, image: Image, *, search: bool = True) -> Look:
        """image : (height, width, 3) uint8 RGB.

        A face smaller than a seventh of the picture's width escapes the detector, so
        a picture without a face is searched again in overlapping parts.

        search : look for a second such face in the parts after the first was found in one
        """
        height, width = image.shape[:2]
        first: Look | None = None
        for left, top, side_x, side_y in ((0, 0, width, height), *_parts(width, height)):
            found = self._detect(image[top : top + side_y, left : left + side_x])
            if not found.face_landmarks:
                continue
            look = self.described(found, image, (left, top, side_x, side_y))
            if first is not None and _apart(look.box, first.box):
                return Look(2, _NOTHING, first.box, small=True)
            first = first or replace(look, small=side_x < width)
            if not first.small or look.faces > 1 or not search:
                break
        return first or Look(0, _NOTHING)

    def described(
        self, found: Any, image: Image, within: tuple[int, int, int, int] | None = None
    ) -> Look:
        """What a landmarker found, as a look.

        within : (left, top, width, height) of the part of the image that was looked at
        """
        size = (image.shape[1], image.shape[0])
        left, top, side_x, side_y = within or (0, 0, *size)
        if not found.face_landmarks:
            return Look(0, _NOTHING)
        scale, corner = (side_x, side_y, side_x), (left, top, 0)
        faces = [_positions(face, scale) + corner for face in found.face_landmarks]
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
        values = np.array([columns[name] for name in EXPRESSION.names])
        landmarks = faces[0][:, :2]
        return Look(1, values, box, landmarks, *_contrasts(image, landmarks))

    def _detect(self, image: Image) -> Any:
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        landmarker = self._free.get()
        try:
            return landmarker.detect(picture)
        finally:
            self._free.put(landmarker)


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


def _apart(box: Box | None, other: Box | None) -> bool:
    """Whether two boxes are of two faces: neither holds the other's middle."""
    if box is None or other is None:
        return False
    for a, b in ((box, other), (other, box)):
        x, y = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
        if b[0] <= x <= b[2] and b[1] <= y <= b[3]:
            return False
    return True


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
    photograph moved sideways by a fifth of the picture keeps its angles within 6°.
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


# --- what is covered ------------------------------------------------------------------

OUTLINE = {
    "face": (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400,
             377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67,
             109),
    "lips": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40,
             185),
    "mouth": (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80,
              191),
    "eye_a": (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    "eye_b": (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382),
    "brow_a": (70, 63, 105, 66, 107),
    "brow_b": (336, 296, 334, 293, 300),
    "iris_a": (469, 470, 471, 472),
    "iris_b": (474, 475, 476, 477),
    "nose": (168, 6, 197, 195, 5, 4, 1),
}  # fmt: skip
"""Landmarks of the mesh around each part of a face, in order."""

_CONTRAST_SIDE = 96
"""Pixels that a face is brought to before its contrasts are measured: size changes none."""


def _contrasts(image: Image, points: Floats) -> tuple[float, float, float]:
    """(eyes, mouth, sharpness) as Look describes them. points : (478, 2) pixels"""
    low, high = points.min(axis=0), points.max(axis=0)
    left, top = np.maximum(low.astype(int), 0)
    crop = image[top : int(high[1]) + 1, left : int(high[0]) + 1]
    if min(crop.shape[:2]) < 2:
        return np.nan, np.nan, np.nan
    scale = _CONTRAST_SIDE / (high[1] - low[1])
    size = (max(2, round(crop.shape[1] * scale)), max(2, round(crop.shape[0] * scale)))
    luma = cv2.cvtColor(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    points = (points - (left, top)) * scale

    def within(part: str, grown: float) -> Floats:
        outline = points[list(OUTLINE[part])]
        outline = outline.mean(axis=0) + grown * (outline - outline.mean(axis=0))
        inside = np.zeros(luma.shape, np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(np.round(outline).astype(np.int32)), 1)
        return np.asarray(luma[inside > 0], np.float64)

    face = within("face", 0.9)
    eyes, lips = [within(name, 1.25) for name in ("eye_a", "eye_b")], within("lips", 1.15)
    if not (len(face) and len(lips) and all(len(eye) for eye in eyes)):
        return np.nan, np.nan, np.nan
    level = max(float(face.mean()), 1.0)
    found = max(eye.std() for eye in eyes), lips.std(), cv2.Laplacian(luma, cv2.CV_64F).std()
    eye, mouth, sharp = (float(spread) / level for spread in found)
    return eye, mouth, sharp


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
