"""The cards of expression versions: a head learned from ratings, and the starter that measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pandas as pd

import configs
from data import assets
from data.contract import EXPRESSION_MEASURES
from data.face import UNUSED_BLENDSHAPES
from evaluation.card import (
    Architecture,
    BaseModelUsed,
    Calibration,
    Card,
    Data,
    Drift,
    Explanation,
    Identity,
    IntendedUse,
    Law,
    Limitations,
    Measured,
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
from evaluation.rows import calibrated, filled
from training.facts import Facts

NO_HEAD = (
    "no public ratings of behaviour in interviews exist to learn from, so this version has no "
    "head, gives no score, and its weight in every total is 0"
)


def measuring_card(stability: tuple[Drift, ...], facts: Facts) -> Card:
    """The card of a version that measures and does not score.

    facts : of the recordings that the drifts were measured on
    """
    absent = not_applicable(NO_HEAD)
    return Card(
        identity=_identity(
            "Measures of observable behaviour (smile, gaze toward the camera, head); no score",
            facts.licences,
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
            datasheet=f"of the recordings filmed otherwise: {facts.name}: {facts.people}; "
            f"{facts.datasheet}",
        ),
        metrics=Metrics(
            protocol=absent, rows=absent, length_adjusted=absent, by_codec=absent, by_snr=absent
        ),
        reliability=absent,
        criterion_validity=absent,
        impact=absent,
        calibration=Calibration(method=absent, level=absent, half_width=absent, coverage=absent),
        robustness=absent,
        measures=tuple(measured({})),
        stability=stability,
        abstention=absent,
        explanation=_explanation(),
        limitations=_limitations(),
        oversight=human_oversight(part="expression"),
        monitoring=_monitoring(),
        law=_law(),
    )


def measured(references: Mapping[str, tuple[float, float]], source: str = "") -> Iterator[Measured]:
    """Every measure that is shown. references, source : of the version, over the published ones"""
    for column in EXPRESSION_MEASURES:
        low, high = references.get(column.name) or column.reference or (None, None)
        stated = column.reference_source if (low, high) == column.reference else source
        yield Measured(
            name=column.name,
            unit=column.unit,
            meaning=column.meaning,
            low=low,
            high=high,
            source="none: nobody was measured" if low is None else stated,
            disturbed_by=", ".join(column.disturbed_by),
        )


def calibration(predictions: pd.DataFrame, *, level: float) -> Calibration:
    """Half width of each target, and what it covers."""
    targets = sorted(predictions["target"].unique())
    stated = Calibration(
        method="cross-validated residual quantile (close to the jackknife+), not split conformal: "
        f"the {level:.0%} quantile of |score − raters' mean, severity out|, pooled over folds in "
        "which the head never saw the person, each person counting once. These held-out scores "
        "set the width, so that everybody together is covered follows",
        level=level,
        half_width=tuple(Metric(type="half_width", target=target) for target in targets),
        coverage=tuple(Metric(type="coverage", target=target) for target in targets),
    )
    return calibrated(predictions, stated)


def learned_card(
    predictions: pd.DataFrame,
    calibration: Calibration,
    *,
    facts: Facts,
    head: str,
    protocol: str,
    references: Mapping[str, tuple[float, float]],
    references_source: str,
    left_out: Mapping[str, int],
) -> Card:
    """The complete card of a head but for what writing and registering add.

    left_out : reason -> rated recordings in which the face was not measured
    """
    targets = sorted(predictions["target"].unique())
    return Card(
        identity=_identity(f"Rated behaviour ({', '.join(targets)}), 0 to 100", facts.licences),
        intended_use=_intended_use("beside a human's judgement: how behaviour would be rated"),
        architecture=_architecture(
            "two convolutions over the masked 2.5 Hz series, pooled by mean, spread and attention, "
            f"ridge regression on top; chosen: {head}",
            f"{', '.join(targets)} in points of 100",
        ),
        data=_data(predictions, facts),
        metrics=Metrics(
            protocol=f"{protocol}. Baseline mean: the mean rating of the same folds. Ceiling: one "
            "rater against the mean of the others, severity taken out",
            rows=tuple(filled(row, predictions) for row in _rows(targets)),
            length_adjusted=tuple(
                filled(
                    Metric(
                        type="partial_pearson_seconds",
                        target=target,
                        note="log of the recording's seconds held fixed",
                    ),
                    predictions,
                )
                for target in targets
            ),
            by_codec=not_applicable(f"codecs: {facts.recordings}"),
            by_snr=not_applicable("the sound is not read"),
        ),
        reliability=tuple(
            filled(
                Metric(
                    type="one_rater_reliability",
                    target=target,
                    unit="item",
                    note="share of a single rating's variance that lies between recordings, "
                    "severity out (one-way analysis of variance, unequal numbers of raters)",
                ),
                predictions,
            )
            for target in targets
        ),
        criterion_validity=not_applicable("no rated person was hired or observed at work"),
        impact=not_applicable("nobody was selected with this version"),
        calibration=calibration,
        measures=tuple(measured(references, references_source)),
        stability=not_applicable("see the version that measures only"),
        abstention=f"{sum(left_out.values())} rated recordings are neither learned from nor "
        "judged, since the face is not measured in them"
        + "".join(f"; {code}: {n}" for code, n in sorted(left_out.items())),
        explanation=_explanation(),
        limitations=_limitations(),
        oversight=human_oversight(part="expression"),
        monitoring=_monitoring(),
        law=_law(),
    )


def _rows(targets: list[str]) -> Iterator[Metric]:
    for target in targets:
        for kind in ("pearson", "spearman", "mae", "bias"):
            yield Metric(
                type=kind,
                target=target,
                baseline={"mean": None} if kind == "mae" else {},
                note="" if kind == "mae" else "the mean rating has no correlation and no bias",
            )


def _identity(summary: str, licences: tuple[str, ...] = ()) -> Identity:
    return Identity(
        name="expression",
        summary=summary,
        date=datetime.now(UTC).date().isoformat(),
        licences=("Apache-2.0 (MediaPipe face landmarker)", *licences),
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
            Region(
                region="us-il",
                rule="BIPA (740 ILCS 14/15): a written release for scans of the face",
                effect="not run without consent; another way is offered",
            ),
        ),
    )


def _architecture(description: str, outputs: str) -> Architecture:
    file = configs.load("assets", assets.AssetsConfig).assets["face_landmarker.task"][0]
    return Architecture(
        description=description,
        inputs="2.5 frames a second, up to 15 around quick movement, scaled to 640 pixels; "
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


def _data(predictions: pd.DataFrame, facts: Facts) -> Data:
    raters = sum(column.startswith("rater_") for column in map(str, predictions))
    return Data(
        n_people=predictions["person"].nunique(),
        n_recordings=predictions["item"].nunique(),
        dates=facts.dates,
        consent_basis=f"{facts.consent_basis}. The owner of the ratings must hold separate consent "
        "for the face",
        label_source=f"{facts.label_source}; {raters} raters",
        rater_icc="see Reliability, for each target",
        demographics=not_applicable("the ratings table holds no groups"),
        split="by person: nobody is both learned from and judged",
        datasheet=facts.datasheet,
    )


def _explanation() -> Explanation:
    return Explanation(
        method="named measures with their unit, curves over time, and key frames of the largest "
        "smile, the longest look away and a nod",
        check="each measure on a photograph turned, moved, scaled, mirrored and blinked by "
        "construction (tests/data/test_face.py, test_watching.py)",
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "gaze is estimated from lids and iris to about ±10°, so the interviewer's picture and "
            "the camera are one direction; glasses and a low camera disturb it",
            "head angles move by up to 6° with the place of the face in the picture",
            "a bystander whose face is smaller than a seventh of the picture's width is not "
            "noticed beside a larger face",
            "the speed of nods and shakes needs 5 frames a second; a recording without any blink "
            "has no blink rate, since hidden lids look the same",
            "blinks need at least 9 frames a second and a head within 25° of the camera",
            "thresholds (a smile, a nod) were chosen, not learned; only blinks have a published "
            "reference range",
            "accuracy by skin tone, age and glasses has not been measured on real people; a darker "
            "skin and glasses painted on real recordings stand in the table Filmed otherwise",
            "glasses hide lids and brows from the model and draw the measured gaze toward their "
            "glint; somebody who wears them and neither speaks nor blinks can be taken for a "
            "picture, which asks for a person to look",
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
