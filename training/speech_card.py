"""The card of a speech version: its tables computed from held-out predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pandas as pd

import configs
from data import assets
from evaluation.card import (
    Abstention,
    Architecture,
    BaseModelUsed,
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
    Robustness,
    annex_iv_map,
    human_oversight,
    ll144_summary,
    not_applicable,
    pipia_map,
)
from evaluation.rows import SCORE_BAND, calibrated, filled
from training.facts import Facts

ADULTS = {"age_group": "adult"}
SLICES: tuple[dict[str, str], ...] = (
    {},
    ADULTS,
    {"age_group": "child"},
    {"gender": "f"},
    {"gender": "m"},
)
"""Everybody, then the groups of speakers that the corpus names."""

BANDS = ("low", "middle", "high")
"""Thirds of adults' held-out scores of one target."""

LENGTH = "length"
"""Baseline: a line on the log of the number of words, fitted on the same folds."""


def calibration(predictions: pd.DataFrame, *, level: float) -> Calibration:
    """Half widths of adults, who alone are candidates, and what they cover."""
    by_score = tuple({**ADULTS, SCORE_BAND: band} for band in BANDS)
    aspects = _aspects(predictions)
    stated = Calibration(
        method=f"conformal by speaker: the {level:.0%} quantile of |score − experts' median| of "
        "adults in each third of their scores (low scores err more; of all where a third has too "
        "few people), pooled over folds in which the head never saw the speaker, each speaker "
        "counting once, on sentences by themselves; rows `coverage_in_answer` are of the same said "
        "between others. Coverage is judged one adult at a time, by the width that the other "
        "adults set; children set none. Where the signal is poor an interval is wider: see Worse "
        "recordings",
        level=level,
        half_width=tuple(
            Metric(type="half_width", target=target, slice=wanted)
            for target in aspects
            for wanted in (ADULTS, *by_score)
        ),
        coverage=tuple(
            Metric(type=kind, target=target, slice=wanted)
            for target in aspects
            for kind, wanted in (
                *(("coverage", wanted) for wanted in (*SLICES, *by_score)),
                *(("coverage_in_answer", wanted) for wanted in ({}, ADULTS)),
            )
        ),
    )
    return calibrated(predictions, stated)


def card(
    predictions: pd.DataFrame,
    calibration: Calibration,
    robustness: tuple[Robustness, ...],
    several_voices: tuple[Abstention, ...],
    *,
    facts: Facts,
    head: str,
    encoder: str,
    protocol: str,
) -> Card:
    """The complete card but for what writing and registering add."""
    aspects = _aspects(predictions)
    one_target = predictions[predictions["target"] == aspects[0]]
    return Card(
        identity=Identity(
            name="speech",
            summary=f"{', '.join(aspects).capitalize()} of speech, 0 to 100; from {facts.name}",
            date=datetime.now(UTC).date().isoformat(),
            licences=(
                "MIT (Whisper weights, SwiftF0, Silero VAD)",
                *facts.licences,
            ),
        ),
        intended_use=_intended_use(facts),
        architecture=_architecture(head, encoder, aspects),
        data=_data(one_target, facts),
        metrics=Metrics(
            protocol=f"{protocol}. Baseline length: a line on the log of the number of words, "
            "fitted on the same folds. Ceiling: one expert against the mean of the others",
            rows=tuple(filled(row, predictions) for row in _rows(aspects, encoder)),
            length_adjusted=tuple(
                filled(
                    Metric(
                        type="partial_pearson",
                        target=target,
                        note="log of the number of words held fixed",
                    ),
                    predictions,
                )
                for target in aspects
            ),
            by_codec=not_applicable(f"the recordings have {facts.recordings}"),
            by_snr=not_applicable(f"the recordings have {facts.recordings}"),
        ),
        reliability=tuple(filled(row, predictions) for row in _reliability(aspects)),
        criterion_validity=not_applicable(
            "no speaker of this corpus was hired or observed at work"
        ),
        impact=not_applicable("nobody was selected with this version; groups are compared above"),
        calibration=calibration,
        robustness=robustness,
        abstention=(*_abstention(one_target), *several_voices),
        explanation=Explanation(
            method="named measures of delivery beside the range of adults in the corpus; the head "
            "reads the encoder's statistics, so a measure is context and not a cause",
            check="measures are checked on signals of known answer (tests/data/test_speech.py)",
        ),
        limitations=_limitations(),
        oversight=human_oversight(part="speech"),
        monitoring=_monitoring(),
        law=_law(),
    )


def _aspects(predictions: pd.DataFrame) -> list[str]:
    return list(predictions["target"].unique())


def _untuned(encoder: str) -> str:
    return "; without the tuned encoder" if encoder else ""


def _rows(aspects: Iterable[str], encoder: str) -> Iterator[Metric]:
    for target in aspects:
        for wanted in SLICES:
            for kind in ("pearson", "bias"):
                yield _metric(kind, target, wanted)
        for kind in ("spearman", "mae", "qwk"):
            yield _metric(kind, target, {})
        for kind in ("pearson_in_answer", "bias_in_answer"):
            note = "of the sentence between others of the same person, as in an answer"
            yield Metric(type=kind, target=target, note=f"{note}{_untuned(encoder)}")


def _metric(kind: str, target: str, wanted: dict[str, str]) -> Metric:
    note = "mean of score − rating, in points of 100" if kind == "bias" else ""
    return Metric(type=kind, target=target, slice=wanted, baseline={LENGTH: None}, note=note)


