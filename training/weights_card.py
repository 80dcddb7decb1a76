"""The card of a weights version: what was learned from hires, and what people chose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from data.corpora import siop2020
from data.weights import JobWeights
from evaluation.agreement import Estimate
from evaluation.card import (
    Architecture,
    Calibration,
    Card,
    Data,
    Explanation,
    GroupCount,
    Identity,
    IntendedUse,
    Law,
    Limitations,
    Metric,
    Metrics,
    Monitoring,
    Region,
    annex_iv_map,
    human_oversight,
    ll144_summary,
    not_applicable,
    pipia_map,
)
from evaluation.rows import filled, impact_rows
from evaluation.validity import OPERATIONAL_VALIDITY
from training.facts import Facts
from training.publish import Judged

_FOCAL_TERM = 2  # row of `predictive_bias`: intercept, score, focal, score_x_focal

_NO_CEILING = "no human chose among these people, so there is no ceiling to compare with"


@dataclass(frozen=True)
class Report:
    """Weights of one job and what they do for people they were not learned from.

    candidate : the method chosen, with its penalties
    rows : held-out metrics of the learned weights
    unit, blind : metric -> value of unit weights, and of the first ridge candidate,
        which takes no notice of groups
    within_folds : mean selection score in single folds
    predictions : one repeat's held-out rows, as predictions.csv
    """

    job: str
    weights: JobWeights
    candidate: str
    rows: list[Judged]
    unit: dict[str, float]
    blind: dict[str, float]
    within_folds: Estimate
    predictions: pd.DataFrame
    incomplete: int


def card(reports: Sequence[Report], facts: Facts) -> Card:
    """Card of a weights version, complete but for what publishing knows.

    Jobs that no report is about have chosen weights; the card says so.
    """
    names = ", ".join(report.job for report in reports)
    return Card(
        identity=Identity(
            name="weights",
            summary=f"Learned from hires for {names}; chosen by people, and unlearned, for every "
            "other job of weights.json (field `source`)",
            date=datetime.now(UTC).date().isoformat(),
            licences=("LicenseRef-Proprietary: chosen weights", *facts.licences),
        ),
        intended_use=_intended_use(),
        architecture=_architecture(reports),
        data=_data(reports, facts),
        metrics=_metrics(reports),
        reliability=not_applicable(
            "reliability of a total follows from that of its scores; see the cards of the parts"
        ),
        criterion_validity=tuple(row for report in reports for row in _validity_rows(report)),
        impact=tuple(
            row
            for report in reports
            for row in impact_rows(report.predictions, f"{report.job}.high_performer", "group")
        ),
        calibration=_calibration(),
        abstention=not_applicable(
            "weights score everybody who has scores; abstention is in the cards of the parts"
        ),
        explanation=_EXPLANATION,
        limitations=_limitations(reports),
        oversight=human_oversight(part="total"),
        monitoring=_MONITORING,
        law=_law(),
    )


def _architecture(reports: Sequence[Report]) -> Architecture:
    methods = "; ".join(f"{report.job}: {report.candidate}" for report in reports)
    return Architecture(
        description="weighted sum. Learned: linear composite, method chosen on inner folds "
        f"({methods}). Chosen: weights set by judgement in configs/jobs.yaml",
        inputs="scores of one candidate in points of 100 (or assessment items)",
        outputs="one number a candidate and job: the total",
        base_models=not_applicable("weights stand on no pretrained model"),
    )


def _metrics(reports: Sequence[Report]) -> Metrics:
    return Metrics(
        protocol="learned weights only: repeated folds by person; the method is chosen anew inside "
        "each; selection score = 25·share of high performers selected + 25·share of retained "
        "selected + 50·share of both − 100·|1 − impact ratio| for the top half; intervals "
        "resample people. Rows of selection are means over all repeats, of which predictions.csv "
        "holds the first",
        rows=tuple(row for report in reports for row in _metric_rows(report)),
        length_adjusted=not_applicable("predictors are scores or items, not text"),
        by_codec=not_applicable("no recording is read"),
        by_snr=not_applicable("no recording is read"),
    )


def _limitations(reports: Sequence[Report]) -> Limitations:
    published = ", ".join(f"{name} {r}" for name, r in OPERATIONAL_VALIDITY.items())
    return Limitations(
        limitations=(
            "chosen weights are judgement: nobody has been hired by them, so their validity and "
            f"impact are unknown (published means, not theirs: {published}); learn weights as "
            "soon as outcomes exist",
            "every metric, validity and impact ratio of this card is of the learned weights",
            *(_ITEMS_ONLY for report in reports if report.job == siop2020.NAME),
            "everyone learned from was hired: correlations among applicants differ, and no "
            "correction is made because the applicants' spread is not known",
            "the gain in diversity shrinks on new people when few are learned from; the figures "
            "here are of people held out",
        ),
        trade_offs=tuple(_trade_off(report) for report in reports),
        risks=_RISKS,
    )


_ITEMS_ONLY = (
    "siop2020 weighs the items of one employer's assessment, which no interview asks: it shows "
    "that the method works on real hires, and no job of this service is scored by it"
)


def _data(reports: Sequence[Report], facts: Facts) -> Data:
    people = sum(report.weights.people for report in reports)
    left_out = sum(report.incomplete for report in reports)
    counts = [
        GroupCount(column=f"group ({report.job})", group=str(group or "not declared"), n=int(n))
        for report in reports
        for group, n in _one_target(report)["group"].value_counts().items()
    ]
    return Data(
        n_people=people,
        n_recordings=not_applicable("learned from scores or items, not from recordings"),
        dates=facts.dates,
        consent_basis=facts.consent_basis,
        label_source=facts.label_source,
        rater_icc="not known: one supervisor rated each person, or severity was taken off by mean",
        demographics=tuple(counts),
        split=f"by person; {left_out} hires with an incomplete record were left out",
        datasheet=facts.datasheet,
    )


def _one_target(report: Report) -> pd.DataFrame:
    return report.predictions[report.predictions["target"] == f"{report.job}.high_performer"]


def _metric_rows(report: Report) -> Iterator[Metric]:
    for row in report.rows:
        if row.metric == "validity":
            continue  # among the criterion validities
        yield Metric(
            type=row.metric,
            target=report.job,
            value=row.value,
            low=row.low,
            high=row.high,
            n=row.n,
            baseline={"unit_weights": report.unit[row.metric]},
            note=_NO_CEILING,
        )
    found = report.within_folds
    yield Metric(
        type="selection_score_within_folds",
        target=report.job,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        note="mean, and range of 95 %, of single folds, whose fewer people make the impact ratio "
        f"noisier; {_NO_CEILING}",
    )


def _validity_rows(report: Report) -> Iterator[Metric]:
    """Correlations of one repeat, and whether the composite predicts both groups alike."""
    for target in sorted(report.predictions["target"].unique()):
        row = Metric(
            type="pearson",
            target=target,
            note="first repeat, uncorrected for range and for error of the ratings",
        )
        yield filled(row, report.predictions)
    row = Metric(
        type="cleary_group_term",
        target=f"{report.job}.high_performer",
        note="points of 100 at composite 0: below 0, the focal group is predicted too high",
    )
    yield filled(row, report.predictions)


def _trade_off(report: Report) -> str:
    ours, blind = {row.metric: row.value for row in report.rows}, report.blind
    return (
        f"{report.job}: accuracy part {ours['accuracy']:.1f} at impact ratio "
        f"{ours['impact_ratio']:.2f}, against {blind['accuracy']:.1f} at "
        f"{blind['impact_ratio']:.2f} for ridge weights that take no notice of groups"
    )


def _calibration() -> Calibration:
    why = not_applicable(
        "the total's interval follows from those of its scores; weights add none of their own"
    )
    return Calibration(method=why, level=why, half_width=why, coverage=why)


def _intended_use() -> IntendedUse:
    return IntendedUse(
        uses=("combining a candidate's scores into one total for a job, beside each score",),
        users=("recruiters with training in what the total means", "auditors", "candidates"),
        languages=("zh", "en"),
        out_of_scope=(
            "deciding alone whether anyone is invited, hired or refused",
            "a job, an employer or items other than those the weights were learned or chosen for",
            "comparing totals of different jobs",
        ),
        regions="everywhere the scores themselves may be used",
        off_in=(
            Region(
                region="eu",
                rule="EU AI Act Art. 5(1)(f)",
                effect="expression has weight 0 here and everywhere",
            ),
        ),
    )


_EXPLANATION = Explanation(
    method="the weights themselves: a total is the sum of weight times score, shown term by term",
    check="planted weights of simulated histories come back (tests/training/test_weights.py)",
)

_RISKS = (
    "weights learned from biased ratings repeat the bias: compare criterion and impact by group",
    "a group that nobody declared cannot be looked after",
)

_MONITORING = Monitoring(
    thresholds=(
        "impact ratio of a quarter's decisions below .80 for a group of at least 30",
        "validity of the total on new hires below half of this card's",
    ),
    retrain_trigger="a threshold crossed, or twice as many hires with outcomes as learned from",
)


def _law() -> Law:
    return Law(
        annex_iv=annex_iv_map(
            risk_management="no file exists yet; Limitations and risks lists the risks",
            conformity="none: this version is not placed on the EU market",
        ),
        pipia=pipia_map(
            purpose="makes the order of importance of a job's scores explicit and the same for all",
            impact="a wrong weight moves many people's totals in the same direction",
            protection="weights are public, few and readable; group labels are never an input; a "
            "person decides",
        ),
        ll144=ll144_summary(audit="none yet; this version has not been used on candidates"),
    )
