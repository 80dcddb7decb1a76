"""Moves the champion alias, only to a version that is no worse and no less fair.

Both versions are compared on the same held-out people: the rows that the
`predictions.csv` of both have. The answer always comes with its reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from pydantic import Field

import configs
from data.contract import Record, UndefinedMetric
from data.registry import PREDICTIONS, misfit, read_manifest
from evaluation import agreement, fairness
from evaluation.agreement import Floats
from evaluation.card import missing, read_card
from training.publish import CHAMPION, champion, connect, download

KEYS = ["person", "item", "target"]
"""What identifies a held-out row."""

SPLIT = "split"
"""Column of predictions.csv that says how a row was held out: each way is compared by itself."""

GROUP_COLUMNS = ("age_group", "gender", "group", "ethnicity")
"""Columns of predictions.csv that name groups of people."""


class PromotionConfig(Record):
    """configs/promotion.yaml."""

    metric_margin: float = Field(ge=0)
    group_gap_margin: float = Field(ge=0)
    bias_gap_margin: float = Field(ge=0)
    impact_margin: float = Field(ge=0)
    min_group: int = Field(ge=2)
    common_share: float = Field(gt=0, le=1)
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
    if reason := misfit(read_manifest(folder), name):
        return Verdict(False, (f"a service of this code could not load it: {reason}",))
    if gaps := missing(read_card(folder)):
        return Verdict(False, (f"its card has empty fields: {', '.join(gaps)}",))
    holder = champion(client, name)
    if holder == version:
        return Verdict(False, (f"version {version} is the champion already",))
    if holder is None:
        return _move(client, name, version, ("there was no champion",))
    champions = download(client, name, holder)
    given, asked = _outputs(folder), _outputs(champions)
    objections, findings = compare(
        _predictions(folder), _predictions(champions), config, outputs=given
    )
    objections += [
        f"{name}: it gives no such score, the champion does" for name in sorted(asked - given)
    ]
    if objections:
        return Verdict(False, tuple(objections + findings))
    return _move(client, name, version, tuple(findings))


def _outputs(folder: Path) -> set[str]:
    """Names of the scores that the version's head gives; a weights version gives none."""
    return {target.name for target in read_manifest(folder).targets}


def _move(client: MlflowClient, name: str, version: str, reasons: tuple[str, ...]) -> Verdict:
    client.set_registered_model_alias(name, CHAMPION, version)
    return Verdict(True, reasons)


def _predictions(folder: Path) -> pd.DataFrame:
    path = folder / PREDICTIONS
    if not path.is_file() or not path.read_bytes().strip():
        return pd.DataFrame(columns=[*KEYS, "rating", "score"])
    return pd.read_csv(path, dtype=dict.fromkeys(KEYS, str))


@dataclass(frozen=True)
class Finding:
    """One comparison in a sentence.

    about : what it is evidence of: a score of the head, or the composite of a job
    standing : `shown` and `not_shown` where the champion has shown nothing
    """

    about: str
    standing: Literal["worse", "no_worse", "shown", "not_shown"]
    sentence: str


def compare(
    challenger: pd.DataFrame,
    incumbent: pd.DataFrame,
    config: PromotionConfig,
    *,
    outputs: Collection[str],
) -> tuple[list[str], list[str]]:
    """(objections, findings) of the challenger against the champion on their common rows.

    A target of which the champion has no predictions (chosen weights, measures only) is one
    where it has shown nothing: there a challenger needs agreement whose interval is above zero.
    Where targets are outcomes that one composite is judged by (performance, retention), one
    of them is enough, and none may be below zero.

    outputs : the targets that are scores of the challenger's head, each judged by itself
    """
    if challenger.empty:
        return ["it has no held-out predictions to be judged by"], []
    found = [
        finding
        for label, ours in _parts(challenger)
        for finding in _judged(label, ours, incumbent, config, outputs)
    ]
    shown = {finding.about for finding in found if finding.standing == "shown"}
    objections: list[str] = []
    findings: list[str] = []
    for finding in found:
        without = finding.standing == "not_shown" and finding.about not in shown
        refused = finding.standing == "worse" or without
        (objections if refused else findings).append(finding.sentence)
    unjudged = set(outputs) - set(challenger["target"])
    objections += [
        f"{target}: its head gives this score and it has no held-out predictions of it"
        for target in sorted(unjudged)
    ]
    unheard = set(incumbent["target"]) - set(challenger["target"]) - unjudged
    findings += [f"{target}: not in its predictions, so not compared" for target in sorted(unheard)]
    return objections, findings


def _judged(
    label: str,
    ours: pd.DataFrame,
    incumbent: pd.DataFrame,
    config: PromotionConfig,
    outputs: Collection[str],
) -> Iterator[Finding]:
    """What the rows of one target say. Rows of an outcome have their job as item."""
    target, item = ours[["target", "item"]].iloc[0]
    about = target if target in outputs else item
    theirs = incumbent[incumbent["target"] == target]
    both = ours.merge(theirs[[*KEYS, "score"]], on=KEYS, suffixes=("", "_champion"))
    if theirs.empty:
        yield _against_nothing(label, about, ours, config)
    elif few := _too_few_in_common(both, ours, theirs, config):
        yield Finding(about, "worse", f"{label}: {few}")
    else:
        for worse, sentence in _compare_rows(label, both, config):
            yield Finding(about, "worse" if worse else "no_worse", sentence)


