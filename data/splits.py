"""Parts of a table in which nobody is in two: a model is judged on people it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold

Rows = NDArray[np.intp]


def folds(people: ArrayLike, *, n: int = 5, seed: int = 0) -> Iterator[tuple[Rows, Rows]]:
    """Row numbers to fit on and to judge on, n times; each person is judged once.

    people : (rows,) who each row belongs to
    seed : another one deals the people anew, for repeated cross-validation
    Raises ValueError with fewer people than folds.
    """
    people = np.asarray(people)
    found = len(np.unique(people))
    if found < n:
        raise ValueError(f"{n} folds need at least {n} people, got {found}; ask for fewer folds")
    splitter = GroupKFold(n_splits=n, shuffle=True, random_state=seed)
    for fit, judge in splitter.split(people, groups=people):
        require_disjoint(people[fit], people[judge])
        yield fit, judge


def parts(people: ArrayLike, shares: Mapping[str, float], *, seed: int = 0) -> NDArray[np.str_]:
    """Name of the part each row is in; all rows of a person are in one part.

    shares : name -> share of the people, summing to 1, e.g. train .7, validation .15, test .15
    Raises ValueError if the shares do not sum to 1 or a part would be empty.
    """
    people = np.asarray(people)
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) <= 0:
        raise ValueError(f"needed positive shares that sum to 1, got {dict(shares)}")
    everyone, owner = np.unique(people, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(everyone))
    ends = np.rint(np.cumsum(list(shares.values())) * len(everyone)).astype(int)
    if np.any(np.diff(ends, prepend=0) == 0):
        raise ValueError(
            f"{len(everyone)} people are too few for the shares {dict(shares)}: a part is empty"
        )
    names = np.array(list(shares))
    part_of_person = np.empty(len(everyone), dtype=names.dtype)
    part_of_person[order] = names[np.searchsorted(ends, np.arange(len(everyone)), side="right")]
    chosen = part_of_person[owner]
    for name in shares:
        require_disjoint(people[chosen == name], people[chosen != name])
    return chosen


def require_disjoint(first: ArrayLike, second: ArrayLike) -> None:
    """Raises ValueError naming people who are in both."""
    both = np.intersect1d(np.asarray(first), np.asarray(second))
    if len(both):
        some = ", ".join(map(str, both[:5]))
        raise ValueError(
            f"needed parts without common people, {len(both)} are in both: {some}; "
            "split by person before anything is fitted"
        )
