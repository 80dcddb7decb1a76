"""The cards of expression versions: a head learned from ratings, and the starter that measures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd

import configs
from data import assets
from data.contract import EXPRESSION_MEASURES, UndefinedMetric
from data.expression import UNUSED_BLENDSHAPES
from evaluation import agreement
from evaluation.card import (
    Architecture,
    BaseModelUsed,
    Calibration,
    Card,
    Change,
    Data,
    Explanation,
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

NO_HEAD = (
    "no public ratings of behaviour in interviews exist to learn from, so this version has no "
    "head, gives no score, and its weight in every total is 0"
)


def starter_card() -> Card:
    """The card of the version that measures and does not score."""
    absent = not_applicable(NO_HEAD)
    today = _today()
    return Card(
        identity=_identity(
            "Measures of observable behaviour (smile, gaze toward the camera, head); no score",
            today,
        ),
        intended_use=_intended_use("its measures are shown beside the recording, never summed up"),
        architecture=_architecture(
            "MediaPipe face landmarks, 52 blendshapes and head pose per frame; named measures by "
            "the formulas of data/expression.py; no learned head",
            f"{len(EXPRESSION_MEASURES)} named measures, curves and key frames; no score",
        ),
        data=Data(
            n_people=absent,
            n_recordings=absent,
            dates=absent,
            consent_basis=absent,
            label_source=absent,
            rater_icc=absent,
            demographics=absent,
            split=absent,
            datasheet=absent,
        ),
        metrics=Metrics(
            protocol=absent, rows=absent, length_adjusted=absent, by_codec=absent, by_snr=absent
        ),
        reliability=absent,
        criterion_validity=absent,
        impact=absent,
        calibration=Calibration(method=absent, half_width=absent, coverage=absent),
        abstention=absent,
        explanation=_explanation(),
        limitations=_limitations(),
        oversight=human_oversight(part="expression"),
        monitoring=_monitoring(),
        change_log=(Change(date=today, change="first version: measures without a head"),),
        law=_law(),
    )


def learned_card(
    predictions: pd.DataFrame, *, head: str, widths: dict[str, float], protocol: str
) -> Card:
    """The complete card of a head but for what publishing knows."""
    today = _today()
    targets = sorted(widths)
    return Card(
        identity=_identity(f"Rated behaviour ({', '.join(targets)}), 0 to 100", today),
        intended_use=_intended_use("beside a human's judgement: how behaviour would be rated"),
        architecture=_architecture(
            "two convolutions over the masked 5 Hz series, pooled by mean, spread and attention, "
            f"ridge regression on top; chosen: {head}",
            f"{', '.join(targets)} in points of 100",
        ),
        data=_data(predictions, targets),
        metrics=Metrics(
            protocol=protocol,
            rows=tuple(_agreement_rows(predictions, targets)),
            length_adjusted=tuple(_length_adjusted(predictions, targets)),
            by_codec=not_applicable("codecs were not recorded with the ratings"),
            by_snr=not_applicable("the sound is not read"),
        ),
        reliability=tuple(_reliability(predictions, targets)),
        criterion_validity=not_applicable("no rated person was hired or observed at work"),
        impact=not_applicable("nobody was selected with this version"),
        calibration=Calibration(
            method="split conformal on held-out people: |score − raters' mean, severity out|, 90 %",
            half_width=widths,
            coverage=tuple(_coverage(predictions, widths)),
        ),
        abstention=not_applicable("only recordings with a measured face were rated"),
        explanation=_explanation(),
        limitations=_limitations(),
        oversight=human_oversight(part="expression"),
        monitoring=_monitoring(),
        change_log=(Change(date=today, change="head learned from ratings"),),
        law=_law(),
    )


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _raters(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[column for column in rows.columns if column.startswith("rater_")]]


def _agreement_rows(predictions: pd.DataFrame, targets: list[str]) -> Iterator[Metric]:
    for target in targets:
        rows = predictions[predictions["target"] == target]
        by = rows["person"].to_numpy()
        for name in ("pearson", "spearman", "mae"):
            metric = getattr(agreement, name)
            estimate = agreement.interval(metric, rows["rating"], rows["score"], by=by)
            mean = np.full(len(rows), rows["rating"].mean())
            yield Metric(
                type=name,
                target=target,
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                n=rows["person"].nunique(),
                baseline=agreement.mae(rows["rating"], mean) if name == "mae" else None,
                baseline_name="mean rating" if name == "mae" else "",
                human_ceiling=_ceiling(rows) if name == "pearson" else None,
                note="ceiling: one rater against the mean of the others, severity taken out; the "
                "mean rating as a predictor has no correlation",
            )


def _ceiling(rows: pd.DataFrame) -> float | None:
    """None where too few recordings have two raters."""
    try:
        return agreement.human_ceiling(_raters(rows), by=rows["person"].to_numpy()).value
    except UndefinedMetric:
        return None


def _length_adjusted(predictions: pd.DataFrame, targets: list[str]) -> Iterator[Metric]:
    for target in targets:
        rows = predictions[predictions["target"] == target]
        estimate = agreement.interval(
            agreement.partial_pearson,
            rows["rating"],
            rows["score"],
            np.log(rows["seconds"].to_numpy(float)),
            by=rows["person"].to_numpy(),
            repeats=300,
        )
        yield Metric(
            type="partial_pearson_seconds",
            target=target,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=rows["person"].nunique(),
            note="log of the recording's seconds held fixed",
        )


def _reliability(predictions: pd.DataFrame, targets: list[str]) -> Iterator[Metric]:
    for target in targets:
        rows = predictions[predictions["target"] == target]
        value = _one_rater_reliability(_raters(rows).to_numpy(float))
        yield Metric(
            type="one_rater_reliability",
            target=target,
            value=value,
            n=rows["person"].nunique(),
            note="share of a single rating's variance that lies between recordings, severity out "
            "(one-way analysis of variance with unequal numbers of raters)",
        )


def _one_rater_reliability(ratings: agreement.Floats) -> float | None:
    """ICC(1) where not every rater rated every recording; None when nobody was rated twice.

    Source: Shrout & Fleiss 1979, with the mean group size of Donner 1986.
    """
    counts = (~np.isnan(ratings)).sum(axis=1)
    ratings, counts = ratings[counts > 0], counts[counts > 0]
    n, total = len(counts), int(counts.sum())
    if n < 2 or total <= n:
        return None
    means = np.nanmean(ratings, axis=1)
    within = float(np.nansum((ratings - means[:, None]) ** 2)) / (total - n)
    between = float((counts * (means - np.nanmean(ratings)) ** 2).sum()) / (n - 1)
    size = (total - float((counts**2).sum()) / total) / (n - 1)
    return (between - within) / (between + (size - 1) * within)


def _coverage(predictions: pd.DataFrame, widths: dict[str, float]) -> Iterator[Metric]:
    for target, width in widths.items():
        rows = predictions[predictions["target"] == target]
        inside = (rows["rating"] - rows["score"]).abs() <= width
        yield Metric(
            type="coverage",
            target=target,
            value=float(inside.mean()),
            n=rows["person"].nunique(),
            note=f"share within ± {width:.1f} points; the same held-out scores set the width, so "
            "it is about 90 % by construction",
        )


def _identity(summary: str, today: str) -> Identity:
    return Identity(
        name="expression",
        summary=summary,
        date=today,
        change_since_last="first version",
        licences=("Apache-2.0 (MediaPipe face landmarker)",),
    )


def _intended_use(use: str) -> IntendedUse:
    return IntendedUse(
        uses=(use, "telling a candidate what the camera saw: light, distance, gaze"),
        users=("recruiters with training in what a measure means", "auditors", "candidates"),
        languages=("zh", "en"),
        out_of_scope=(
            "any statement about feelings, character, honesty or health",
            "deciding alone whether anyone is invited, hired or refused",
            "recognising who somebody is",
            "people whose face or gaze is affected by a disability: offer no_expression",
        ),
        regions="off where the law forbids reading the face at work; weight 0 by default",
        off_in=(
            Region(
                region="eu",
                rule="EU AI Act Art. 5(1)(f): no emotion recognition in recruitment",
                effect="the stage is not run: nothing is computed or stored",
            ),
            Region(
                region="cn",
                rule="PIPL Art. 28–29: separate consent for the face",
                effect="not run without consent; another way is offered",
            ),
        ),
    )


def _architecture(description: str, outputs: str) -> Architecture:
    file = configs.load("assets", assets.AssetsConfig).assets["face_landmarker.task"][0]
    return Architecture(
        description=description,
        inputs="5 frames a second, up to 15 around quick movement, scaled to 640 pixels; "
        "FeatureSet expression: a time series, gaps marked where not exactly one face is seen",
        outputs=outputs,
        base_models=(
            BaseModelUsed(
                name="MediaPipe FaceLandmarker (float16, blendshapes)",
                licence="Apache-2.0",
                use="frozen; landmarks, blendshapes, head pose",
                sha256=file.sha256,
            ),
        ),
    )


def _data(predictions: pd.DataFrame, targets: list[str]) -> Data:
    first = predictions[predictions["target"] == targets[0]]
    found = _one_rater_reliability(_raters(first).to_numpy(float))
    return Data(
        n_people=first["person"].nunique(),
        n_recordings=len(first),
        dates="as the ratings table's owner states; the table holds none",
        consent_basis="the owner of the ratings table must hold separate consent for the face",
        label_source=f"ratings of behaviour by {_raters(first).shape[1]} raters",
        rater_icc=round(found, 3) if found is not None else "nobody was rated twice",
        demographics=not_applicable("the ratings table holds no groups"),
        split="by person: nobody is both learned from and judged",
        datasheet="ratings.csv and series/ as described in training/expression.py",
    )


def _explanation() -> Explanation:
    return Explanation(
        method="named measures with their unit, curves over time, and key frames of the largest "
        "smile, the longest look away and a nod",
        check="each measure on a photograph turned, moved, scaled, mirrored and blinked by "
        "construction (tests/data/test_expression.py)",
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "gaze is estimated from lids and iris to about ±10°, so the interviewer's picture and "
            "the camera are one direction; glasses and a low camera disturb it",
            "head angles move by up to 6° with the place of the face in the picture",
            "blinks need at least 10 frames a second and a head within 25° of the camera",
            "thresholds (a smile, a nod) were chosen, not learned; no reference ranges exist",
            "accuracy by skin tone, age and glasses has not been measured here",
            f"blendshapes that never move are not used: {', '.join(UNUSED_BLENDSHAPES)}",
        ),
        trade_offs=(
            "every frame is searched for a second face, a fifth more time than following one",
        ),
        risks=(
            "behaviour differs between cultures and with disability; a measure is not merit",
            "viewers may read feelings into a curve: texts name only what is seen",
        ),
    )


def _monitoring() -> Monitoring:
    return Monitoring(
        thresholds=(
            "more than 10 % of recordings have no measured face",
            "share of recordings with a measured face differs between groups by more than 5 points",
        ),
        retrain_trigger="ratings of 200 interview recordings by at least three raters",
    )


def _law() -> Law:
    return Law(
        annex_iv=annex_iv_map(
            risk_management="no risk management file exists yet; see Limitations and risks",
            conformity="none: the stage is off in the EU",
        ),
        pipia=pipia_map(
            purpose="shows a recruiter and the candidate what the camera saw; not necessary for "
            "assessment, so it is separate consent and weight 0",
            impact="a face identifies a person and may invite judgements on looks",
            protection="off by region and request, no identification, encryption at rest, deletion "
            "with the recording",
        ),
        ll144=ll144_summary(audit="none; this version gives no score that counts in a total"),
    )
