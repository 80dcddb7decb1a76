"""How able people are, how hard questions, how severe raters: each freed of the other two.

The linear many-facet model: score = mean + person − difficulty − severity (+ answer) + error,
with random persons (and answers, where several rate one) and fixed questions and raters, fitted
by REML.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from statsmodels.regression.mixed_linear_model import VCSpec
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

from data.contract import UndefinedMetric
from evaluation.agreement import CONFIDENCE, Floats

Z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Facets:
    """What one table of scored answers says of each facet; all in points.

    questions : index question; difficulty (above 0: harder than the average question), low,
        high, mean (of its scores as given), n (answers)
    raters : index rater; severity (above 0: severer), low, high, n; empty without raters
    people : index person; raw (mean score), adjusted (had everyone had average questions and
        raters), standard_error (of adjusted), estimate (adjusted, drawn to the mean as far as
        it is uncertain), n (answers)
    answers : one row a person and question: expected (without what the person is), freed (the
        score without difficulty and severity)
    person, answer, residual : variances; answer is 0 where nothing was rated twice
    """

    questions: pd.DataFrame
    raters: pd.DataFrame
    people: pd.DataFrame
    answers: pd.DataFrame
    mean: float
    person: float
    answer: float
    residual: float

    def reliability(self, questions: int, raters: int = 1) -> float:
        """Of a person's adjusted mean over so many answers, each by so many raters."""
        error = (self.answer + self.residual / raters) / questions
        return self.person / (self.person + error)


def facets(table: pd.DataFrame) -> Facets:
    """Fit the model.

    table : one row a score: person, question, score (points), rater (may be left out)
    Raises UndefinedMetric where questions and raters fall into parts that no person joins (who
    is able and what is easy cannot be told apart), or nobody answered two questions.
    """
    table = table.reset_index(drop=True)
    rated = "rater" in table and table["rater"].nunique() > 1
    sides = ["question", "rater"] if rated else ["question"]
    _check(table, sides)
    design, effects = _design(table, sides)
    twice = bool(table.duplicated(["person", "question"]).any())
    fit, (person, answer, residual) = _fitted(table, design, twice)
    found = {side: effect(fit) for side, effect in effects.items()}
    counts = {side: table[side].value_counts().rename("n") for side in sides}
    difficulty = -found["question"]["effect"]
    severity = -found["rater"]["effect"] if rated else pd.Series(dtype=float)
    freed = table["score"] + table["question"].map(difficulty)
    if rated:
        freed = freed + table["rater"].map(severity)
    mean = float(np.asarray(fit.fe_params)[0])
    answers = (
        table.assign(freed=freed)
        .groupby(["person", "question"], as_index=False, sort=False)
        .agg(freed=("freed", "mean"), score=("score", "mean"), n=("freed", "size"))
    )
    answers["expected"] = mean - answers["question"].map(difficulty)
    return Facets(
        questions=_named(found["question"], "difficulty")
        .join(table.groupby("question")["score"].mean().rename("mean"))
        .join(counts["question"]),
        raters=_named(found["rater"], "severity").join(counts["rater"])
        if rated
        else pd.DataFrame(columns=["severity", "low", "high", "n"]),
        people=_people(answers, mean, person, answer, residual),
        answers=answers,
        mean=mean,
        person=person,
        answer=answer,
        residual=residual,
    )


def _check(table: pd.DataFrame, sides: list[str]) -> None:
    if table.groupby("person")["question"].nunique().max() < 2:
        raise UndefinedMetric("Nobody answered two questions; ability has no value.")
    codes = [table[name].astype("category").cat.codes.to_numpy(int) for name in ("person", *sides)]
    starts = np.cumsum([0, *(code.max() + 1 for code in codes)])
    nodes = [code + start for code, start in zip(codes, starts, strict=False)]
    size = int(starts[-1])
    rows = np.concatenate([nodes[0]] * len(sides))
    links = coo_matrix((np.ones(len(rows)), (rows, np.concatenate(nodes[1:]))), (size, size))
    parts, _ = connected_components(links, directed=False)
    if parts > 1:
        raise UndefinedMetric(
            f"The {' and '.join(f'{side}s' for side in sides)} fall into {parts} parts that nobody "
            "joins, so nobody can say which is harder; let some people answer questions of both."
        )