def _too_few_in_common(
    both: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame, config: PromotionConfig
) -> str | None:
    """Why the rows that both versions were held out on cannot decide; None when they can."""
    people = both["person"].nunique()
    of = min(ours["person"].nunique(), theirs["person"].nunique())
    if people >= config.min_group and people >= config.common_share * of:
        return None
    return (
        f"the two versions have held-out rows of {people} people in common, of at least {of} each; "
        f"{config.min_group} and {config.common_share:.0%} are needed. Fit both on the same data, "
        "or judge both with `python -m training test` on one folder and let a person decide"
    )


def _parts(predictions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label, rows) of each target, and of each way of holding out where there are several."""
    columns = ["target", SPLIT] if SPLIT in predictions else ["target"]
    for key, rows in predictions.groupby(columns):
        yield ", ".join(map(str, key)), rows


def _against_nothing(
    label: str, about: str, rows: pd.DataFrame, config: PromotionConfig
) -> Finding:
    try:
        found = agreement.interval(
            agreement.pearson,
            rows["rating"],
            rows["score"],
            by=rows["person"].to_numpy(str),
            repeats=config.repeats,
        )
    except UndefinedMetric as reason:
        return Finding(about, "worse", f"{label}: r is undefined ({reason})")
    sentence = f"{label}: r {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    if found.low > 0:
        nothing = "the champion has no predictions to compare with"
        return Finding(about, "shown", f"{sentence}; {nothing}")
    if found.high < 0:
        return Finding(about, "worse", f"{sentence} is below zero")
    return Finding(about, "not_shown", f"{sentence} is not shown to be above zero")


def _compare_rows(
    label: str, rows: pd.DataFrame, config: PromotionConfig
) -> Iterator[tuple[bool, str]]:
    try:
        difference = agreement.interval(
            lambda rating, new, old: (
                agreement.pearson(rating, new) - agreement.pearson(rating, old)
            ),
            rows["rating"],
            rows["score"],
            rows["score_champion"],
            by=rows["person"].to_numpy(str),
            repeats=config.repeats,
        )
    except UndefinedMetric as reason:
        yield True, f"{label}: the change of r is undefined ({reason})"
        return
    worse = difference.value < -config.metric_margin or difference.high < 0
    yield (
        worse,
        f"{label}: r changes by {difference.value:+.3f} "
        f"({difference.low:+.3f} to {difference.high:+.3f}) on {len(rows)} common rows"
        + ("; that is worse" if worse else ""),
    )
    for column in GROUP_COLUMNS:
        if column in rows and rows[column].notna().any():
            yield from _compare_groups(label, column, rows, config)


def _compare_groups(
    label: str, column: str, rows: pd.DataFrame, config: PromotionConfig
) -> Iterator[tuple[bool, str]]:
    """Less fair: a gap between groups grew by more than its margin and more than by chance.

    By chance: in a corpus of a hundred speakers one person more selected moves an impact
    ratio by .03, so a margin alone would refuse at random.
    """
    people = rows.groupby(column)["person"].nunique()
    large = rows[rows[column].isin(people[people >= config.min_group].index)]
    if large[column].nunique() < 2:
        return
    checks = (
        ("gap in agreement", _agreement_gap, large, config.group_gap_margin),
        ("gap in mean score − rating", _bias_gap, large, config.bias_gap_margin),
        (
            "loss of impact ratio at one half selected",
            _impact_loss,
            _by_person(large, column),
            config.impact_margin,
        ),
    )
    for name, gap, table, margin in checks:
        try:
            yield _compare_gap(f"{label} by {column}: {name}", gap, table, column, margin, config)
        except UndefinedMetric as reason:
            yield False, f"{label} by {column}: {name} undefined ({reason})"


Gap = Callable[[Floats, Floats, Floats], float]
"""Of (rating, score, code of the group): how far apart the groups are."""


def _compare_gap(
    label: str, gap: Gap, rows: pd.DataFrame, column: str, margin: float, config: PromotionConfig
) -> tuple[bool, str]:
    group = pd.factorize(rows[column])[0].astype(float)
    columns = [rows[name].to_numpy(float) for name in ("rating", "score", "score_champion")]
    change = agreement.interval(
        lambda rating, new, old, group: gap(rating, new, group) - gap(rating, old, group),
        *columns,
        group,
        by=rows["person"].to_numpy(str),
        repeats=config.repeats,
    )
    rating, new, old = columns
    worse = change.value > margin and change.low > 0
    return (
        worse,
        f"{label} {gap(rating, old, group):.3f} → {gap(rating, new, group):.3f}, a change of "
        f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
        + (f"; wider by more than {margin:g}, that is less fair" if worse else ""),
    )


def _by_person(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row a person: a person is selected once, whatever number of answers."""
    means = dict.fromkeys(("rating", "score", "score_champion"), "mean")
    return rows.groupby("person", as_index=False).agg({**means, column: "first"})


def _agreement_gap(rating: Floats, score: Floats, group: Floats) -> float:
    found = [agreement.pearson(rating[group == g], score[group == g]) for g in np.unique(group)]
    return max(found) - min(found)


def _bias_gap(rating: Floats, score: Floats, group: Floats) -> float:
    found = [float((score - rating)[group == g].mean()) for g in np.unique(group)]
    return max(found) - min(found)


def _impact_loss(rating: Floats, score: Floats, group: Floats) -> float:
    """Takes no notice of the ratings: who is selected depends on scores alone."""
    scores = pd.Series(score)
    ratios = fairness.impact_ratio(scores, pd.Series(group), cut=float(scores.median()))
    return float(1 - ratios.min())
