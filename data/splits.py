"""Parts of a table in which nobody is in two: a model is judged on people it never saw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold

from data.contract import TooFewPeople

Rows = NDArray[np.intp]


def folds(people: ArrayLike, *, n: int = 5, seed: int = 0) -> Iterator[tuple[Rows, Rows]]:
    """Row numbers to fit on and to judge on, n times; each person is judged once.

    people : (rows,) who each row belongs to
    seed : another one deals the people anew, for repeated cross-validation
    Raises TooFewPeople with fewer people than folds.
    """
    people = np.asarray(people)
    found = len(np.unique(people))
    if found < n:
        raise TooFewPeople(f"{n} folds need at least {n} people, got {found}")
    splitter = GroupKFold(n_splits=n, shuffle=True, random_state=seed)
    for fit, judge in splitter.split(people, groups=people):
        require_disjoint(people[fit], people[judge])
        yield fit, judge


def require_disjoint(first: ArrayLike, second: ArrayLike) -> None:
    """Raises ValueError naming people who are in both."""
    both = np.intersect1d(np.asarray(first), np.asarray(second))
    if len(both):
        some = ", ".join(map(str, both[:5]))
        raise ValueError(
            f"needed parts without common people, {len(both)} are in both: {some}; "
            "split by person before anything is fitted"
        )