Effect = Callable[[Any], pd.DataFrame]
Variances = tuple[float, float, float]


def _design(table: pd.DataFrame, sides: list[str]) -> tuple[Floats, dict[str, Effect]]:
    """An intercept and effects that sum to 0 over a facet's members; how to read each back."""
    columns, effects = [np.ones((len(table), 1))], {}
    place = 1
    for side in sides:
        category = table[side].astype("category").cat
        names, codes = category.categories, category.codes.to_numpy()
        coding = np.vstack([np.eye(len(names) - 1), -np.ones(len(names) - 1)])
        columns.append(coding[codes])
        effects[side] = _reader(coding, names, slice(place, place + len(names) - 1))
        place += len(names) - 1
    return np.hstack(columns), effects


def _reader(coding: Floats, names: pd.Index, part: slice) -> Effect:
    def read(fit: Any) -> pd.DataFrame:
        params = np.asarray(fit.fe_params)[part]
        covariance = np.asarray(fit.cov_params())[part, part]
        error = np.sqrt(np.einsum("ij,jk,ik->i", coding, covariance, coding))
        effect = coding @ params
        return pd.DataFrame({"effect": effect, "error": error}, index=names)

    return read


def _named(effect: pd.DataFrame, name: str) -> pd.DataFrame:
    """Its opposite, so that harder and severer are above 0, with its interval."""
    value, width = -effect["effect"], Z * effect["error"]
    return pd.DataFrame({name: value, "low": value - width, "high": value + width})


def _fitted(table: pd.DataFrame, design: Floats, twice: bool) -> tuple[Any, Variances]:
    """The fit, and the variances of person, answer and residual."""
    order = np.argsort(table["person"].to_numpy(), kind="stable")
    person = table["person"].to_numpy()[order]
    model = sm.MixedLM(
        table["score"].to_numpy(float)[order],
        design[order],
        groups=person,
        exog_re=np.ones((len(table), 1)),
        exog_vc=_answers(person, table["question"].to_numpy()[order]) if twice else None,
    )
    with warnings.catch_warnings():
        for kind in (ConvergenceWarning, SingularMatrixWarning):  # a variance of 0 is at the edge
            warnings.simplefilter("ignore", kind)
        try:
            fit = model.fit(reml=True, method=["lbfgs"])
        except np.linalg.LinAlgError:  # a step of the gradient went to a variance of 0
            fit = model.fit(reml=True, method=["powell"])
    of_person = max(0.0, float(np.asarray(fit.cov_re)[0, 0]))
    return fit, (of_person, float(fit.vcomp[0]) if twice else 0.0, float(fit.scale))


def _answers(person: npt.NDArray[Any], question: npt.NDArray[Any]) -> VCSpec:
    """Each person's ratings to the answer they are of; rows are ordered by person."""
    starts = np.unique(person, return_index=True)[1][1:]
    tables = [pd.get_dummies(part, dtype=float) for part in np.split(question, starts)]
    return VCSpec(
        ["answer"],
        [[list(table.columns) for table in tables]],
        [[table.to_numpy() for table in tables]],
    )


def _people(
    answers: pd.DataFrame, mean: float, person: float, answer: float, residual: float
) -> pd.DataFrame:
    """Each person from their answers, weighted by how often each was rated."""
    variance = answer + residual / answers["n"]
    weighted = answers.assign(weight=1 / variance)
    weighted["part"] = weighted["weight"] * weighted["freed"]
    sums = weighted.groupby("person", sort=False).agg(
        raw=("score", "mean"), weight=("weight", "sum"), part=("part", "sum"), n=("freed", "size")
    )
    adjusted = sums["part"] / sums["weight"]
    shrunk = person / (person + 1 / sums["weight"])
    return pd.DataFrame(
        {
            "raw": sums["raw"],
            "adjusted": adjusted,
            "standard_error": 1 / np.sqrt(sums["weight"]),
            "estimate": mean + shrunk * (adjusted - mean),
            "n": sums["n"],
        }
    )
