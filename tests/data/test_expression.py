"""A photograph turned, moved, mirrored, darkened and blinked by construction is measured so."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import configs
from data.contract import EXPRESSION, EXPRESSION_MEASURES, Quality
from data.expression import (
    ExpressionConfig,
    ExpressionSeries,
    FaceTracker,
    Look,
    curves,
    expression_measures,
    expression_problem,
    expression_series,
    head_input,
    kept_frames,
    key_frames,
    nod_times,
    regular,
    shake_times,
    toward_camera,
    with_face_quality,
)
from data.recording import Frame, open_recording

CONFIG = configs.load("expression_measures", ExpressionConfig)
FACE = (224.0, 112.0)
"""Middle of the face in the photograph, pixels."""


@pytest.fixture(scope="module")
def tracker() -> Iterator[FaceTracker]:
    with FaceTracker(CONFIG) as opened:
        yield opened


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A public-domain photograph (NASA): Eileen Collins, smiling, facing the camera."""
    skimage_data = pytest.importorskip("skimage.data", reason="scikit-image holds the photo")
    return np.asarray(skimage_data.astronaut())


def placed(
    photo: np.ndarray,
    *,
    turn_deg: float = 0.0,
    scale: float = 1.0,
    at: tuple[float, float] = (320, 240),
    size: tuple[int, int] = (640, 480),
) -> np.ndarray:
    """The photograph with its face's middle at `at`, turned counter-clockwise about it."""
    matrix = cv2.getRotationMatrix2D(FACE, turn_deg, scale)
    matrix[:, 2] += np.subtract(at, FACE)
    return cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def blinked(image: np.ndarray) -> np.ndarray:
    """The placed photograph with both eyes painted shut in the colour of the lid."""
    shut = image.copy()
    for x0, x1, y0, y1 in ((288, 313, 224, 235), (330, 354, 225, 236)):
        lid = image[y0 - 3 : y0, x0:x1].mean(axis=(0, 1))
        shut[y0:y1, x0:x1] = lid
        cv2.line(shut, (x0 + 2, y1 - 1), (x1 - 2, y1 - 1), (70, 45, 40), 1)
    return cv2.GaussianBlur(shut, (3, 3), 0)


def column(look: Look, name: str) -> float:
    return float(look.values[EXPRESSION.names.index(name)])


def video(images: list[np.ndarray], rate_hz: float = 15.0) -> list[Frame]:
    return [Frame(i / rate_hz, image) for i, image in enumerate(images)]


def drawn(seconds: float, rate_hz: float = 15.0, **columns: object) -> ExpressionSeries:
    """A series made of functions of time; columns not given are zero."""
    times = np.arange(0, seconds, 1 / rate_hz)
    values = np.zeros((len(times), len(EXPRESSION.columns)))
    values[:, EXPRESSION.names.index("face_height")] = 0.4
    values[:, EXPRESSION.names.index("eye_aperture")] = 0.3
    for name, function in columns.items():
        values[:, EXPRESSION.names.index(name)] = function(times)  # type: ignore[operator]
    return ExpressionSeries(
        times_s=times,
        values=values,
        faces=np.ones(len(times), dtype=np.int64),
        brightness=np.full(len(times), 0.5),
        offered_hz=rate_hz,
        missed_share=0,
        height=360,
    )


# --- one picture ------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_a_photo_turned_by_known_degrees_changes_roll_by_them(
    tracker: FaceTracker, photo: np.ndarray, degrees: float
) -> None:
    upright = tracker.look(placed(photo))
    turned = tracker.look(placed(photo, turn_deg=degrees))
    change = column(turned, "head_roll") - column(upright, "head_roll")
    assert change == pytest.approx(degrees, abs=2)


def test_a_mirror_image_turns_the_other_way_and_smiles_the_same(
    tracker: FaceTracker, photo: np.ndarray
) -> None:
    image = placed(photo, turn_deg=12)
    seen, mirrored = tracker.look(image), tracker.look(np.ascontiguousarray(image[:, ::-1]))
    for name in ("head_yaw", "head_roll"):
        assert column(mirrored, name) == pytest.approx(-column(seen, name), abs=4)
    assert column(mirrored, "face_x") == pytest.approx(1 - column(seen, "face_x"), abs=0.02)
    for name in ("smile", "jaw_open", "mouth_opening", "eye_aperture", "face_height"):
        assert column(mirrored, name) == pytest.approx(column(seen, name), abs=0.05)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.5, 2.0])
