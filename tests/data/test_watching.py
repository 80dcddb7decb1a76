"""Made and real recordings: how often they are looked at, and what in them was not live."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from data.contract import EXPRESSION
from data.expression import ExpressionSeries, expression_measures, expression_problem
from data.face import FaceTracker
from data.recording import Frame, open_recording
from data.watching import expression_series

RATE_HZ = 15


def video(images: Iterable[np.ndarray], rate_hz: float = RATE_HZ) -> list[Frame]:
    return [Frame(i / rate_hz, image) for i, image in enumerate(images)]


def noisy(image: np.ndarray, number: int) -> np.ndarray:
    """As a camera gives it."""
    noise = np.random.default_rng(number).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def code(series: ExpressionSeries, tracker: FaceTracker) -> str | None:
    problem = expression_problem(series, tracker.config)
    return problem[0] if problem else None


@pytest.fixture(scope="module")
def blinking(tracker: FaceTracker, made: ModuleType, collins: Any) -> ExpressionSeries:
    """Eight seconds, the eyes shut for three frames (0.2 s) each second and a half."""
    shut = made.blinked(collins.image, collins.points)
    images = (noisy(shut if i % 22 in (10, 11, 12) else collins.image, i) for i in range(120))
    return expression_series(video(images), tracker)


# --- rate --------------------------------------------------------------------------------


def test_constructed_blinks_are_counted_and_timed(
    tracker: FaceTracker, blinking: ExpressionSeries
) -> None:
    measures = expression_measures(blinking, tracker.config)
    assert measures["blink_rate"] == pytest.approx(5 / (119 / 15 / 60), rel=0.05)
    assert measures["blink_duration"] == pytest.approx(0.2, abs=0.07)


def test_a_resting_face_is_analysed_at_the_slow_rate(
    tracker: FaceTracker, blinking: ExpressionSeries
) -> None:
    changes = 3 * 5  # each blink begins, goes on and ends
    assert len(blinking.times_s) <= 120 / RATE_HZ * tracker.config.rate_hz + 2 * changes
    assert np.diff(blinking.times_s).max() <= 1 / tracker.config.rate_hz + 1e-6


def test_a_restless_picture_costs_no_more_than_the_mean_rate(tracker: FaceTracker) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (120, 160, 3), dtype=np.uint8) for _ in range(60)]
    series = expression_series(video(noise), tracker)
    config = tracker.config
    assert len(series.times_s) <= config.mean_rate_hz * (4 + 1) + 1
    assert np.diff(series.times_s).max() <= 1 / config.rate_hz + 1e-6
    assert series.missed_share > 0.5


def test_the_same_recording_gives_the_same_series_with_one_look_at_a_time(
    made: ModuleType, collins: Any, tracker: FaceTracker
) -> None:
    frames = video(made.held(collins.image, i / RATE_HZ, tilt_deg=10, shift=40) for i in range(45))
    slowly = tracker.config.model_copy(update={"looks_at_once": 1})
    with FaceTracker(slowly) as alone:
        one = expression_series(frames, alone)
    two = expression_series(frames, tracker)
    for name, values in vars(one).items():
        np.testing.assert_array_equal(getattr(two, name), values, err_msg=name)


def test_the_smiling_photo_smiles_all_the_time_and_looks_at_the_camera(
    tracker: FaceTracker, blinking: ExpressionSeries
) -> None:
    measures = expression_measures(blinking, tracker.config)
    assert measures["smile_share"] == 1
    assert measures["smile_intensity"] > 0.8
    assert measures["gaze_to_camera_share"] > 0.98, "a blink is no look aside"


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_smile_made_for_a_share_of_the_time_is_measured_for_that_share(
    tracker: FaceTracker, made: ModuleType, collins: Any, share: float
) -> None:
    sober = made.smiling(collins.image, collins.points, -0.06)
    images = (noisy(collins.image if i < 120 * share else sober, i) for i in range(120))
    measures = expression_measures(expression_series(video(images), tracker), tracker.config)
    assert measures["smile_share"] == pytest.approx(share, abs=0.05)


def test_nods_drawn_in_space_are_counted(
    tracker: FaceTracker, made: ModuleType, collins: Any
) -> None:
    def pitch(time_s: float) -> float:
        return sum(-14 * np.exp(-(((time_s - at) / 0.12) ** 2)) for at in (3, 8))

    pitches = [round(pitch(i / RATE_HZ)) for i in range(11 * RATE_HZ)]
    drawn = {
        degrees: made.turned(collins.image, collins.points, pitch_deg=degrees)
        for degrees in set(pitches)
    }
    images = (noisy(drawn[degrees], i) for i, degrees in enumerate(pitches))
    measures = expression_measures(expression_series(video(images), tracker), tracker.config)
    assert measures["nods"] == pytest.approx(2 / (164 / 15 / 60), rel=0.02)
    assert measures["shakes"] == 0


# --- not live ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_picture_that_freezes_while_time_goes_on_is_a_gap_from_there(
    tracker: FaceTracker,
    made: ModuleType,
    collins: Any,
    write_media: Callable[..., Path],
    tmp_path: Path,
    suffix: str,
) -> None:
    live = [made.held(collins.image, i / 15, tilt_deg=2, shift=10) for i in range(60)]
    path = write_media(tmp_path / f"frozen{suffix}", None, frames=live + live[-1:] * 45, fps=15)
    series = expression_series(open_recording(path).frames(RATE_HZ), tracker)
    assert series.frozen[series.times_s > 4.5].all()
    assert not series.frozen[series.times_s < 3.5].any()
    assert np.isnan(series.values[series.frozen]).all()
    assert code(series, tracker) is None
    images = live[:30] + live[30:31] * 90
    path = write_media(tmp_path / f"longer{suffix}", None, frames=images, fps=15)
    series = expression_series(open_recording(path).frames(RATE_HZ), tracker)
    assert code(series, tracker) == "frozen"


@pytest.mark.parametrize(("tilt_deg", "shift"), [(0, 0), (5, 15), (12, 40)])
def test_a_photograph_held_to_the_camera_is_told_from_a_person(
    tracker: FaceTracker, made: ModuleType, photo: Any, tilt_deg: float, shift: float
) -> None:
    images = (
        made.held(photo.image, i / RATE_HZ, tilt_deg=tilt_deg, shift=shift) for i in range(150)
    )
    assert code(expression_series(video(images), tracker), tracker) == "static_picture"


def test_a_photograph_that_blinks_is_not_called_static(
    tracker: FaceTracker, blinking: ExpressionSeries
) -> None:
    assert code(blinking, tracker) is None


def test_a_covered_face_is_said_to_be_covered_and_has_no_values(
    tracker: FaceTracker, made: ModuleType, photo: Any
) -> None:
    for cover in made.COVERS:
        hidden = made.covered(photo.image, photo.points, cover)
        series = expression_series(video(noisy(hidden, i) for i in range(45)), tracker)
        assert code(series, tracker) == "face_covered", cover
        assert np.isnan(series.values).all(), cover


def test_a_face_out_of_focus_is_said_to_be_blurred_not_covered_nor_a_photograph(
    tracker: FaceTracker, shared_data: Path
) -> None:
    frames = first_seconds(shared_data / "recordings" / "fluent_man.mp4", 10)
    soft = [Frame(f.time_s, cv2.GaussianBlur(f.image, (0, 0), 3.2)) for f in frames]
    assert code(expression_series(soft, tracker), tracker) == "blurred"
    half = [
        Frame(f.time_s, cv2.resize(f.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        for f in frames
    ]
    assert not expression_series(half, tracker).blurred.any()


def test_while_the_camera_focuses_nothing_is_measured(tracker: FaceTracker, collins: Any) -> None:
    soft = cv2.GaussianBlur(collins.image, (0, 0), 6)
    images = (noisy(soft if 45 <= i < 75 else collins.image, i) for i in range(120))
    series = expression_series(video(images), tracker)
    gone = series.times_s[series.blurred]
    assert (gone.min(), gone.max()) == (pytest.approx(3, abs=0.5), pytest.approx(5, abs=0.5))
    assert np.isnan(series.values[series.blurred]).all()
    assert not series.covered.any()


def test_lids_that_close_in_the_dark_are_seen_to_close(
    tracker: FaceTracker, shared_data: Path
) -> None:
    """Lids are followed half as far there: at some frames they look open still."""
    frames = first_seconds(shared_data / "recordings" / "fluent_man.mp4", 14)
    dark = [Frame(f.time_s, (f.image * 0.5).astype(np.uint8)) for f in frames]
    bright, dim = (
        expression_measures(expression_series(seen, tracker), tracker.config)
        for seen in (frames, dark)
    )
    assert bright["blink_rate"] == pytest.approx(dim["blink_rate"], rel=0.02)
    assert bright["blink_rate"] > 5


def test_a_hand_before_the_mouth_for_two_seconds_is_a_gap_of_two_seconds(
    tracker: FaceTracker, made: ModuleType, collins: Any
) -> None:
    hidden = made.covered(collins.image, collins.points, "hand")
    images = (noisy(hidden if 45 <= i < 75 else collins.image, i) for i in range(120))
    series = expression_series(video(images), tracker)
    assert code(series, tracker) is None
    gone = series.times_s[series.covered]
    assert (gone.min(), gone.max()) == (pytest.approx(3, abs=0.5), pytest.approx(5, abs=0.5))


def test_a_face_turned_to_the_side_is_in_profile(tracker: FaceTracker, shared_data: Path) -> None:
    path = shared_data / "recordings" / "halting_woman.mp4"
    yaw = EXPRESSION.names.index("head_yaw")
    aside = []
    for frame in open_recording(path).frames(RATE_HZ):
        if tracker.look(frame.image).values[yaw] < -42:
            aside.append(Frame(len(aside) / RATE_HZ, frame.image))
        if len(aside) == 45:
            break
    assert code(expression_series(aside, tracker), tracker) == "profile"


@pytest.mark.parametrize("held", [2, 3])
def test_a_camera_slower_than_its_file_is_not_frozen(
    tracker: FaceTracker, shared_data: Path, held: int
) -> None:
    frames = first_seconds(shared_data / "recordings" / "halting_woman.mp4", 6)
    slow = [Frame(f.time_s, frames[i // held * held].image) for i, f in enumerate(frames)]
    series = expression_series(slow, tracker)
    assert code(series, tracker) is None
    assert not series.frozen.any()


def test_a_picture_that_stops_coming_is_missing_and_no_photograph(
    tracker: FaceTracker, shared_data: Path
) -> None:
    frames = first_seconds(shared_data / "recordings" / "fluent_man.mp4", 3)
    late = [*frames, Frame(30.0, frames[-1].image)]
    assert code(expression_series(late, tracker), tracker) == "frozen"
    assert code(expression_series(frames, tracker, duration_s=30), tracker) == "frozen"


def test_frames_that_begin_late_have_the_rate_they_come_at(
    tracker: FaceTracker, collins: Any
) -> None:
    late = [Frame(10 + i / RATE_HZ, noisy(collins.image, i)) for i in range(30)]
    assert expression_series(late, tracker).offered_hz == pytest.approx(RATE_HZ, rel=0.01)


def test_two_small_faces_are_two(tracker: FaceTracker, shared_data: Path) -> None:
    """Side by side at a third of their size: the detector finds neither in the whole picture."""
    names = ("fluent_man", "halting_woman")
    both = [first_seconds(shared_data / "recordings" / f"{name}.mp4", 3) for name in names]
    images = []
    for pair in zip(*both, strict=True):
        beside = np.full((360, 640, 3), 128, np.uint8)
        for left, frame in zip((20, 330), pair, strict=True):
            beside[90:251, left : left + 286] = cv2.resize(frame.image, (286, 161))
        images.append(beside)
    series = expression_series(video(images), tracker)
    assert code(series, tracker) == "several_faces"


# --- real recordings ------------------------------------------------------------------------


def first_seconds(path: Path, seconds: float) -> list[Frame]:
    frames = []
    for frame in open_recording(path).frames(RATE_HZ):
        if frame.time_s >= seconds:
            break
        frames.append(frame)
    return frames


def test_the_smiling_man_and_the_turning_woman_are_told_apart(
    tracker: FaceTracker, shared_data: Path
) -> None:
    found = {}
    for name in ("fluent_man", "halting_woman"):
        frames = first_seconds(shared_data / "recordings" / f"{name}.mp4", 12)
        series = expression_series(frames, tracker)
        assert code(series, tracker) is None
        assert not series.covered.any()
        assert not series.frozen.any()
        found[name] = expression_measures(series, tracker.config)
    man, woman = found["fluent_man"], found["halting_woman"]
    assert man["smile_share"] > 0.9
    assert woman["smile_share"] == 0
    assert man["gaze_to_camera_share"] > 0.95
    assert woman["gaze_to_camera_share"] < 0.8
    assert man["head_movement"] < 10 < 50 < woman["head_movement"]


@pytest.mark.parametrize(
    ("name", "expected"), [("two_faces", "several_faces"), ("no_face", "no_face")]
)
def test_real_recordings_of_two_faces_and_of_none_say_so(
    tracker: FaceTracker, shared_data: Path, name: str, expected: str
) -> None:
    frames = first_seconds(shared_data / "recordings" / f"{name}.mp4", 3)
    assert code(expression_series(frames, tracker), tracker) == expected
