"""A calibrated confidence is the share that is right; planted curves are found again."""

from __future__ import annotations

import numpy as np
import pytest

from data.confidence import Calibration, Words, calibration_error, fit, left_out, reliability


def planted(slope: float, offset: float, n: int = 6000) -> Words:
    """Words right as often as the curve says."""
    random = np.random.default_rng(0)
    raw = random.uniform(0.05, 0.99, n)
    right = 1 / (1 + np.exp(-(slope * np.log(raw / (1 - raw)) + offset)))
    return Words(
        probability=raw,
        wrong=(random.random(n) > right).astype(float),
        units=np.ones(n),
        speaker=np.array([f"s{i % 20}" for i in range(n)]),
        missed=n // 20,
    )


def test_a_planted_curve_is_found_again():
    found = fit(planted(0.6, 0.4))
    assert found.slope == pytest.approx(0.6, abs=0.07)
    assert found.offset == pytest.approx(0.4, abs=0.07)
    assert found.missed == pytest.approx(0.05)


def test_words_of_speakers_left_out_are_calibrated_too():
    words = planted(0.5, -0.5)
    raw = calibration_error(reliability(words, words.probability))
    assert raw > 0.1
    assert calibration_error(reliability(words, left_out(words))) < 0.03


def test_a_surer_word_is_never_less_probably_right():
    found = Calibration(slope=0.6, offset=0.4, missed=0)
    right = [found.right(probability) for probability in (0, 0.2, 0.5, 0.9, 1)]
    assert right == sorted(right)
    assert found.right(0.5) == pytest.approx(1 / (1 + np.exp(-0.4)))


def test_a_curve_that_changes_nothing_changes_nothing():
    assert Calibration(slope=1, offset=0, missed=0).right(0.7) == pytest.approx(0.7)


def test_expected_errors_count_wrong_units_and_those_that_are_missing():
    found = Calibration(slope=1, offset=0, missed=0.1)
    assert found.error_rate([0.9, 0.5], [3, 1]) == pytest.approx((0.8 / 4 + 0.1) / 1.1)
    assert found.error_rate([], []) == 0
    assert Calibration(slope=1, offset=0, missed=0).error_rate([0.0], [5]) == 1


def test_a_reliability_table_holds_every_unit_once():
    words = planted(1, 0, n=500)
    bins = reliability(words, words.probability)
    assert sum(part.units for part in bins) == 500
    assert all(part.low <= part.confidence <= part.high for part in bins)