def test_distance_changes_the_size_of_the_face_and_not_its_expression(
    tracker: FaceTracker, photo: np.ndarray, scale: float
) -> None:
    near, seen = tracker.look(placed(photo, scale=scale)), tracker.look(placed(photo))
    expected = scale * column(seen, "face_height")
    assert column(near, "face_height") == pytest.approx(expected, rel=0.06)
    assert column(near, "smile") == pytest.approx(column(seen, "smile"), abs=0.06)
    assert column(near, "head_yaw") == pytest.approx(column(seen, "head_yaw"), abs=3)


@pytest.mark.parametrize("at", [(220, 240), (420, 240), (320, 150), (320, 330)])
def test_a_face_moved_in_the_picture_is_found_there_and_turned_as_before(
    tracker: FaceTracker, photo: np.ndarray, at: tuple[float, float]
) -> None:
    moved, seen = tracker.look(placed(photo, at=at)), tracker.look(placed(photo))
    x, y = column(moved, "face_x") * 640, column(moved, "face_y") * 480
    assert (x, y) == pytest.approx((at[0] + 1, at[1] + 12), abs=8)
    for name in ("head_yaw", "head_pitch", "head_roll"):
        assert column(moved, name) == pytest.approx(column(seen, name), abs=6)


def test_eyes_painted_shut_close_the_measured_eye(tracker: FaceTracker, photo: np.ndarray) -> None:
    image = placed(photo)
    opened, shut = tracker.look(image), tracker.look(blinked(image))
    ratio = column(shut, "eye_aperture") / column(opened, "eye_aperture")
    assert ratio < CONFIG.blink_aperture


def test_two_copies_are_two_faces_and_an_empty_wall_is_none(
    tracker: FaceTracker, photo: np.ndarray
) -> None:
    half = placed(photo, at=(160, 240), size=(320, 480))
    both = tracker.look(np.concatenate([half, half], axis=1))
    wall = tracker.look(np.full((480, 640, 3), 128, np.uint8))
    assert (both.faces, wall.faces) == (2, 0)
    assert np.isnan(both.values).all()
    assert np.isnan(wall.values).all()


def test_looking_writes_nothing_to_standard_error(
    photo: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    with FaceTracker(CONFIG) as opened:
        opened.look(placed(photo))
    assert capfd.readouterr().err == ""


# --- over time ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blinking(tracker: FaceTracker, photo: np.ndarray) -> ExpressionSeries:
    """Eight seconds, the eyes shut for three frames (0.2 s) each second and a half."""
    seen = placed(photo)
    shut = blinked(seen)
    images = [shut if i % 22 in (10, 11, 12) else seen for i in range(120)]
    return expression_series(video(images), tracker)


def test_constructed_blinks_are_counted_and_timed(blinking: ExpressionSeries) -> None:
    measures = expression_measures(blinking, CONFIG)
    assert measures["blink_rate"] == pytest.approx(5 / (119 / 15 / 60), rel=0.05)
    assert measures["blink_duration"] == pytest.approx(0.2, abs=0.07)


def test_a_resting_face_is_analysed_at_the_slow_rate(blinking: ExpressionSeries) -> None:
    changes = 10  # each blink begins and ends
    assert len(blinking.times_s) <= 120 / 3 + changes + 2
    assert np.diff(blinking.times_s).max() <= 1 / CONFIG.rate_hz + 1e-6


def test_a_restless_picture_costs_no_more_than_the_mean_rate(tracker: FaceTracker) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (120, 160, 3), dtype=np.uint8) for _ in range(60)]
    series = expression_series(video(noise), tracker)
    assert len(series.times_s) <= CONFIG.mean_rate_hz * (4 + 1) + 1
    assert np.diff(series.times_s).max() <= 1 / CONFIG.rate_hz + 1e-6
    assert series.missed_share > 0.5


def test_what_is_too_quick_for_the_frames_looked_at_is_not_counted() -> None:
    whole = drawn(20, head_yaw=lambda t: 10 * np.sin(2 * np.pi * t))
    counted = expression_measures(whole, CONFIG)
    missing = expression_measures(replace(whole, missed_share=0.5), CONFIG)
    uncounted = {name for name in counted if missing[name] != counted[name]}
    assert uncounted == {"nods", "shakes", "blink_rate"}
    assert counted["shakes"]
    assert missing["shakes"] is None


def test_the_smiling_photo_smiles_all_the_time_and_looks_at_the_camera(
    blinking: ExpressionSeries,
) -> None:
    measures = expression_measures(blinking, CONFIG)
    assert measures["smile_share"] == 1
    assert measures["smile_intensity"] > 0.8
    assert measures["gaze_to_camera_share"] > 0.98, "a blink is no look aside"


def test_every_measure_of_the_contract_is_given() -> None:
    measures = expression_measures(drawn(10), CONFIG)
    assert list(measures) == [column.name for column in EXPRESSION_MEASURES]


