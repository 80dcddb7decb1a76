"""A yes-or-no behaviour of written replies, told from named measures of their wording.

Learns from texts that people labelled 0 or 1 and says how far it agrees on held-out ones; it
is for research on a behaviour ("takes the other's side") and makes no registered version. The
model is a ridge-penalised logistic regression on the logs of two measures of
`data.structure`; a hundred labels bear no more. The wordings counted were written knowing the
texts of siop2024, so agreement on those is a little too good.
Source: Hoerl and Kennard 1970; le Cessie and van Houwelingen 1992 (ridge logistic regression).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from data.outcomes import BadTable, read_csv
from data.structure import rates
from data.text import normalised, units
from evaluation.agreement import Estimate, interval

MEASURES = ("perspective", "warmth")
PENALTY_INVERSE = 0.3
FOLDS, REPEATS = 10, 10
FEWEST = 20
"""Labels of each kind below which nothing is learned: a fold would hold one or two."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Labelled:
    """inputs : (texts, measures); labels : (texts,) 0 or 1"""

    inputs: Floats
    labels: Labels


@dataclass(frozen=True)
class Agreement:
    """Share of texts told right, and the share that always saying the commoner label gets."""

    accuracy: Estimate
    majority: float


def read(path: Path, label: str) -> Labelled:
    """The texts of a CSV with columns `text` and `label`. Raises BadTable."""
    table = read_csv(path)
    if absent := {"text", label} - set(table.columns):
        raise BadTable(f"{path} has no column {', '.join(sorted(absent))}")
    labels = pd.to_numeric(table[label], errors="coerce")
    if not labels.isin([0, 1]).all() or table["text"].isna().any():
        raise BadTable(f"{path}: every row needs a text, and a {label} that is 0 or 1")
    counts = labels.value_counts()
    if len(counts) < 2 or counts.min() < FEWEST:
        raise BadTable(f"{path}: needs {FEWEST} texts with each {label}, got {counts.to_dict()}")
    return Labelled(inputs_of(list(table["text"])), labels.to_numpy(int))


def inputs_of(texts: list[str]) -> Floats:
    """(texts, measures) log of one more than each measure."""
    found = []
    for text in texts:
        plain = normalised(text)
        counted = rates(plain, len(units(plain)))
        found.append([counted[name] for name in MEASURES])
    return np.asarray(np.log1p(np.array(found, float)))


def model() -> Pipeline:
    """Not fitted yet."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY_INVERSE))


def held_out(given: Labelled, *, seed: int = 0) -> Agreement:
    """Agreement over repeated folds; each text counts by the share of repeats it was right in."""
    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    right = np.zeros(len(given.labels))
    for train, test in splits.split(given.inputs, given.labels):
        told = model().fit(given.inputs[train], given.labels[train]).predict(given.inputs[test])
        right[test] += told == given.labels[test]
    return _agreement(right / REPEATS, given.labels)


def judged(given: Labelled, new: Labelled) -> Agreement:
    """Agreement on `new` of the model learned from `given`."""
    told = model().fit(given.inputs, given.labels).predict(new.inputs)
    return _agreement((told == new.labels).astype(float), new.labels)


def _agreement(right: Floats, labels: Labels) -> Agreement:
    accuracy = interval(
        lambda _, score: float(np.mean(score)), labels, right, by=np.arange(len(labels))
    )
    return Agreement(accuracy, float(max(labels.mean(), 1 - labels.mean())))
