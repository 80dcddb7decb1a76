"""Stills show the moments they name."""

import base64
from collections.abc import Callable

import cv2
import numpy as np
import pytest

import configs
from data.contract import EXPRESSION, KeyFrame
from data.expression import ExpressionSeries, expression_measures
from data.face import OUTLINE, ExpressionConfig, Look
from data.key_frames import KeptFrames, kept_frames, key_frames
from data.recording import Frame

CONFIG = configs.load("expression_measures", ExpressionConfig)
RATE_HZ = 15.0
Drawn = Callable[[np.ndarray], np.ndarray]


def drawn(seconds: float, **columns: Drawn) -> tuple[ExpressionSeries, KeptFrames]:
    """A series made of functions of time, and what was kept of its grey pictures.

    A picture's grey is ten times its second; its landmarks lie on a diagonal.
    """
    times = np.arange(0, seconds, 1 / RATE_HZ)
    values = np.zeros((len(times), len(EXPRESSION.columns)))
    values[:, EXPRESSION.names.index("face_height")] = 0.4
    values[:, EXPRESSION.names.index("eye_aperture")] = 0.3
    for name, function in columns.items():
        values[:, EXPRESSION.names.index(name)] = function(times)
    kept = kept_frames(CONFIG)
    landmarks = np.linspace((64, 36), (576, 324), 478)
    for time_s, row in zip(times, values, strict=True):
        grey = np.full((360, 640, 3), int(time_s * 10), np.uint8)
        kept.offer(Frame(float(time_s), grey), Look(1, row, (0, 0, 1, 1), landmarks))
    kept.finish()
    series = ExpressionSeries.clear(
        times,
        values,
        faces=np.ones(len(times), dtype=np.int64),
        brightness=np.full(len(times), 0.5),
        offered_hz=RATE_HZ,
        height=360,
    )
    return series, kept


def peak(at: float, height: float) -> Drawn:
    return lambda t: height * np.exp(-(((t - at) / 0.4) ** 2))


def away(t: np.ndarray) -> np.ndarray:
    return 40.0 * ((t > 10) & (t < 15))


@pytest.fixture(scope="module")
def found() -> dict[str, KeyFrame]:
    series, kept = drawn(20, smile=peak(4, 0.9), gaze_yaw=away, camera_angle=away)
    assert len(kept.stills) <= 4 * 20
    return {frame.measure: frame for frame in key_frames(series, kept, CONFIG)}


def test_key_frames_show_the_moments_they_name(found: dict[str, KeyFrame]) -> None:
    assert found["smile"].time_s == pytest.approx(4, abs=0.2)
    assert found["look_away"].time_s == pytest.approx(12.5, abs=1)
    assert found["look_away"].value == pytest.approx(5, abs=0.15)
    picture = cv2.imdecode(
        np.frombuffer(base64.b64decode(found["smile"].jpeg), np.uint8), cv2.IMREAD_COLOR
    )
    assert picture.shape == (180, 320, 3)
    assert float(picture.mean()) == pytest.approx(found["smile"].time_s * 10, abs=2)


def test_a_key_frame_carries_the_outlines_of_its_face_in_shares_of_the_picture(
    found: dict[str, KeyFrame],
) -> None:
    outlines = found["smile"].outlines
    assert set(outlines) == set(OUTLINE)
    for name, places in OUTLINE.items():
        expected = [0.1 + 0.8 * place / 477 for place in places]
        assert [x for x, _ in outlines[name]] == pytest.approx(expected, abs=1e-3)
        assert [y for _, y in outlines[name]] == pytest.approx(expected, abs=1e-3)


def test_a_nod_is_shown_while_the_head_is_lowered() -> None:
    def nod(t: np.ndarray) -> np.ndarray:
        return -13.0 * np.exp(-(((t - 5.5) / 0.15) ** 2))

    series, kept = drawn(
        10, head_pitch=nod, head_roll=lambda t: 20.0 * (t > 5.9), smile=lambda t: 0.03 * t
    )
    (frame,) = key_frames(series, kept, CONFIG)
    assert frame.measure == "nod"
    assert frame.value == pytest.approx(-13, abs=1)
    assert float(nod(np.array(frame.time_s))) < -8, "at that time the head is low"


def test_a_blink_is_no_look_away() -> None:
    def shut(t: np.ndarray) -> np.ndarray:
        return (t % 3) < 0.2

    series, kept = drawn(
        12,
        eye_aperture=lambda t: np.where(shut(t), 0.1, 0.3),
        gaze_pitch=lambda t: np.where(shut(t), -40.0, 0),
        camera_angle=lambda t: np.where(shut(t), 40.0, 0),
    )
    assert expression_measures(series, CONFIG)["blink_rate"] == pytest.approx(20, abs=1)
    assert key_frames(series, kept, CONFIG) == ()


def test_the_first_look_away_shown_is_the_longest_measured(found: dict[str, KeyFrame]) -> None:
    series, _ = drawn(20, smile=peak(4, 0.9), gaze_yaw=away, camera_angle=away)
    measured = expression_measures(series, CONFIG)["longest_look_away"]
    assert found["look_away"].value == pytest.approx(measured)


def test_key_frames_lie_apart() -> None:
    series, kept = drawn(20, smile=peak(12, 0.9), gaze_yaw=away, camera_angle=away)
    times = [frame.time_s for frame in key_frames(series, kept, CONFIG)]
    assert len(times) == 2
    assert np.diff(times).min() >= CONFIG.key_frames_apart_s


def test_a_head_at_rest_has_no_key_frame_of_movement() -> None:
    assert key_frames(*drawn(10, head_yaw=np.sin), CONFIG) == ()


def test_a_face_that_is_not_measured_has_no_key_frame() -> None:
    series, kept = drawn(10, smile=peak(4, 0.9), head_yaw=lambda t: np.full(len(t), 60.0))
    assert kept.stills
    assert key_frames(series, kept, CONFIG) == ()
