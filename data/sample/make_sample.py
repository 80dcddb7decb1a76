"""Makes sample.mp4: a synthetic voice answers a question, a public-domain face moves.

`python -m data.sample.make_sample` writes it beside this file. Needs espeak-ng
(phonemes only) and scikit-image (the photograph); neither is needed to use the
sample. Kokoro-82M speaks; its weights are fetched by content.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import mediapipe as mp
import numpy as np
import onnxruntime as ort
import skimage.data
from mediapipe.tasks.python import BaseOptions, vision
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter1d

import configs
from data.assets import AssetsConfig, fetch
from data.contract import Record

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

VOICE_RATE = 24_000
"""Hz, what Kokoro gives."""

SIZE = (640, 480)
"""Width and height in pixels."""


class Sentence(Record):
    """What is said, and the silence after it."""

    text: str
    pause_after_s: float = Field(ge=0)


class SampleConfig(Record):
    """configs/sample.yaml. noise_db is relative to full scale."""

    voice: str
    speed: float = Field(gt=0)
    frame_rate: int = Field(gt=0)
    video_crf: int = Field(ge=0, le=51)
    audio_bitrate: int = Field(gt=0)
    noise_db: float = Field(lt=0)
    seed: int
    sentences: tuple[Sentence, ...]
    weights: AssetsConfig


def make(target: Path, config: SampleConfig) -> None:
    """Writes the recording to `target` (mp4: h264 and aac)."""
    voice = answer(config)
    duration_s = len(voice) / VOICE_RATE
    times = np.arange(0, duration_s, 1 / config.frame_rate)
    motion = movement(times, opening(voice, times), seed=config.seed)
    face = Face.from_photograph()
    with av.open(str(target), "w") as container:
        picture = container.add_stream("libx264", rate=config.frame_rate)
        picture.width, picture.height = SIZE
        picture.pix_fmt = "yuv420p"
        picture.options = {"crf": str(config.video_crf), "preset": "medium", "threads": "1"}
        sound = container.add_stream("aac", rate=VOICE_RATE, layout="mono")
        sound.bit_rate = config.audio_bitrate
        for i in range(len(times)):
            frame = av.VideoFrame.from_ndarray(face.moved(motion.at(i)), format="rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        _write_sound(container, sound, voice)


def _write_sound(
    container: av.container.OutputContainer, sound: av.AudioStream, voice: Floats
) -> None:
    for start in range(0, len(voice), 1024):
        block = voice[start : start + 1024].astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = VOICE_RATE, start, Fraction(1, VOICE_RATE)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


# --- voice -----------------------------------------------------------------------


def answer(config: SampleConfig) -> Floats:
    """The spoken sentences with their pauses over a faint room tone, 24 kHz mono."""
    folder = fetch("kokoro", config=config.weights)
    speaker = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["vocab"]
    style = np.load(folder / "voices.npz")[config.voice]
    pieces = [np.zeros(VOICE_RATE // 2)]
    for sentence in config.sentences:
        tokens = [vocabulary[p] for p in phonemes(sentence.text) if p in vocabulary]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[len(tokens) - 1].reshape(1, 256).astype(np.float32),
            "speed": np.array([config.speed], dtype=np.float32),
        }
        spoken = np.asarray(speaker.run(None, inputs)[0], dtype=np.float64).ravel()
        pieces += [_trimmed(spoken), np.zeros(int(sentence.pause_after_s * VOICE_RATE))]
    voice = np.concatenate([*pieces, np.zeros(VOICE_RATE // 2)])
    voice *= 0.6 / np.abs(voice).max()
    tone = np.random.default_rng(config.seed).normal(size=len(voice))
    return np.asarray(voice + 10 ** (config.noise_db / 20) * gaussian_filter1d(tone, 2))


def _trimmed(spoken: Floats) -> Floats:
    loud = np.flatnonzero(np.abs(spoken) > 0.01)
    margin = VOICE_RATE // 20
    return spoken[max(0, loud[0] - margin) : loud[-1] + margin]


_ESPEAK_TO_KOKORO = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"),
    ("ə^l", "ᵊl"), ("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɚ", "əɹ"), ("r", "ɹ"),
    ("ɐ", "ə"), ("ɾ", "T"), ("ʔ", "t"), ("ː", ""), ("^", ""), ("\u0329", ""),
)  # fmt: skip
"""American English in the spelling Kokoro was trained on (misaki, Apache-2.0)."""


def phonemes(text: str) -> str:
    """Phonemes of an English sentence; commas stay, because they are pauses."""
    clauses = []
    for clause in text.rstrip(".").split(","):
        command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-v", "en-us", clause.strip()]
        spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        clauses.append(" ".join(spoken.split()))
    spelled = ", ".join(clauses) + "."
    for espeak, kokoro in _ESPEAK_TO_KOKORO:
        spelled = spelled.replace(espeak, kokoro)
    return spelled


# --- movement --------------------------------------------------------------------


@dataclass(frozen=True)
class Motion:
    """Head pose in degrees; scale; opening, blink and smile in [0, 1]. Scalars or (time,)."""

    yaw: Floats
    pitch: Floats
    roll: Floats
    scale: Floats
    opening: Floats
    blink: Floats
    smile: Floats

    def at(self, i: int) -> Motion:
        """The motion at one time."""
        return Motion(**{name: values[i] for name, values in vars(self).items()})


def opening(voice: Floats, times: Floats) -> Floats:
    """How far the mouth is open at each time: the voice's level, smoothed, in [0, 1]."""
    half = VOICE_RATE // 50
    centres = (times * VOICE_RATE).astype(int)
    level = np.array([np.sqrt(np.mean(voice[max(0, c - half) : c + half] ** 2)) for c in centres])
    return np.asarray(np.clip(gaussian_filter1d(level / np.quantile(level, 0.95), 0.8), 0, 1))


