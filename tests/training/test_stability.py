"""The changes that a clip is filmed under do what their names say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.contract import EXPRESSION_MEASURES
from data.face import FaceTracker
from data.recording import Frame
from evaluation.stability import PLAIN, drifts
from training.stability import CHANGES, filmed_otherwise


@pytest.fixture(scope="module")
def tracker():
    with FaceTracker() as opened:
        yield opened


def clip() -> list[Frame]:
    """A second of 30 frames a second: a grey ramp with a bright corner, moving."""
    ramp = np.linspace(40, 160, 160, dtype=np.uint8)
    image = np.repeat(np.tile(ramp, (120, 1))[..., None], 3, axis=2)
    image[10:40, 5:45] = 220
    return [Frame(i / 30, np.roll(image, i, axis=0)) for i in range(30)]


def changed(name: str, tracker: FaceTracker) -> list[Frame]:
    change = next(change for change in CHANGES if change.name == name)
    return list(change.make(clip(), tracker))


def test_changes_of_the_picture_are_what_they_are_called(tracker: FaceTracker) -> None:
    first = clip()[0].image.astype(float)
    after = {change.name: changed(change.name, tracker)[0].image for change in CHANGES}
    assert (after["mirror"][:, ::-1] == first).all()
    linear = (first / 255) ** 2.2
    for name, factor in (("light x 1.6", 1.6), ("light x 0.4", 0.4)):
        light = (after[name] / 255) ** 2.2
        assert light == pytest.approx(np.minimum(1, factor * linear), abs=0.01), name
    edges = {name: cv2.Laplacian(after[name], cv2.CV_64F).std() for name in ("mirror", "blur")}
    assert edges["blur"] < 0.9 * edges["mirror"]
    assert after["half size"].shape == (60, 80, 3)
    warm = after["warm hue"].astype(float) - first
    assert warm[..., 0].mean() > 5
    assert warm[..., 2].mean() < -5
    for painted in ("darker skin", "glasses"):
        assert (after[painted] == first).all(), "there is no face to paint on"


def test_changes_of_time_and_of_the_encoding_keep_the_clock(tracker: FaceTracker) -> None:
    assert [frame.time_s for frame in changed("10 frames/s", tracker)] == pytest.approx(
        np.arange(10) / 10, abs=0.001
    )
    encoded = changed("150 kbit/s", tracker)
    assert [frame.time_s for frame in encoded] == pytest.approx(np.arange(30) / 30, abs=0.002)
    error = np.abs(encoded[15].image.astype(float) - clip()[15].image)
    assert 0 < error.mean() < 12


def test_real_people_are_filmed_otherwise_and_no_change_is_lost(
    tracker: FaceTracker, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [change for change in CHANGES if change.name in ("darker skin", "glasses", "blur")]
    monkeypatch.setattr("training.stability.CHANGES", tuple(chosen))
    table = filmed_otherwise([shared_data / "recordings" / "silent.mp4"], tracker)
    assert set(table["change"]) == {PLAIN, *(change.name for change in chosen)}
    assert len(table) == 4 * len(EXPRESSION_MEASURES)
    assert set(table["reason"]) == {""}
    rows = {(row.change, row.measure): row for row in drifts(table, EXPRESSION_MEASURES)}
    blinks = rows["darker skin", "blink_rate"]
    assert (blinks.n, blinks.lost) == (1, 0)
    assert blinks.worst == pytest.approx(0, abs=0.2), "a darker skin's blinks are counted as well"
    assert rows["darker skin", "smile_share"].worst < 0.05
    assert 0 < rows["blur", "smile_intensity"].worst < 0.05
    assert rows["glasses", "blink_rate"].lost == 1, "lids behind glasses are not seen to close"
