"""The card of a speech version: its tables computed from held-out predictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd

import configs
from data import assets
from data.corpora.speechocean762 import ASPECTS, EXPERTS
from evaluation import agreement, reliability
from evaluation.card import (
    Abstention,
    Architecture,
    BaseModelUsed,
    Calibration,
    Card,
    Change,
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

SLICES: tuple[dict[str, str], ...] = (
    {},
    {"age_group": "adult"},
    {"age_group": "child"},
    {"gender": "f"},
    {"gender": "m"},
)
"""Everybody, then the groups of speakers that the corpus names."""

REPEATS = 400
"""Bootstrap draws over speakers: an end of a 95 % interval moves by less than .002."""

EXPERT_COLUMNS = [f"expert_{i}" for i in EXPERTS]


def card(
    predictions: pd.DataFrame, *, head: str, widths: dict[str, float], unheard: int, protocol: str
) -> Card:
    """The complete card but for what publishing knows (version, sha256, run, commit)."""
    today = datetime.now(UTC).date().isoformat()
    one_target = predictions[predictions["target"] == ASPECTS[0]]
    return Card(
        identity=Identity(
            name="speech",
            summary="Fluency, prosody, pronunciation accuracy and total of read English, 0 to 100",
            date=today,
            change_since_last="first version",
            licences=("MIT (Whisper weights)", "CC BY 4.0 (speechocean762)"),
        ),
        intended_use=_intended_use(),
        architecture=_architecture(head),
        data=_data(one_target),
        metrics=Metrics(
            protocol=protocol,
            rows=tuple(_agreement_rows(predictions)),
            length_adjusted=tuple(_length_adjusted(predictions)),
            by_codec=not_applicable("every recording of the corpus has one codec (Opus 24 kbit/s)"),
            by_snr=not_applicable("the corpus was recorded in quiet rooms; noise was not varied"),
        ),
        reliability=tuple(_reliability(predictions)),
        criterion_validity=not_applicable(
            "no speaker of this corpus was hired or observed at work"
        ),
        impact=not_applicable("nobody was selected with this version; groups are compared above"),
        calibration=Calibration(
            method="split conformal on held-out speakers: |score − experts' median|, 90 %",
            half_width=widths,
            coverage=tuple(_coverage(predictions, widths)),
        ),
        abstention=_abstention(one_target, unheard),
        explanation=Explanation(
            method="named measures of delivery beside the range of adults in the corpus; the head "
            "reads the encoder's statistics, so a measure is context and not a cause",
            check="measures are checked on signals of known answer (tests/data/test_speech.py)",
        ),
        limitations=_limitations(),
        oversight=human_oversight(part="speech"),
        monitoring=_monitoring(),
        change_log=(Change(date=today, change="first version"),),
        law=_law(),
    )


def _agreement_rows(predictions: pd.DataFrame) -> Iterator[Metric]:
    for target in ASPECTS:
        for wanted in SLICES:
            rows = _chosen(predictions, target, wanted)
            yield _metric(rows, target, wanted, "pearson")
        for metric in ("spearman", "mae", "qwk"):
            yield _metric(_chosen(predictions, target, {}), target, {}, metric)


def _metric(rows: pd.DataFrame, target: str, wanted: dict[str, str], name: str) -> Metric:
    functions = {
        "pearson": agreement.pearson,
        "spearman": agreement.spearman,
        "mae": agreement.mae,
        "qwk": lambda r, s: agreement.qwk(r / 10, s / 10, low=0, high=10),
    }
    by = rows["person"].to_numpy()
    estimate = agreement.interval(
        functions[name], rows["rating"], rows["score"], by=by, repeats=REPEATS
    )
    ceiling = baseline = None
    if name == "pearson":
        ceiling = agreement.human_ceiling(rows[EXPERT_COLUMNS].to_numpy(), by=by).value
        baseline = agreement.pearson(rows["rating"], np.log(rows["words"].to_numpy(float)))
    if name == "mae":
        baseline = agreement.mae(rows["rating"], np.full(len(rows), rows["rating"].mean()))
    return Metric(
        type=name,
        target=target,
        slice=wanted,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=rows["person"].nunique(),
        baseline=baseline,
        baseline_name={"pearson": "log of the number of words", "mae": "mean rating"}.get(name, ""),
        human_ceiling=ceiling,
        note="ceiling: one expert against the mean of the others"
        if name == "pearson"
        else "no baseline or ceiling on this scale; see pearson",
    )


def _length_adjusted(predictions: pd.DataFrame) -> Iterator[Metric]:
    for target in ASPECTS:
        rows = _chosen(predictions, target, {})
        estimate = agreement.interval(
            agreement.partial_pearson,
            rows["rating"],
            rows["score"],
            np.log(rows["words"].to_numpy(float)),
            by=rows["person"].to_numpy(),
            repeats=REPEATS,
        )
        yield Metric(
            type="partial_pearson",
            target=target,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=rows["person"].nunique(),
            note="log of the number of words held fixed",
        )


def _reliability(predictions: pd.DataFrame) -> Iterator[Metric]:
    for target in ASPECTS:
        found = reliability.icc(_chosen(predictions, target, {})[EXPERT_COLUMNS])
        for name, form, estimate in (
            ("icc_2_1", "one expert", found.single),
            ("icc_2_k", f"mean of {found.raters}", found.average),
        ):
            yield Metric(
                type=name,
                target=target,
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                n=estimate.n,
                note=f"the experts themselves, {form}; n utterances rated by all of them",
            )


def _coverage(predictions: pd.DataFrame, widths: dict[str, float]) -> Iterator[Metric]:
    for target in ASPECTS:
        for wanted in SLICES:
            rows = _chosen(predictions, target, wanted)
            inside = (rows["rating"] - rows["score"]).abs() <= widths[target]
            yield Metric(
                type="coverage",
                target=target,
                slice=wanted,
                value=float(inside.mean()),
                n=rows["person"].nunique(),
                note=f"share within ± {widths[target]:.1f} points; the same held-out scores set "
                "the width, so the row for everybody is 90 % by construction",
            )


def _abstention(one_target: pd.DataFrame, unheard: int) -> tuple[Abstention, ...]:
    n = len(one_target) + unheard
    return (
        Abstention(
            column="all", group="everybody", n=n, abstained=unheard, share=unheard / n if n else 0
        ),
    )


def _chosen(predictions: pd.DataFrame, target: str, wanted: dict[str, str]) -> pd.DataFrame:
    keep = predictions["target"] == target
    for column, value in wanted.items():
        keep &= predictions[column] == value
    return predictions[keep]


def _intended_use() -> IntendedUse:
    return IntendedUse(
        uses=(
            "beside a human's judgement: how fluently an English answer was delivered",
            "research on delivery in interviews",
        ),
        users=("recruiters with training in what the score means", "auditors", "candidates"),
        languages=("en",),
        out_of_scope=(
            "deciding alone whether anyone is invited, hired or refused",
            "Mandarin or any other language: no rated corpus was used, validity is unknown",
            "children, who are half of the corpus but never candidates",
            "people whose speech is affected by a disability: offer the no_speech accommodation",
        ),
        regions="scores are provisional everywhere, since interviews are not read-aloud sentences",
        off_in=(
            Region(
                region="any",
                rule="language gate",
                effect="an answer in another language gets no speech score",
            ),
        ),
    )


def _architecture(head: str) -> Architecture:
    config = configs.load("assets", assets.AssetsConfig)
    model = next(file for file in config.assets["whisper-base"] if file.name == "model.bin")
    return Architecture(
        description="over each stretch (a sentence, at most 10 s): mean, deviation, change and "
        "percentiles of the Whisper base encoder's output, reduced to principal components, and "
        f"seven measures; Gaussian process mean with a narrow and a wide kernel; chosen: {head}",
        inputs="16 kHz mono speech, level-normalised; FeatureSet speech",
        outputs="fluency, prosody, accuracy, total in points of 100, mean over stretches",
        base_models=(
            BaseModelUsed(
                name="Whisper base, CTranslate2, int8",
                licence="MIT",
                use="frozen encoder",
                sha256=model.sha256,
            ),
        ),
    )


def _data(one_target: pd.DataFrame) -> Data:
    people = one_target.drop_duplicates("person")
    counts = [
        GroupCount(column=column, group=str(group), n=int(n))
        for column in ("age_group", "gender")
        for group, n in people[column].value_counts().items()
    ]
    single = reliability.icc(one_target[EXPERT_COLUMNS]).single
    return Data(
        n_people=len(people),
        n_recordings=len(one_target),
        dates="published 2021; recording dates are not published",
        consent_basis="public research corpus, CC BY 4.0; consent was collected by its authors",
        label_source="five experts a recording, 0 to 10, independently",
        rater_icc=round(single.value, 3),
        demographics=tuple(counts),
        split="by speaker: nobody is both learned from and judged",
        datasheet="Zhang et al., Interspeech 2021; Mandarin speakers reading English aloud",
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "learned from sentences read aloud; spontaneous answers pause to think, and whether "
            "the score treats that fairly is not known",
            "validity in Mandarin is unknown",
            "an interval covers one utterance's expert median, not a whole interview",
            "each sentence is scored by itself; pauses between sentences show in the measures, "
            "not in the score; where sentences end is recognised, not known",
        ),
        trade_offs=("Whisper base at int8 rather than a larger encoder: 2 cores, 8 s for 40 s",),
        risks=("an accent may be taken for a lack of fluency; compare the groups' tables",),
    )


def _monitoring() -> Monitoring:
    return Monitoring(
        thresholds=(
            "mean score of a month moves by more than half its standard deviation",
            "more than 10 % of answers abstain",
            "gap between groups' mean scores grows by more than 3 points",
        ),
        retrain_trigger="two thresholds in one quarter, or ratings of 200 interview answers",
    )


def _law() -> Law:
    return Law(
        annex_iv=annex_iv_map(
            risk_management="no risk management file yet; Limitations and risks lists the risks",
            conformity="none: this version is not placed on the EU market",
        ),
        pipia=pipia_map(
            purpose="helps a recruiter hear how an answer was delivered; an answer in writing or a "
            "human interview is the alternative",
            impact="a wrong score may hide a good candidate; a voice identifies a person",
            protection="human decision, interval, abstention, encryption at rest, deletion",
        ),
        ll144=ll144_summary(audit="none yet; this version has not been used on candidates"),
    )
