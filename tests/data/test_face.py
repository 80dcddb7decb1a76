"""A photograph turned, moved, mirrored, smiled, blinked by construction is measured so."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from data.contract import EXPRESSION
from data.face import OUTLINE, FaceTracker, Look

SIDEWAYS = ("head_yaw", "head_roll", "gaze_yaw")
UNMOVED = ("smile", "jaw_open", "mouth_opening", "eye_aperture", "face_height")


def column(look: Look, name: str) -> float:
    assert look.faces == 1
    return float(look.values[EXPRESSION.names.index(name)])


def change(tracker: FaceTracker, before: np.ndarray, after: np.ndarray, name: str) -> float:
    return column(tracker.look(after), name) - column(tracker.look(before), name)


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_a_picture_turned_by_known_degrees_changes_roll_by_them(
    tracker: FaceTracker, made: ModuleType, photo: Any, degrees: float
) -> None:
    turned = made.placed(photo.image, turn_deg=degrees)
    assert change(tracker, photo.image, turned, "head_roll") == pytest.approx(degrees, abs=2.5)


@pytest.mark.parametrize("degrees", [-30, -20, -10, 10, 20, 30])
def test_a_face_turned_in_space_is_measured_turned_by_nearly_as_much(
    tracker: FaceTracker, made: ModuleType, photo: Any, degrees: float
) -> None:
    turned = made.turned(photo.image, photo.points, yaw_deg=degrees)
    found = change(tracker, photo.image, turned, "head_yaw")
    assert found == pytest.approx(0.85 * degrees, abs=1 + 0.15 * abs(degrees))
    assert abs(change(tracker, photo.image, turned, "head_pitch")) < 4


@pytest.mark.parametrize("degrees", [-20, -10, 10, 20])
def test_a_face_raised_in_space_is_measured_raised_by_as_much(
    tracker: FaceTracker, made: ModuleType, photo: Any, degrees: float
) -> None:
    raised = made.turned(photo.image, photo.points, pitch_deg=degrees)
    found = change(tracker, photo.image, raised, "head_pitch")
    assert found == pytest.approx(1.1 * degrees, abs=1 + 0.15 * abs(degrees))
    assert abs(change(tracker, photo.image, raised, "head_yaw")) < 4


@pytest.mark.parametrize("degrees", [-20, -10, 10, 20])
def test_eyes_turned_aside_in_a_still_head_turn_the_gaze(
    tracker: FaceTracker, made: ModuleType, photo: Any, degrees: float
) -> None:
    aside = made.gazing(photo.image, photo.points, degrees)
    found = change(tracker, photo.image, aside, "gaze_yaw")
    assert 0.4 * abs(degrees) < found * np.sign(degrees) < 1.1 * abs(degrees)
    assert abs(change(tracker, photo.image, aside, "head_yaw")) < 1.5


def test_a_mirror_image_turns_the_other_way_and_smiles_the_same(
    tracker: FaceTracker, made: ModuleType, photo: Any
) -> None:
    image = made.placed(photo.image, turn_deg=12)
    seen, mirrored = tracker.look(image), tracker.look(np.ascontiguousarray(image[:, ::-1]))
    for name in SIDEWAYS:
        assert column(mirrored, name) == pytest.approx(-column(seen, name), abs=6)
    assert column(mirrored, "face_x") == pytest.approx(1 - column(seen, "face_x"), abs=0.02)
    for name in UNMOVED:
        assert column(mirrored, name) == pytest.approx(column(seen, name), abs=0.05)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.5, 2.0])
def test_distance_changes_the_size_of_the_face_and_not_its_expression(
    tracker: FaceTracker, made: ModuleType, photo: Any, scale: float
) -> None:
    near, seen = tracker.look(made.placed(photo.image, scale=scale)), tracker.look(photo.image)
    expected = scale * column(seen, "face_height")
    assert column(near, "face_height") == pytest.approx(expected, rel=0.06)
    assert column(near, "smile") == pytest.approx(column(seen, "smile"), abs=0.06)
    assert column(near, "head_yaw") == pytest.approx(column(seen, "head_yaw"), abs=3)


@pytest.mark.parametrize("at", [(220, 240), (420, 240), (320, 150), (320, 330)])
def test_a_face_moved_in_the_picture_is_found_there_and_turned_as_before(
    tracker: FaceTracker, made: ModuleType, photo: Any, at: tuple[float, float]
) -> None:
    moved, seen = tracker.look(made.placed(photo.image, at=at)), tracker.look(photo.image)
    step = (column(moved, "face_x") - column(seen, "face_x")) * 640
    rise = (column(moved, "face_y") - column(seen, "face_y")) * 480
    assert (step, rise) == pytest.approx((at[0] - 320, at[1] - 240), abs=6)
    for name in ("head_yaw", "head_pitch", "head_roll"):
        assert column(moved, name) == pytest.approx(column(seen, name), abs=6)


def test_corners_of_the_mouth_moved_up_are_a_smile_that_grows_with_them(
    tracker: FaceTracker, made: ModuleType, hopper: Any
) -> None:
    made_by = [made.smiling(hopper.image, hopper.points, share) for share in (0, 0.02, 0.04, 0.06)]
    smiles = [column(tracker.look(image), "smile") for image in made_by]
    assert smiles == sorted(smiles)
    assert smiles[0] < 0.05
    assert smiles[-1] > tracker.config.smile_at


def test_a_smile_taken_back_is_no_smile(
    tracker: FaceTracker, made: ModuleType, collins: Any
) -> None:
    sober = made.smiling(collins.image, collins.points, -0.06)
    assert column(tracker.look(collins.image), "smile") > 0.8
    assert column(tracker.look(sober), "smile") < tracker.config.smile_at


def test_brows_moved_up_are_raised_and_move_no_smile(
    tracker: FaceTracker, made: ModuleType, collins: Any
) -> None:
    raised = made.brows_raised(collins.image, collins.points, 0.05)
    assert change(tracker, collins.image, raised, "brow_raise") > 0.3
    assert abs(change(tracker, collins.image, raised, "smile")) < 0.05


@pytest.mark.parametrize("gap", [0.15, 0.3])
def test_a_gap_between_the_lips_opens_the_measured_mouth_by_about_as_much(
    tracker: FaceTracker, made: ModuleType, photo: Any, gap: float
) -> None:
    opened = made.mouth_opened(photo.image, photo.points, gap)
    found = change(tracker, photo.image, opened, "mouth_opening")
    assert found == pytest.approx(gap, abs=0.4 * gap + 0.05)


def test_eyes_painted_shut_close_the_measured_eye(
    tracker: FaceTracker, made: ModuleType, photo: Any
) -> None:
    opened = tracker.look(photo.image)
    shut = tracker.look(made.blinked(photo.image, photo.points))
    ratio = column(shut, "eye_aperture") / column(opened, "eye_aperture")
    assert ratio < tracker.config.blink_aperture


def test_two_copies_are_two_faces_and_an_empty_wall_is_none(
    tracker: FaceTracker, made: ModuleType, photo: Any
) -> None:
    half = made.placed(photo.image, at=(160, 240), size=(320, 480))
    both = tracker.look(np.concatenate([half, half], axis=1))
    wall = tracker.look(np.full((480, 640, 3), 128, np.uint8))
    assert (both.faces, wall.faces) == (2, 0)
    assert np.isnan(both.values).all()
    assert np.isnan(wall.values).all()
    assert both.landmarks is None


def test_what_covers_eyes_or_mouth_leaves_them_without_contrast(
    tracker: FaceTracker, made: ModuleType, photo: Any
) -> None:
    limits = (tracker.config.eyes_covered_below, tracker.config.mouth_covered_below)
    plain = tracker.look(photo.image)
    assert plain.eye_contrast > 2 * limits[0]
    assert plain.mouth_contrast > 2 * limits[1]
    for cover in made.COVERS:
        hidden = tracker.look(made.covered(photo.image, photo.points, cover))
        eyes = cover == "dark_glasses"
        assert (hidden.eye_contrast < limits[0]) == eyes, cover
        assert (hidden.mouth_contrast < limits[1]) != eyes, cover


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_less_light_on_a_face_hides_neither_eyes_nor_mouth(
    tracker: FaceTracker, photo: Any, share: float
) -> None:
    plain = tracker.look(photo.image)
    darker = tracker.look((photo.image * share).astype(np.uint8))
    assert darker.eye_contrast == pytest.approx(plain.eye_contrast, rel=0.15)
    assert darker.mouth_contrast == pytest.approx(plain.mouth_contrast, rel=0.15)


def test_outlines_lie_where_the_parts_of_a_face_are(tracker: FaceTracker, photo: Any) -> None:
    middles = {name: photo.points[list(places)].mean(axis=0) for name, places in OUTLINE.items()}
    assert middles["brow_a"][1] < middles["eye_a"][1] < middles["nose"][1] < middles["mouth"][1]
    assert middles["eye_a"][0] < middles["nose"][0] < middles["eye_b"][0]
    assert np.linalg.norm(middles["iris_a"] - middles["eye_a"]) < 6


def test_looking_writes_nothing_to_standard_error(
    photo: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with FaceTracker() as opened:
        opened.look(photo.image)
    assert capfd.readouterr().err == ""
