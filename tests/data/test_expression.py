"""Series with known movements have the measures that follow from them by arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import configs
from data.contract import EXPRESSION, EXPRESSION_MEASURES, Quality
from data.expression import (
    ExpressionSeries,
    curves,
    expression_measures,
    expression_problem,
    head_input,
    load_series,
    nod_times,
    regular,
    save_series,
    shake_times,
    toward_camera,
    with_face_quality,
)
from data.face import ExpressionConfig

CONFIG = configs.load("expression_measures", ExpressionConfig)


def drawn(seconds: float, rate_hz: float = 15.0, **columns: object) -> ExpressionSeries:
    """A series made of functions of time; columns not given are zero."""
    times = np.arange(0, seconds, 1 / rate_hz)
    values = np.zeros((len(times), len(EXPRESSION.columns)))
    values[:, EXPRESSION.names.index("face_height")] = 0.4
    values[:, EXPRESSION.names.index("eye_aperture")] = 0.3
    for name, function in columns.items():
        values[:, EXPRESSION.names.index(name)] = function(times)  # type: ignore[operator]
    return ExpressionSeries.clear(
        times,
        values,
        faces=np.ones(len(times), dtype=np.int64),
        brightness=np.full(len(times), 0.5),
        offered_hz=rate_hz,
        height=360,
    )


# --- over time ---------------------------------------------------------------------------


def test_what_is_too_quick_for_the_frames_looked_at_is_not_counted() -> None:
    whole = drawn(
        20,
        head_yaw=lambda t: 10 * np.sin(2 * np.pi * t),
        eye_aperture=lambda t: np.where((t > 5) & (t < 5.2), 0.1, 0.3),
    )
    counted = expression_measures(whole, CONFIG)
    missing = expression_measures(replace(whole, missed_share=0.5), CONFIG)
    uncounted = {name for name in counted if missing[name] != counted[name]}
    assert uncounted == {"nods", "shakes", "blink_rate", "blink_duration"}
    assert counted["shakes"]
    assert missing["shakes"] is None


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
    # a look every 0.4 s: up to so much is unknown on each side of the two seconds
    assert 0.8 - 0.08 <= mask.mean() <= 0.8
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
        (replace(drawn(3), duration_s=60), "frozen"),
        (
            changed(
                blurred=np.arange(150) < 50,
                covered=np.arange(150) >= 100,
                values=np.where(((np.arange(150) // 50) == 1)[:, None], 0.4, np.nan)
                * np.ones((150, len(EXPRESSION.columns))),
                duration_s=20.0,
            ),
            "too_little_face",
        ),
        (drawn(1.5), "too_little_face"),
        (changed(height=100), "face_too_small"),
        (changed(frozen=np.arange(150) < 80), "frozen"),
        (changed(blurred=np.arange(150) < 80), "blurred"),
        (changed(covered=np.arange(150) < 80), "face_covered"),
        (drawn(10, head_yaw=lambda t: np.where(t < 6, 50.0, 0)), "profile"),
        (changed(deformation=0.5), "static_picture"),
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


def test_a_visible_face_has_no_problem_and_its_share_is_in_the_quality() -> None:
    series = changed(faces=np.where(np.arange(150) < 30, 0, 1))
    assert expression_problem(series, CONFIG) is None
    quality = with_face_quality(Quality(duration_s=10), series, CONFIG)
    assert quality.one_face_share == pytest.approx(0.8, abs=0.01)
    assert quality.face_frames == 150


def test_lids_that_close_or_lips_that_move_are_of_no_static_picture() -> None:
    closing = drawn(10, eye_aperture=lambda t: np.where((t > 5) & (t < 5.2), 0.1, 0.3))
    assert expression_problem(replace(closing, deformation=0.5), CONFIG) is None
    assert expression_problem(changed(deformation=2.0), CONFIG) is None
    short = replace(drawn(5), deformation=0.5)
    assert expression_problem(short, CONFIG) is None, "five seconds without a blink are usual"


def test_shares_are_of_the_time_and_not_of_the_frames_looked_at() -> None:
    resting, moving = np.arange(0, 40, 0.4), np.arange(40, 60, 1 / 15)
    whole = drawn(60, head_yaw=lambda t: np.where(t < 40, 0, 50.0))
    seen = np.isin(np.round(whole.times_s, 6), np.round(np.arange(0, 40, 0.4), 6))
    seen |= whole.times_s >= 40
    assert seen.sum() == len(resting) + len(moving)
    flags = {name: getattr(whole, name)[seen] for name in ("blurred", "covered", "frozen")}
    series = replace(
        whole,
        times_s=whole.times_s[seen],
        values=whole.values[seen],
        faces=whole.faces[seen],
        brightness=whole.brightness[seen],
        **flags,
    )
    assert (series.column("head_yaw") > 40).mean() > 0.7, "of the frames"
    assert expression_problem(series, CONFIG) is None, "a third of the time"


def test_time_without_a_picture_is_not_time_in_which_a_face_was_seen() -> None:
    times = np.concatenate([np.arange(0, 6, 1 / 15), np.arange(9, 10, 1 / 15)])
    part = drawn(10)
    series = replace(
        part,
        **{
            name: getattr(part, name)[: len(times)]
            for name in ("values", "faces", "brightness", "blurred", "covered", "frozen")
        },
        times_s=times,
        deformation=0.5,
    )
    quality = with_face_quality(Quality(duration_s=10), series, CONFIG)
    assert quality.one_face_share == pytest.approx(0.75, abs=0.02)
    assert expression_problem(series, CONFIG) is None, "nobody was still for eight seconds"


def test_lids_down_for_longer_than_a_blink_are_no_look_at_the_camera() -> None:
    def down(t: np.ndarray) -> np.ndarray:
        return (t > 10) & (t < 25)

    series = drawn(
        60,
        eye_aperture=lambda t: np.where(down(t), 0.1, 0.3),
        gaze_pitch=lambda t: np.where(down(t), -45.0, 0),
    )
    measures = expression_measures(series, CONFIG)
    assert measures["gaze_to_camera_share"] == pytest.approx(0.75, abs=0.01)
    assert measures["longest_look_away"] == pytest.approx(15, abs=0.3)


def test_without_a_blink_there_is_no_blink_rate() -> None:
    measures = expression_measures(drawn(60), CONFIG)
    assert (measures["blink_rate"], measures["blink_duration"]) == (None, None)


@pytest.mark.parametrize(("rate_hz", "counted"), [(15.0, True), (5.0, True), (3.0, False)])
def test_nods_are_counted_only_where_frames_follow_each_other_fast_enough(
    rate_hz: float, counted: bool
) -> None:
    def nodding(t: np.ndarray) -> np.ndarray:
        return -12.0 * np.clip(np.sin(2 * np.pi * t / 3) - 0.8, 0, 1) / 0.2

    series = drawn(60, rate_hz=rate_hz, head_pitch=nodding)
    nods = expression_measures(series, CONFIG)["nods"]
    assert nods == (pytest.approx(20, abs=1.5) if counted else None)


def test_a_head_that_turns_aside_for_less_than_half_of_the_time_is_measured() -> None:
    series = drawn(
        20, head_yaw=lambda t: np.where(t < 8, 50.0, 0), gaze_yaw=lambda t: 50.0 * (t < 8)
    )
    measures = expression_measures(series, CONFIG)
    assert measures["gaze_to_camera_share"] == pytest.approx(0.6, abs=0.01)


def test_a_series_comes_back_from_its_file(tmp_path: Path) -> None:
    series = changed(faces=np.where(np.arange(150) < 30, 0, 1), deformation=1.5)
    save_series(series, tmp_path / "series.npz")
    again = load_series(tmp_path / "series.npz")
    for name, values in vars(series).items():
        np.testing.assert_array_equal(getattr(again, name), values)