def movement(times: Floats, open_mouth: Floats, *, seed: int) -> Motion:
    """Slow turning, tilting and nodding, a blink every few seconds, smiles at the end."""

    def wave(period_s: float, phase: float) -> Floats:
        return np.sin(2 * np.pi * times / period_s + phase)

    def bump(centre_s: float, width_s: float) -> Floats:
        return np.exp(-(((times - centre_s) / width_s) ** 2))

    random = np.random.default_rng(seed)
    blinks = np.cumsum(random.uniform(2.2, 4.5, size=int(times[-1] // 2)))
    nods = np.arange(7.0, times[-1], 9.0)
    return Motion(
        yaw=8 * wave(9.0, 0) + 3 * wave(3.7, 1),
        pitch=3 * wave(6.1, 0.3) + 6 * sum((bump(n, 0.35) for n in nods), np.zeros(len(times))),
        roll=4 * wave(7.3, 0.5),
        scale=1 + 0.04 * wave(13.0, 0),
        opening=open_mouth,
        blink=np.clip(sum((bump(b, 0.12) for b in blinks), np.zeros(len(times))), 0, 1),
        smile=np.clip(0.15 + bump(times[-1], 5.0) + 0.5 * bump(0, 1.5), 0, 1),
    )


# --- face ------------------------------------------------------------------------

# Landmark numbers of MediaPipe's face mesh.
UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (263, 466, 388, 387, 386, 385, 384, 398, 362),
)
LOWER_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
)
UPPER_INNER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_INNER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
JAW = (*LOWER_INNER_LIP, 146, 91, 181, 84, 17, 314, 405, 321, 375)
CHIN = (18, 83, 313, 200, 199, 175, 152, 148, 176, 377, 400, 149, 378)
CORNERS = (61, 78, 291, 308)
OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365,
           136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
FEATURES = (1, 4, 6, 98, 327, 33, 133, 263, 362, 70, 105, 107, 336, 334, 300, 50, 280, 205, 425,
            61, 0, 37, 267, 39, 269, 151, 9, 8)  # fmt: skip

JAW_PX = 11.0
SMILE_PX = 12.0
GRID = (49, 37)


class Face:
    """A still face that can be turned, opened and closed by moving its landmarks."""

    def __init__(self, still: Image, landmarks: Floats) -> None:
        """still : (height, width, 3) RGB. landmarks : (478, 3) pixels, z toward the back."""
        self.still = still
        kept = sorted({*sum(UPPER_LIDS + LOWER_LIDS, ()), *UPPER_INNER_LIP, *JAW, *CHIN, *CORNERS}
                      | {*OUTLINE, *FEATURES})  # fmt: skip
        self.row = {number: i for i, number in enumerate(kept)}
        self.points = landmarks[kept]
        self.centre = landmarks.mean(axis=0) + np.array([0, 0, 60])
        upper, lower = self._of(UPPER_INNER_LIP), self._of(LOWER_INNER_LIP)
        self.teeth = (upper + 0.75 * (lower - upper))[:, :2]
        width, height = SIZE
        edge = [(x, y) for x in (0, width / 3, 2 * width / 3, width) for y in (0, height)]
        sides = [(x, y) for x in (0, width) for y in (height / 3, 2 * height / 3)]
        self.fixed = np.array([*edge, *sides, (150, 330), (470, 330), (320, 445)], dtype=float)

    @classmethod
    def from_photograph(cls) -> Face:
        """NASA's portrait of an astronaut (public domain), head and shoulders."""
        portrait: Callable[[], Image] = skimage.data.astronaut
        crop = portrait()[0:240, 65:385]
        still = np.asarray(cv2.resize(crop, SIZE, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(fetch("face_landmarker.task")))
        )
        with vision.FaceLandmarker.create_from_options(options) as landmarker:
            found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=still))
        scale = np.array([SIZE[0], SIZE[1], SIZE[0]])
        mesh = [(point.x, point.y, point.z) for point in found.face_landmarks[0]]
        return cls(still, np.array(mesh) * scale)

    def _of(self, numbers: tuple[int, ...]) -> Floats:
        return self.points[[self.row[number] for number in numbers]]

    def moved(self, motion: Motion) -> Image:
        """The face in another pose and expression, (height, width, 3) RGB."""
        shaped = self._expressed(motion)
        target = self._posed(shaped, motion)[:, :2]
        teeth = self._posed(np.column_stack([self.teeth, self._of(LOWER_INNER_LIP)[:, 2]]), motion)
        flow = _flow(
            np.vstack([target, teeth[:, :2], self.fixed]),
            np.vstack([self.points[:, :2], self.teeth, self.fixed]),
        )
        warped = cv2.remap(
            self.still, flow[..., 0], flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        at = {number: target[row] for number, row in self.row.items()}
        lower_lip = np.array([at[number] for number in LOWER_INNER_LIP])
        image = _shaded(np.asarray(warped), teeth[:, :2], lower_lip, float(motion.opening))
        for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
            lids = np.array([at[n] for n in upper]), np.array([at[n] for n in lower])
            image = _closed(image, *lids, float(motion.blink))
        return image

    def _expressed(self, motion: Motion) -> Floats:
        points = self.points.copy()
        middle_x = self._of((13,))[0, 0]
        half_width = abs(self._of((61,))[0, 0] - middle_x)
        for number in (*JAW, *CHIN):
            aside = min(1.0, abs(points[self.row[number], 0] - middle_x) / half_width)
            points[self.row[number], 1] += JAW_PX * motion.opening * (1 - aside**2)
        for number in CORNERS:  # the photograph smiles; a face at rest has narrower corners
            inward = np.sign(middle_x - points[self.row[number], 0])
            points[self.row[number], :2] += (1 - motion.smile) * SMILE_PX * np.array([inward, 0.4])
        return points

    def _posed(self, points: Floats, motion: Motion) -> Floats:
        yaw, pitch, roll = np.radians([motion.yaw, motion.pitch, motion.roll])
        (sy, sp, sr), (cy, cp, cr) = np.sin([yaw, pitch, roll]), np.cos([yaw, pitch, roll])
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        rotation = motion.scale * (tilt @ nod @ turn)
        posed: Floats = (points - self.centre) @ rotation.T + self.centre
        return posed


def _flow(target: Floats, source: Floats) -> NDArray[np.float32]:
    """(height, width, 2): where each pixel comes from, smooth between the points."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(0, width - 1, GRID[0]), np.linspace(0, height - 1, GRID[1]))
    bend = RBFInterpolator(target, source - target, kernel="thin_plate_spline", smoothing=1.0)
    coarse = bend(np.column_stack([x.ravel(), y.ravel()])).reshape(GRID[1], GRID[0], 2)
    # resize samples pixel centres; the grid's nodes lie on the image's border
    mapx, mapy = np.meshgrid(
        np.linspace(0, GRID[0] - 1, width, dtype=np.float32),
        np.linspace(0, GRID[1] - 1, height, dtype=np.float32),
    )
    fine = cv2.remap(coarse.astype(np.float32), mapx, mapy, cv2.INTER_CUBIC)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    return np.asarray(fine + pixels, dtype=np.float32)


def _shaded(image: Image, teeth: Floats, lower_lip: Floats, open_mouth: float) -> Image:
    """Darkness between teeth and lower lip: what a stretched photograph cannot show."""
    hollow = np.vstack([teeth, lower_lip[::-1] - [0, 1.5]]).round().astype(np.int32)
    opacity = round(255 * min(1.0, 2 * open_mouth))
    dark = np.array([52.0, 22.0, 24.0])
    return _painted(image, lambda mask: cv2.fillPoly(mask, [hollow], (opacity,)), dark, blur=1.6)


def _closed(image: Image, upper_lid: Floats, lower_lid: Floats, blink: float) -> Image:
    """The eye covered by its upper lid as far as `blink` says, lashes at the lid's edge."""
    if blink < 0.05:
        return image
    edge = upper_lid + 1.15 * blink * (lower_lid - upper_lid)
    x, y = (upper_lid[len(upper_lid) // 2] - [0, 9]).round().astype(int)
    skin = np.array([0.95, 0.89, 0.86]) * np.median(
        image[y - 1 : y + 2, x - 4 : x + 5].reshape(-1, 3), axis=0
    )  # a lid lies in shade
    lid = np.vstack([upper_lid - [0, 4.0], edge[::-1]]).round().astype(np.int32)
    covered = _painted(image, lambda mask: cv2.fillPoly(mask, [lid], (255,)), skin, blur=1.8)
    lashes = edge.round().astype(np.int32)
    line = lambda mask: cv2.polylines(mask, [lashes], False, (190,), 1, cv2.LINE_AA)  # noqa: E731
    return _painted(covered, line, np.array([60, 38, 30]), blur=0.6)


def _painted(
    image: Image, draw: Callable[[Image], object], colour: Floats, *, blur: float
) -> Image:
    """The image with `colour` where `draw` marks a mask (255: opaque), soft at the edge."""
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    draw(mask)
    soft = cv2.GaussianBlur(mask, (0, 0), blur)[..., None] / 255
    return np.asarray(image * (1 - soft) + colour * soft).round().astype(np.uint8)


if __name__ == "__main__":
    make(Path(__file__).with_name("sample.mp4"), configs.load("sample", SampleConfig))
    sys.stdout.write("wrote sample.mp4\n")
