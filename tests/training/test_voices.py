"""Voices of planted people: what is learned tells people apart that it never heard."""

from __future__ import annotations

import numpy as np
import pytest

from data.contract import SPEECH
from data.voices import apart
from training.voices import COLUMNS, Sounded, Voices, limits, mixed

PEOPLE, EACH = 40, 10


def planted(seed: int, *, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of PEOPLE who differ on eight directions, and whose each is."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(8, COLUMNS))
    voices = 2 * random.normal(size=(PEOPLE, 8))
    within = random.normal(size=(PEOPLE * EACH, 8))
    rows = np.zeros((PEOPLE * EACH, len(SPEECH.columns)), np.float32)
    rows[:, :COLUMNS] = (np.repeat(voices, EACH, axis=0) + within) @ directions
    rows[:, :COLUMNS] += spread * random.normal(size=(len(rows), COLUMNS))
    return rows, np.repeat([f"{seed}-{i:02d}" for i in range(PEOPLE)], EACH)


@pytest.fixture(scope="module")
def learned() -> Voices:
    return Voices.fit(*planted(1))


@pytest.fixture(scope="module")
def others(learned) -> Sounded:
    rows, people = planted(2)
    seconds = np.full(len(rows), 3.0)
    return Sounded(people, seconds, learned.voices(rows), learned.familiarity(rows))


def test_people_it_never_heard_are_told_apart(others):
    allowed = limits(others, seed=0)
    assert len(allowed.max_apart) == EACH - 1
    answers = [np.arange(i, i + EACH) for i in range(0, len(others.people), EACH)]
    one = [apart(others.voices[rows], others.durations_s[rows]) for rows in answers]
    assert sum(far > allowed.max_apart[n - 2] for far, n in one) <= 1
    turns = list(mixed(answers, others.people, np.full(len(others.people), "f"), seed=0))
    assert len(turns) == PEOPLE
    assert all(len(set(others.people[rows])) == 2 for rows in turns)
    two = [apart(others.voices[rows], others.durations_s[rows]) for rows in turns]
    assert sum(far > allowed.max_apart[n - 2] for far, n in two) > 0.8 * PEOPLE


def test_nobody_takes_turns_with_another_group(others):
    answers = [np.arange(i, i + EACH) for i in range(0, len(others.people), EACH)]
    group = np.where(np.arange(len(others.people)) < EACH * 3, "f", "m")
    for rows in mixed(answers, others.people, group, seed=0):
        assert len(set(group[rows])) == 1


def test_what_lies_off_the_components_is_less_familiar(learned, others):
    assert np.median(others.familiar) == pytest.approx(1, abs=0.2)
    noisy, _ = planted(3, spread=4)
    assert learned.familiarity(noisy).max() < limits(others, seed=0).min_familiarity