def test_nods_of_the_head_are_counted_and_a_slow_look_down_is_not() -> None:
    def nodding(t: np.ndarray) -> np.ndarray:
        nods = sum(-12 * np.exp(-(((t - at) / 0.12) ** 2)) for at in (2, 5, 8))
        return nods - 15 * ((t > 10) & (t < 14))

    series = drawn(20, head_pitch=nodding)
    found = nod_times(series.column("head_pitch"), series.column("head_yaw"), 15, CONFIG)
    assert found == pytest.approx([2, 5, 8], abs=0.1)
    assert expression_measures(series, CONFIG)["nods"] == pytest.approx(9, rel=0.02)


def test_pitch_that_moves_with_a_larger_turn_is_no_nod() -> None:
    def dip(depth: float) -> np.ndarray:
        return depth * np.exp(-(((np.arange(0, 10, 1 / 15) - 5) / 0.12) ** 2))

    assert len(nod_times(dip(-8), dip(0), 15, CONFIG)) == 1
    assert len(nod_times(dip(-8), dip(30), 15, CONFIG)) == 0


def test_a_turn_to_one_side_and_the_other_is_one_shake() -> None:
    t = np.arange(0, 10, 1 / 15)
    one_side = 15 * np.exp(-(((t - 4) / 0.1) ** 2))
    other_side = -15 * np.exp(-(((t - 4.4) / 0.1) ** 2))
    assert shake_times(one_side + other_side, 15, CONFIG) == pytest.approx([4.2], abs=0.1)
    assert len(shake_times(one_side, 15, CONFIG)) == 0


def test_a_head_turning_at_a_known_speed_moves_at_that_speed() -> None:
    series = drawn(20, head_yaw=lambda t: 20 * np.abs((t % 4) - 2))  # 20 degrees a second
    measures = expression_measures(series, CONFIG)
    assert measures["head_movement"] == pytest.approx(20, rel=0.07)
    assert measures["head_turn"] == pytest.approx(20, rel=0.05)


def test_a_quarter_of_the_time_looking_away_is_three_quarters_gaze_to_camera() -> None:
    series = drawn(20, gaze_yaw=lambda t: 40.0 * ((t >= 5) & (t < 10)))
    measures = expression_measures(series, CONFIG)
    assert measures["gaze_to_camera_share"] == pytest.approx(0.75, abs=0.01)
    assert measures["longest_look_away"] == pytest.approx(5, abs=0.15)


def test_gaze_beside_the_camera_by_more_than_the_limit_is_not_toward_it() -> None:
    side, height = CONFIG.gaze_side_deg, CONFIG.gaze_height_deg
    yaw = np.array([0, side - 1, side + 1, 0, 0, np.nan])
    pitch = np.array([0, 0, 0, height - 1, -height - 1, np.nan])
    expected = [True, True, False, True, False, False]
    assert toward_camera(yaw, pitch, CONFIG).tolist() == expected


def test_a_gap_without_a_face_is_marked_and_not_bridged() -> None:
    series = drawn(10, smile=lambda t: np.full(len(t), 0.5))
    gone = (series.times_s >= 4) & (series.times_s < 6)
    values = series.values.copy()
    values[gone] = np.nan
    series = replace(series, values=values, faces=np.where(gone, 0, 1))
    times, steady = regular(series, 5, max_gap_s=CONFIG.max_gap_s)
    missing = np.isnan(steady[:, 0])
    assert missing[(times > 4.0) & (times < 5.9)].all()
    assert not missing[(times < 3.9) | (times > 6.1)].any()
    features, mask = head_input(series, CONFIG)
    assert (features[mask == 0] == 0).all()
    assert mask.mean() == pytest.approx(0.8, abs=0.04)
    _, steady = regular(series, CONFIG.rate_hz, max_gap_s=CONFIG.max_gap_s)
    missing = np.isnan(steady[:, 0])
    smile = curves(series, CONFIG)[0]
    assert {value for value in smile.values if value is not None} == {0.5}
    assert sum(value is None for value in smile.values) == int(missing.sum())


def test_too_few_frames_a_second_leave_blinks_unmeasured() -> None:
    measures = expression_measures(drawn(20, rate_hz=5), CONFIG)
    assert measures["blink_rate"] is None
    assert measures["smile_share"] == 0


# --- reasons not to measure ------------------------------------------------------------------


