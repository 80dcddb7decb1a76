"""Moves the champion alias, only to a version that is no worse and no less fair.

Both versions are compared on the same held-out people: the rows that the
`predictions.csv` of both have. The answer always comes with its reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from pydantic import Field

import configs
from data.contract import Record, UndefinedMetric
from data.registry import PREDICTIONS
from evaluation import agreement, fairness
from evaluation.card import missing
from training.publish import CHAMPION, champion, connect, download, read_card

GROUP_COLUMNS = ("age_group", "gender", "group", "ethnicity")
"""Columns of predictions.csv that name groups of people."""


class PromotionConfig(Record):
    """configs/promotion.yaml."""

    metric_margin: float = Field(ge=0)
    group_gap_margin: float = Field(ge=0)
    bias_gap_margin: float = Field(ge=0)
    impact_margin: float = Field(ge=0)
    min_group: int = Field(ge=2)
    repeats: int = Field(ge=100)


@dataclass(frozen=True)
class Verdict:
    """Whether the alias moved, and every reason for or against."""

    promoted: bool
    reasons: tuple[str, ...]


def promote(name: str, version: str, config: PromotionConfig | None = None) -> Verdict:
    """Point `champion` of `name` at `version` if it passes; else say why not.

    Raises ContractMismatch when the version does not exist.
    """
    config = config or configs.load("promotion", PromotionConfig)
    client = connect()
    folder = download(client, name, version)
    if gaps := missing(read_card(folder)):
        return Verdict(False, (f"its card has empty fields: {', '.join(gaps)}",))
    holder = champion(client, name)
    if holder == version:
        return Verdict(False, (f"version {version} is the champion already",))
    if holder is None:
        return _move(client, name, version, ("there was no champion",))
    challenger = _predictions(folder)
    incumbent = _predictions(download(client, name, holder))
    objections, findings = compare(challenger, incumbent, config)
    if objections:
        return Verdict(False, tuple(objections + findings))
    return _move(client, name, version, tuple(findings))


def _move(client: MlflowClient, name: str, version: str, reasons: tuple[str, ...]) -> Verdict:
    client.set_registered_model_alias(name, CHAMPION, version)
    return Verdict(True, reasons)


def _predictions(folder: Path) -> pd.DataFrame:
    path = folder / PREDICTIONS
    if not path.is_file() or path.stat().st_size < 2:
        return pd.DataFrame(columns=["person", "item", "target", "rating", "score"])
    return pd.read_csv(path, dtype={"person": str, "item": str})


def compare(
    challenger: pd.DataFrame, incumbent: pd.DataFrame, config: PromotionConfig
) -> tuple[list[str], list[str]]:
    """(objections, findings) of the challenger against the champion on their common rows.

    A champion without predictions (chosen weights, measures only) has shown nothing: a
    challenger needs agreement whose interval is above zero.
    """
    if challenger.empty:
        return ["it has no held-out predictions to be judged by"], []
    if incumbent.empty:
        return _against_nothing(challenger, config)
    keys = ["person", "item", "target"]
    both = challenger.merge(incumbent[[*keys, "score"]], on=keys, suffixes=("", "_champion"))
    if both.empty:
        return [
            "the two versions have no held-out rows in common; judge both with "
            "`python -m training test` on the same folder and publish with those predictions"
        ], []
    objections: list[str] = []
    findings: list[str] = []
    for target, rows in both.groupby("target"):
        for worse, sentence in _compare_target(str(target), rows, config):
            (objections if worse else findings).append(sentence)
    return objections, findings


def _against_nothing(
    challenger: pd.DataFrame, config: PromotionConfig
) -> tuple[list[str], list[str]]:
    objections, findings = [], []
    for target, rows in challenger.groupby("target"):
        found = agreement.interval(
            agreement.pearson,
            rows["rating"],
            rows["score"],
            by=rows["person"].to_numpy(),
            repeats=config.repeats,
        )
        sentence = f"{target}: r {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        if found.low > 0:
            findings.append(f"{sentence}; the champion has no predictions to compare with")
        else:
            objections.append(f"{sentence} is not above zero")
    return objections, findings


def _compare_target(
    target: str, rows: pd.DataFrame, config: PromotionConfig
) -> Iterator[tuple[bool, str]]:
    difference = agreement.interval(
        lambda rating, new, old: agreement.pearson(rating, new) - agreement.pearson(rating, old),
        rows["rating"],
        rows["score"],
        rows["score_champion"],
        by=rows["person"].to_numpy(),
        repeats=config.repeats,
    )
    worse = difference.value < -config.metric_margin or difference.high < 0
    yield (
        worse,
        f"{target}: r changes by {difference.value:+.3f} "
        f"({difference.low:+.3f} to {difference.high:+.3f}) on {difference.n} common rows"
        + ("; that is worse" if worse else ""),
    )
    for column in GROUP_COLUMNS:
        if column in rows and rows[column].notna().any():
            yield from _compare_groups(target, column, rows, config)


def _compare_groups(
    target: str, column: str, rows: pd.DataFrame, config: PromotionConfig
) -> Iterator[tuple[bool, str]]:
    people = rows.groupby(column)["person"].nunique()
    large = rows[rows[column].isin(people[people >= config.min_group].index)]
    if large[column].nunique() < 2:
        return
    checks = (
        ("gap in agreement", _agreement_gap, config.group_gap_margin),
        ("gap in mean score − rating", _bias_gap, config.bias_gap_margin),
        ("loss of impact ratio at one half selected", _impact_loss, config.impact_margin),
    )
    for label, gap, margin in checks:
        try:
            new, old = gap(large, column, "score"), gap(large, column, "score_champion")
        except UndefinedMetric as reason:
            yield False, f"{target} by {column}: {label} undefined ({reason})"
            continue
        worse = new - old > margin
        yield (
            worse,
            f"{target} by {column}: {label} {old:.3f} → {new:.3f}"
            + (f"; wider by more than {margin:g}, that is less fair" if worse else ""),
        )


def _agreement_gap(rows: pd.DataFrame, column: str, score: str) -> float:
    found = [agreement.pearson(part["rating"], part[score]) for _, part in rows.groupby(column)]
    return max(found) - min(found)


def _bias_gap(rows: pd.DataFrame, column: str, score: str) -> float:
    bias = (rows[score] - rows["rating"]).groupby(rows[column]).mean()
    return float(bias.max() - bias.min())


def _impact_loss(rows: pd.DataFrame, column: str, score: str) -> float:
    person = rows.groupby("person").agg({score: "mean", column: "first"})
    ratios = fairness.impact_ratio(person[score], person[column], cut=person[score].median())
    return float(1 - ratios.min())
