"""Two public-domain photographs of a face, and pictures made from them with a known change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import Delaunay

from data.face import OUTLINE, FaceTracker

SIZE = (640, 480)
HEIGHT = 150
"""Pixels from forehead to chin in every picture."""


def photo(name: str, tracker: FaceTracker) -> np.ndarray:
    """(480, 640, 3): `collins` smiles, `hopper` does not and wears glasses (NASA, US Navy)."""
    skimage = pytest.importorskip("skimage.data", reason="scikit-image holds the photo")
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib holds the photo")
    if name == "collins":
        found = np.asarray(skimage.astronaut())
    else:
        path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        found = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    points = mesh(found, tracker)
    middle = points.mean(axis=0)
    return placed(found, middle, scale=HEIGHT / np.ptp(points[:, 1]))


def mesh(image: np.ndarray, tracker: FaceTracker) -> np.ndarray:
    """(478, 2) landmarks of the one face, pixels."""
    found = tracker.look(image).landmarks
    assert found is not None, "the photograph shows one face"
    return found


def placed(
    image: np.ndarray,
    middle: tuple[float, float] | np.ndarray = (SIZE[0] / 2, SIZE[1] / 2),
    *,
    turn_deg: float = 0.0,
    scale: float = 1.0,
    at: tuple[float, float] = (SIZE[0] / 2, SIZE[1] / 2),
    size: tuple[int, int] = SIZE,
) -> np.ndarray:
    """The picture's `middle` brought to `at`, turned counter-clockwise about it."""
    matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), turn_deg, scale)
    matrix[:, 2] += np.subtract(at, middle)
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def moved(image: np.ndarray, points: np.ndarray, by: np.ndarray, reach: float) -> np.ndarray:
    """What is within half of `reach` pixels of the points moves with them, less out to `reach`."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift, most = np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32)
    for point, step in zip(points + by, by, strict=True):
        distance = np.hypot(x - point[0], y - point[1]) / reach
        weight = np.clip(2 - 2 * distance, 0, 1)
        weight = weight * weight * (3 - 2 * weight)
        stronger = weight > most
        shift[stronger] = weight[stronger, None] * np.asarray(step, np.float32)
        most = np.maximum(most, weight)
    x, y = x - shift[..., 0], y - shift[..., 1]
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def smiling(image: np.ndarray, points: np.ndarray, share: float) -> np.ndarray:
    """Corners of the mouth up and out by `share` of the face's height; below 0 down and in."""
    step = share * HEIGHT * np.array([[-0.6, -1.0], [0.6, -1.0]])
    return moved(image, points[[61, 291]], step, 0.2 * HEIGHT)


def brows_raised(image: np.ndarray, points: np.ndarray, share: float) -> np.ndarray:
    """Brows up by `share` of the face's height."""
    brows = points[[*OUTLINE["brow_a"], *OUTLINE["brow_b"]]]
    return moved(image, brows, np.full((10, 2), (0, -share * HEIGHT)), 0.1 * HEIGHT)


def mouth_opened(image: np.ndarray, points: np.ndarray, share: float) -> np.ndarray:
    """A dark gap between the lips, `share` of the mouth's width high, the lower lip below it."""
    width = np.linalg.norm(points[61] - points[291])
    middle, gap = (points[13] + points[14]) / 2, share * width
    below = moved(image, (points[[17, 14, 84, 314]]), np.full((4, 2), (0, gap)), 0.25 * HEIGHT)
    cv2.ellipse(
        below,
        (int(middle[0]), int(middle[1] + gap / 2)),
        (int(0.36 * width), max(1, int(gap / 2))),
        0, 0, 360, (45, 20, 20), -1,
    )  # fmt: skip
    return cv2.GaussianBlur(below, (3, 3), 0)


IRIS_MM, EYEBALL_MM = 5.85, 12.0
"""Radius of the iris and of the eyeball (Bron, Wolff's Anatomy of the Eye)."""


