import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contract import TooFewPeople
from data.splits import folds, require_disjoint


@given(st.lists(st.integers(0, 20), min_size=1, max_size=100), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_nobody_is_in_two_folds_and_each_row_is_judged_once(people, seed):
    people = np.array([*people, *range(100, 105)])
    judged = []
    for fit, judge in folds(people, n=5, seed=seed):
        assert not set(people[fit]) & set(people[judge])
        judged.extend(judge)
    assert sorted(judged) == list(range(len(people)))


def test_another_seed_deals_the_people_anew_and_the_same_seed_does_not():
    people = np.repeat(np.arange(50), 3)

    def dealt(seed: int) -> list[list[int]]:
        return [list(judge) for _, judge in folds(people, seed=seed)]

    assert dealt(0) == dealt(0) != dealt(1)


def test_a_person_in_two_parts_is_named():
    with pytest.raises(ValueError, match="1 are in both: b"):
        require_disjoint(["a", "b"], ["b", "c"])


def test_fewer_people_than_folds_are_refused():
    with pytest.raises(TooFewPeople, match="3 folds need at least 3 people, got 2"):
        list(folds(["a", "a", "b"], n=3))
