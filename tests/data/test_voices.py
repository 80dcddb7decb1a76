"""One voice or two, familiar or not, on stretches of known voice."""

from __future__ import annotations

import numpy as np
import pytest

from data.contract import VoiceLimits
from data.voices import apart, familiarity, no_one_person

LIMITS = VoiceLimits(min_familiarity=0.6, max_apart=(5.0, 6.0))


def stretches(n: int, *, seed: int, centre: float = 0) -> np.ndarray:
    """Of one person: variance 1 on fifty axes."""
    return np.random.default_rng(seed).normal(size=(n, 50)) + centre


def test_two_voices_lie_farther_apart_than_one():
    seconds = np.full(8, 3.0)
    one = [apart(stretches(8, seed=seed), seconds)[0] for seed in range(20)]
    both = [
        np.concatenate([stretches(4, seed=s), stretches(4, seed=99 + s, centre=1)])
        for s in range(20)
    ]
    two = [apart(voices, seconds)[0] for voices in both]
    assert min(two) > max(one)
    assert apart(both[0], seconds)[1] == 8


def test_a_long_answer_of_one_person_is_no_farther_apart():
    most = max(apart(stretches(16, seed=seed), np.full(16, 3.0))[0] for seed in range(200))
    for n in (40, 100):
        long = [apart(stretches(n, seed=seed), np.full(n, 3.0)) for seed in range(200, 240)]
        assert sum(far > most for far, _ in long) <= 1
        assert {compared for _, compared in long} == {16}
    turns = np.concatenate([stretches(30, seed=1), stretches(30, seed=2, centre=1)])
    assert apart(turns, np.full(60, 3.0))[0] > most


def test_the_distance_is_that_of_the_two_means():
    """2 of 4 stretches lie 3 off on one axis: n₁n₂/n · 3² = 9, the root is 3."""
    voices = np.array([[0.0, 0], [3, 0], [0, 0], [3, 0]])
    assert apart(voices, np.full(4, 2.0)) == (pytest.approx(3), 4)


def test_stretches_too_short_to_tell_are_left_out():
    voices = np.array([[0.0, 0], [9, 9], [0, 0]])
    assert apart(voices, np.array([2.0, 1.0, 2.0])) == (pytest.approx(0), 2)
    assert apart(voices, np.array([2.0, 1.0, 1.0])) == (0, 1)
    assert apart(voices[:0], np.empty(0)) == (0, 0)
    assert familiarity(np.array([1.0, 0.1, 0.5]), np.array([2.0, 1.0, 2.0])) == pytest.approx(0.75)
    assert familiarity(np.array([1.0]), np.array([1.0])) is None


def test_what_is_not_one_person_has_a_reason():
    assert no_one_person(0.6, (5, 2), LIMITS) is None
    assert no_one_person(None, (0, 0), LIMITS) is None
    assert no_one_person(0.59, (0, 1), LIMITS)[0] == "unfamiliar_sound"
    assert no_one_person(1, (5.1, 2), LIMITS)[0] == "several_voices"
    assert no_one_person(1, (5.9, 3), LIMITS) is None
    assert no_one_person(1, (6.1, 16), LIMITS)[0] == "several_voices"
    assert no_one_person(1, (99, 5), VoiceLimits(min_familiarity=0, max_apart=())) is None