def _reliability(aspects: Iterable[str]) -> Iterator[Metric]:
    for target in aspects:
        for kind, form in (("icc_2_1", "one expert"), ("icc_2_k", "the mean of all")):
            yield Metric(
                type=kind,
                target=target,
                unit="item",
                note=f"the experts themselves, {form}; utterances all of them rated; F interval",
            )
        yield Metric(
            type="pearson_of_two_raters",
            target=target,
            note="one expert against another, mean of all pairs",
        )


def _abstention(one_target: pd.DataFrame) -> Iterator[Abstention]:
    for column, group in [("all", "everybody"), *(pair for s in SLICES for pair in s.items())]:
        rows = one_target if column == "all" else one_target[one_target[column] == group]
        n, abstained = len(rows), int(rows["score"].isna().sum())
        share = abstained / n if n else 0
        yield Abstention(column=column, group=group, n=n, abstained=abstained, share=share)


def _intended_use(facts: Facts) -> IntendedUse:
    spoken = " or ".join(facts.languages) or "no validated language"
    return IntendedUse(
        uses=(
            f"beside a human's judgement: how an answer in {spoken} was delivered",
            "research on delivery in interviews",
        ),
        users=("recruiters with training in what the score means", "auditors", "candidates"),
        languages=facts.languages or ("none: no language was validated",),
        out_of_scope=(
            "deciding alone whether anyone is invited, hired or refused",
            f"any language but {spoken}: no rated corpus was used, validity is unknown",
            "children: they may be in a corpus and are never candidates",
            "people whose speech is affected by a disability: offer the no_speech accommodation",
        ),
        regions="scores of what is no validated setting "
        f"({', '.join(facts.settings) or 'none is'}) are provisional everywhere",
        off_in=(
            Region(
                region="any",
                rule="language gate",
                effect="an answer in another language gets no speech score",
            ),
            Region(
                region="any",
                rule="sound gates",
                effect="no speech score for a whisper, sound unlike speech, or several voices",
            ),
        ),
    )


def _tuned(encoder: str) -> str:
    return f"; averaged with {encoder}, tuned whole to the ratings" if encoder else ""


def _architecture(head: str, encoder: str, aspects: Iterable[str]) -> Architecture:
    config = configs.load("assets", assets.AssetsConfig)
    model = next(file for file in config.assets["whisper-base"] if file.name == "model.bin")
    return Architecture(
        description="over each stretch (a sentence, at most 10 s): principal components of mean, "
        "deviation and change of five layers of Whisper base's encoder, seven measures and 24 of "
        "how clearly the words were heard (of words, and of tokens by its decoder), and whether "
        "other sentences stand beside; learned from "
        "each utterance alone, between others of its speaker and recorded worse; Gaussian process "
        "mean with a narrow and a wide kernel, "
        f"noise in proportion to the experts' disagreement; chosen: {head}{_tuned(encoder)}",
        inputs="16 kHz mono speech, level-normalised; FeatureSet speech",
        outputs=f"{', '.join(aspects)} in points of 100, mean over stretches",
        base_models=(
            BaseModelUsed(
                name="Whisper base, CTranslate2, int8",
                licence="MIT",
                use="frozen; its encoder, the words, and how sure its decoder is of them",
                sha256=model.sha256,
            ),
            BaseModelUsed(
                name="Silero VAD v6 (in faster-whisper 1.2.1)",
                licence="MIT",
                use="frozen; where someone speaks",
                sha256="4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
            ),
            BaseModelUsed(
                name="SwiftF0 (swift-f0 0.3.0)",
                licence="MIT",
                use="frozen; pitch of voiced frames",
                sha256="6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22",
            ),
        ),
    )


def _data(one_target: pd.DataFrame, facts: Facts) -> Data:
    people = one_target.drop_duplicates("person")
    counts = [
        GroupCount(column=column, group=str(group), n=int(n))
        for column in ("age_group", "gender")
        for group, n in people[column].value_counts().items()
    ]
    return Data(
        n_people=len(people),
        n_recordings=len(one_target),
        dates=facts.dates,
        consent_basis=facts.consent_basis,
        label_source=facts.label_source,
        rater_icc="see Reliability, for each target",
        demographics=tuple(counts),
        split="by speaker: nobody is both learned from and judged",
        datasheet=facts.datasheet,
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "learned from sentences read aloud; spontaneous answers pause to think, and whether "
            "the score treats that fairly is not known",
            "validity in Mandarin is unknown",
            "an interval covers one utterance's expert median, not a whole interview",
            "several voices are told apart where each was recorded by itself, which differ more "
            "than two people beside one microphone (rows `voices` of Abstention); a voice that "
            "talks over another widens the interval at most",
            "music and singing were tried as synthetic sounds only",
            "what is served in an answer is the mean of its sentences; no answer was rated whole",
            "babble is made of people of the corpus, who are learned from or judged elsewhere; "
            "worse recordings are of kinds that were learned from, of other people",
            "echo is not measured, so a room widens no interval (row `room` of Worse recordings)",
            "each sentence is scored by itself; pauses between sentences show in the measures, "
            "not in the score; where sentences end is recognised, not known",
        ),
        trade_offs=("Whisper base at int8 rather than a larger encoder, for speed on 2 cores",),
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