def changed(**columns: object) -> ExpressionSeries:
    return replace(drawn(10), **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (changed(times_s=np.empty(0)), "no_video"),
        (changed(brightness=np.full(150, 0.02)), "too_dark"),
        (changed(faces=np.where(np.arange(150) < 20, 2, 1)), "several_faces"),
        (changed(faces=np.where(np.arange(150) < 80, 0, 1)), "no_face"),
        (changed(height=100), "face_too_small"),
    ],
)
def test_what_the_picture_does_not_allow_has_its_code_and_no_measure(
    series: ExpressionSeries, code: str
) -> None:
    problem = expression_problem(series, CONFIG)
    assert problem is not None
    assert problem[0] == code
    assert problem[1].endswith(".")
    assert set(expression_measures(series, CONFIG).values()) == {None}
    assert key_frames(series, kept_frames(CONFIG), CONFIG) == ()


def test_a_visible_face_has_no_problem_and_its_share_is_in_the_quality() -> None:
    series = changed(faces=np.where(np.arange(150) < 30, 0, 1))
    assert expression_problem(series, CONFIG) is None
    quality = with_face_quality(Quality(duration_s=10), series)
    assert (quality.one_face_share, quality.face_frames) == (0.8, 150)


# --- key frames -------------------------------------------------------------------------------


def test_key_frames_show_the_moments_they_name() -> None:
    def peak(at: float, height: float) -> object:
        return lambda t: height * np.exp(-(((t - at) / 0.4) ** 2))

    away = lambda t: 40.0 * ((t > 10) & (t < 15))  # noqa: E731
    series = drawn(20, smile=peak(4, 0.9), gaze_yaw=away, camera_angle=away)
    kept = kept_frames(CONFIG)
    for time_s, values in zip(series.times_s, series.values, strict=True):
        grey = np.full((360, 640, 3), int(time_s * 10), np.uint8)
        kept.offer(float(time_s), grey, values)
    kept.finish()
    assert len(kept.jpegs) <= 3 * 20
    frames = {frame.measure: frame for frame in key_frames(series, kept, CONFIG)}
    assert frames["smile"].time_s == pytest.approx(4, abs=0.2)
    assert frames["look_away"].time_s == pytest.approx(12.5, abs=1)
    assert frames["look_away"].value == pytest.approx(5, abs=0.15)
    picture = cv2.imdecode(
        np.frombuffer(base64.b64decode(frames["smile"].jpeg), np.uint8), cv2.IMREAD_COLOR
    )
    assert picture.shape == (180, 320, 3)
    assert float(picture.mean()) == pytest.approx(frames["smile"].time_s * 10, abs=2)


def test_a_head_at_rest_has_no_key_frame_of_movement() -> None:
    kept = kept_frames(CONFIG)
    series = drawn(10, head_yaw=lambda t: np.sin(t))
    for time_s, values in zip(series.times_s, series.values, strict=True):
        kept.offer(float(time_s), np.zeros((36, 64, 3), np.uint8), values)
    kept.finish()
    assert key_frames(series, kept, CONFIG) == ()


def test_without_a_keeper_no_picture_is_kept(tracker: FaceTracker, photo: np.ndarray) -> None:
    series = expression_series(video([placed(photo)] * 40), tracker)
    assert expression_problem(series, CONFIG) is None
    assert key_frames(series, kept_frames(CONFIG), CONFIG) == ()


# --- real recordings ----------------------------------------------------------------------------


def first_seconds(path: Path, seconds: float) -> list[Frame]:
    frames = []
    for frame in open_recording(path).frames(CONFIG.quick_rate_hz):
        if frame.time_s >= seconds:
            break
        frames.append(frame)
    return frames


def test_the_smiling_man_and_the_turning_woman_are_told_apart(
    tracker: FaceTracker, shared_data: Path
) -> None:
    found = {}
    for name in ("fluent_man", "halting_woman"):
        frames = first_seconds(shared_data / "recordings" / f"{name}.mp4", 6)
        found[name] = expression_measures(expression_series(frames, tracker), CONFIG)
    man, woman = found["fluent_man"], found["halting_woman"]
    assert man["smile_share"] > 0.9
    assert woman["smile_share"] == 0
    assert man["gaze_to_camera_share"] > 0.95
    assert woman["gaze_to_camera_share"] < 0.8
    assert man["head_movement"] < 10 < 50 < woman["head_movement"]


@pytest.mark.parametrize(("name", "code"), [("two_faces", "several_faces"), ("no_face", "no_face")])
def test_real_recordings_of_two_faces_and_of_none_say_so(
    tracker: FaceTracker, shared_data: Path, name: str, code: str
) -> None:
    frames = first_seconds(shared_data / "recordings" / f"{name}.mp4", 3)
    problem = expression_problem(expression_series(frames, tracker), CONFIG)
    assert problem is not None
    assert problem[0] == code