def gazing(image: np.ndarray, points: np.ndarray, yaw_deg: float) -> np.ndarray:
    """Both irises moved sideways as far as eyes move them that turn by `yaw_deg`."""
    made = image
    for middle, ring in ((468, "iris_a"), (473, "iris_b")):
        radius = np.linalg.norm(points[list(OUTLINE[ring])] - points[middle], axis=1).mean()
        step = radius / IRIS_MM * EYEBALL_MM * np.sin(np.radians(yaw_deg))
        made = moved(made, points[[middle]], np.array([[step, 0.0]]), 2 * radius)
    return made


def blinked(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Both eyes painted shut in the colour of the lid."""
    shut = image.copy()
    for name in ("eye_a", "eye_b"):
        outline = points[list(OUTLINE[name])]
        middle = outline.mean(axis=0)
        grown = np.round(middle + 1.15 * (outline - middle)).astype(np.int32)
        left, top = grown.min(axis=0)
        right, bottom = grown.max(axis=0)
        lid = image[top - 6 : top - 2, left:right].reshape(-1, 3).mean(axis=0)
        cv2.fillConvexPoly(shut, cv2.convexHull(grown), lid.tolist())
        cv2.line(shut, (left + 2, bottom - 2), (right - 2, bottom - 2), (70, 45, 40), 1)
    return cv2.GaussianBlur(shut, (3, 3), 0)


def turned(
    image: np.ndarray, points: np.ndarray, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0
) -> np.ndarray:
    """The face turned in space and drawn again before the same picture.

    Its depth is that of MediaPipe's canonical face, scaled to the photographed one; positive
    yaw turns it to the picture's right, positive pitch raises it.
    """
    shape = np.column_stack([points[:468], _depth(points)])
    pivot = np.append(points[:468].mean(axis=0), shape[:, 2].max())
    yaw, pitch = np.radians(yaw_deg), np.radians(pitch_deg)
    about_y = [[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    posed = (shape - pivot) @ np.array(about_y).T @ np.array(about_x).T + pivot
    height, width = image.shape[:2]
    source = np.full((height, width, 2), -1, np.float32)
    nearest = np.full((height, width), np.inf)
    for triangle in Delaunay(points[:468]).simplices:
        _draw(posed[triangle], points[triangle], source, nearest)
    drawn = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_LINEAR)
    seen = cv2.erode((source[..., 0] >= 0).astype(np.float32), np.ones((3, 3)))
    soft = cv2.GaussianBlur(seen, (5, 5), 0)[..., None]
    return (drawn * soft + image * (1 - soft)).astype(np.uint8)


def _draw(corners: np.ndarray, taken: np.ndarray, source: np.ndarray, nearest: np.ndarray) -> None:
    """One triangle: where each of its pixels is taken from, if nothing nearer lies there."""
    height, width = nearest.shape
    low = np.maximum(np.floor(corners[:, :2].min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners[:, :2].max(axis=0)).astype(int) + 1, (width, height))
    system = np.vstack([corners[:, :2].T, np.ones(3)])
    if (high <= low).any() or abs(np.linalg.det(system)) < 1e-3:
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    shares = np.linalg.solve(system, np.vstack([x.ravel(), y.ravel(), np.ones(x.size)]))
    inside = (shares >= -0.01).all(axis=0)
    x, y, shares = x.ravel()[inside], y.ravel()[inside], shares[:, inside]
    depth = corners[:, 2] @ shares
    nearer = depth < nearest[y, x]
    x, y, shares = x[nearer], y[nearer], shares[:, nearer]
    nearest[y, x] = depth[nearer]
    source[y, x] = shares.T @ taken


def _depth(points: np.ndarray) -> np.ndarray:
    """(468,) pixels away from the camera: an ellipsoid of head, with a nose before it.

    Half axes of a head by its breadth, from forehead to chin and to the ear (ISO/TR 7250-2:
    152, 190 and 195 mm); the nose stands out by a sixth of the breadth.
    """
    face = points[list(OUTLINE["face"])]
    middle = (face.min(axis=0) + face.max(axis=0)) / 2
    half = np.ptp(face, axis=0) / 2 * 1.08
    across = ((points[:468] - middle) / half) ** 2
    depth = -half[0] * 1.25 * np.sqrt(np.maximum(0.02, 1 - across.sum(axis=1)))
    tip, width = points[1], 0.16 * np.ptp(face[:, 0])
    bridge = points[6]
    along = np.clip((points[:468] - bridge) @ (tip - bridge) / ((tip - bridge) ** 2).sum(), 0, 1)
    off = np.linalg.norm(points[:468] - (bridge + along[:, None] * (tip - bridge)), axis=1)
    return depth - along * np.ptp(face[:, 0]) / 6 * np.exp(-((off / width) ** 2) * 2)


def _painted(image: np.ndarray, corners: np.ndarray, colour: np.ndarray | tuple) -> np.ndarray:
    """A convex cover in one colour with the grain and the light of a picture."""
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(corners).astype(np.int32)), 255)
    share = cv2.GaussianBlur(inside, (3, 3), 0)[..., None] / 255
    grain = np.random.default_rng(0).normal(0, 4, image.shape[:2])[..., None]
    light = np.linspace(-10, 10, image.shape[0])[:, None, None]
    cover = np.clip(np.asarray(colour) + grain + light, 0, 255)
    return (image * (1 - share) + cover * share).astype(np.uint8)


COVERS = ("mask", "hand", "paper", "dark_glasses")


def covered(image: np.ndarray, points: np.ndarray, cover: str) -> np.ndarray:
    """The face behind one of COVERS."""
    unit, face = HEIGHT / 130, points[list(OUTLINE["face"])]
    lips = points[list(OUTLINE["lips"])]
    if cover == "mask":
        low = face[face[:, 1] > points[1][1] - 3 * unit]
        return _painted(image, np.vstack([low, points[6] + (0, 13 * unit)]), (150, 190, 220))
    if cover == "hand":
        x, y = points[50].astype(int)
        skin = np.median(image[y - 4 : y + 4, x - 4 : x + 4].reshape(-1, 3), axis=0)
        grown = [lips + np.multiply(step, unit) for step in ((-18, 0), (18, 0), (0, 14), (0, -14))]
        return _painted(image, np.vstack(grown), skin)
    if cover == "paper":
        (left, _), (right, low) = face.min(axis=0), face.max(axis=0)
        middle = points.mean(axis=0)[1]
        sheet = [
            (left - 20, middle),
            (right + 20, middle),
            (left - 20, low + 40),
            (right + 20, low + 40),
        ]
        return _painted(image, np.array(sheet), (240, 240, 240))
    made = image
    for name in ("eye_a", "eye_b"):
        eye = points[list(OUTLINE[name])]
        steps = ((-8, -8), (8, 8), (0, 12), (0, -10), (8, -8), (-8, 8))
        made = _painted(made, np.vstack([eye + np.multiply(s, unit) for s in steps]), (15, 15, 15))
    return made


def held(image: np.ndarray, time_s: float, *, tilt_deg: float, shift: float) -> np.ndarray:
    """The picture as a print in a hand that trembles: tilted, moved, with the camera's noise."""

    def swing(hz: float, phase: float) -> float:
        return float(np.sin(2 * np.pi * hz * time_s + phase))

    width, height = SIZE
    tilts = np.radians(
        [tilt_deg * swing(0.4, 0), tilt_deg * swing(0.3, 1), tilt_deg / 3 * swing(0.5, 2)]
    )
    rotation, _ = cv2.Rodrigues(tilts)
    away = 1.1 * width
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    flat = np.column_stack([(corners - (width / 2, height / 2)) / away, np.zeros(4)])
    place = (shift * swing(0.6, 3) / away, shift * swing(0.5, 4) / away, 1 + 0.03 * swing(0.3, 5))
    posed = flat @ rotation.T + place
    seen = posed[:, :2] / posed[:, 2:] * away + (width / 2, height / 2)
    plane = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    shown = cv2.warpPerspective(image, plane, SIZE, borderMode=cv2.BORDER_REPLICATE).astype(float)
    noise = np.random.default_rng(int(1000 * time_s)).normal(0, 3, (height, width, 1))
    return np.clip(shown + noise, 0, 255).astype(np.uint8)
