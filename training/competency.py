"""How well an answer says what its references say, and the competency's level it shows.

The quality, in points of 100, is learned from human scores: of Chinese course exams
(`ads.csv`, `le.csv`), and of interview answers that people rated (`answers.csv`, rater
severity taken out) where the folder has them. Its head is the mean of a Gaussian process
whose kernel is a sum: one part compares answers by how they relate to their references,
which holds for any question; the other remembers answers to a known question and fades to
nothing for a question it never saw, which is left to the first part fitted by itself.
Serving asks only unseen questions, so agreement by unseen question chooses the head and
sets its interval. The level is learned from the rubric's examples and those rated answers
(training/competency_levels.py).
Source: additive Gaussian processes, Duvenaud et al. 2011; corpus, Lai et al. 2024.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from pydantic import Field

from data import embedding, language
from data.contract import ENCODER, LANGUAGE, Manifest, Record
from data.corpora import rated_answers, rubric_examples, zh_short_answer
from data.head import HeadGraph
from data.outcomes import BadTable
from data.registry import read_manifest
from data.splits import folds
from evaluation import agreement
from evaluation.reliability import icc, rater_severity
from evaluation.rows import PLACES, Intervals
from training import fit
from training.competency_card import (
    COMPETENCY,
    CONTRAST,
    INTERVIEWS,
    KNOWN,
    LEVEL,
    PERSON,
    RUBRIC,
    TARGET,
    UNSEEN,
    baselines,
    calibration,
    card,
    level_baselines,
)
from training.competency_head import KERNEL, Distances, Head, cross_fitted, fit_head, onnx_head
from training.competency_levels import LevelModel, fit_levels, length_effect, level_inputs
from training.facts import facts
from training.publish import Built, Judged

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Range = tuple[float, float]


class EncoderRecipe(Record):
    """`encoder` of configs/competency.yaml: how one is exported and tuned."""

    max_tokens: int = Field(ge=8, description="of a text; what is longer is cut")
    epochs: int = Field(ge=1)
    batch: int = Field(ge=2, description="answers to one question a step")
    rate: float = Field(gt=0, description="learning rate")
    sharpness: float = Field(gt=0, description="of the order of cosines; 20 in CoSENT")
    seed: int


class CompetencyRecipe(Record):
    """configs/competency.yaml. A pair is a search bound, low and high."""

    outer_folds: int = Field(ge=2, description="folds the report is made on")
    inner_folds: int = Field(ge=2, description="folds of the rest that choose the head")
    trials: int = Field(ge=1)
    seed: int
    coverage: float = Field(gt=0, lt=1)
    unseen_weight: float = Field(ge=0, le=1, description="share of unseen questions in the choice")
    comparison_reach: Range = Field(description="inverse squared length over all comparisons")
    verdict_weight: Range = Field(description="of the verdict among the comparisons")
    cosine_weight: Range = Field(description="of the whole-text cosines")
    clause_weight: Range = Field(description="of the clause matches")
    new_weight: Range = Field(description="of the overlap beyond the question's words")
    size_weight: Range = Field(description="of lengths and their ratios")
    memory: Range = Field(description="variance of remembered answers; comparisons have 1")
    answer_reach: Range = Field(description="inverse squared length, answer embedding")
    question_reach: Range = Field(description="inverse squared length, question embedding")
    level: Range = Field(description="variance of a question's mean")
    noise: Range = Field(description="variance of a rating")
    unseen_noise: Range = Field(description="the same for the comparisons fitted by themselves")
    level_penalty: float = Field(gt=0, description="ridge on the weights of the levels")
    level_most: float = Field(gt=0, description="standardised weight of one measure at most")
    topic_penalty: float = Field(gt=0, description="ridge on what tells an answer off the topic")
    padding: dict[str, tuple[str, ...]] = Field(
        description="language -> sentences that add nothing; examples with them keep their level"
    )
    encoder: EncoderRecipe


@dataclass(frozen=True)
class Examples:
    """Rated answers in one order. features : (answers, LANGUAGE width)"""

    table: pd.DataFrame
    features: npt.NDArray[np.float32]

    @property
    def rating(self) -> Floats:
        """(answers,) in points of 100."""
        return self.table["rating"].to_numpy(float)

    def groups(self, split: str) -> npt.NDArray[np.str_]:
        """(answers,) what may not be in two folds: the question, or who wrote it.

        Of an exam nobody recorded the writer; identical answers stand for one.
        """
        column = "question_id" if split == UNSEEN else "person"
        return self.table[column].to_numpy(dtype=str)


def examples(folder: Path, store: Path) -> Examples:
    """The rated answers of a folder with their features, computed once for one content.

    Raises BadTable or FileNotFoundError where the folder has neither exams nor rated answers,
    or where the sentence encoder was tuned on some of their questions.
    """
    return _read(rated_table(folder), store)


def rated_table(folder: Path) -> pd.DataFrame:
    """One row an answer: corpus, person, question_id, question, references, anchors, answer,
    rating, level (NaN of exams), competency, language, writing, item.
    """
    exams = [folder / f"{corpus}.csv" for corpus in zh_short_answer.SCALES]
    interviews = (folder / rated_answers.FILE).is_file()
    found = [interview_answers(folder)] if interviews else []
    if not interviews or any(path.is_file() for path in exams):
        exam = zh_short_answer.read(folder)
        none = pd.Series([()] * len(exam), index=exam.index)
        exam = exam.assign(person=exam["writing"], anchors=none, level=np.nan)
        found.append(exam.assign(language="zh", competency=""))
    return pd.concat(found, ignore_index=True)


def interview_answers(folder: Path) -> pd.DataFrame:
    """One row a rated interview answer; raters' mean after each one's severity is taken out.

    Raises BadTable, or UndefinedMetric where raters share no answer.
    """
    rows = rated_answers.read(folder)
    wide = rows.pivot(index="item", columns="rater", values="level")
    adjusted = wide + rater_severity(wide.to_numpy(float))
    level = adjusted.mean(axis=1).clip(1, 5)
    one = rows.drop_duplicates("item").set_index("item").loc[wide.index].reset_index()
    points = (level.to_numpy() - 1) * 25
    return one.drop(columns="rater").assign(
        made="", corpus=INTERVIEWS, level=level.to_numpy(), rating=points
    )


def rubric(config: CompetencyRecipe, store: Path) -> Examples:
    """The rubric's own examples of the levels and their contrasts, with their features."""
    own = rubric_examples.read().assign(corpus=RUBRIC, made="")
    against = rubric_examples.contrasts(config.padding).assign(corpus=CONTRAST)
    return _read(pd.concat([own, against], ignore_index=True), store)


def _read(table: pd.DataFrame, store: Path) -> Examples:
    _refuse_tuned(table)
    shown = table[["question", "references", "anchors", "answer"]].values.tolist()
    content = json.dumps([LANGUAGE.id, shown])
    path = store / "features" / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part.npy")
        np.save(scratch, _extract(table))
        scratch.replace(path)
    return Examples(table, np.load(path))


def _refuse_tuned(table: pd.DataFrame) -> None:
    """Raises BadTable where agreement would be judged on what the encoder was tuned on."""
    if not ENCODER.folder:
        return
    tuned = set(embedding.about(Path(ENCODER.folder).expanduser()).tuned_on)
    digests = {embedding.question_digest(question) for question in table["question"]}
    if shared := tuned & digests:
        raise BadTable(
            f"the sentence encoder {ENCODER.name} was tuned on answers to {len(shared)} of these "
            "questions; their agreement would be overstated. Tune it on other questions."
        )


def _extract(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    features = np.zeros((len(table), len(LANGUAGE.columns)), np.float32)
    with fit.progress("language features", table["question_id"].nunique()) as done:
        for _, asked in table.groupby("question_id"):
            for _, rows in asked.groupby(["question", "references"]):
                question, references, anchors = rows[["question", "references", "anchors"]].iloc[0]
                features[rows.index] = language.extract_all(
                    list(rows["answer"]), question, references, anchors
                )
            done()
    return features


def run(config: CompetencyRecipe, data: Path, store: Path) -> Built:
    """The competency version learned from the folder `data`, ready to publish."""
    rated, described = examples(data, store), rubric(config, store)
    everyone = np.arange(len(rated.table))
    unseen, known = (held_out(config, rated, split, store) for split in (UNSEEN, KNOWN))
    chosen = choose(config, rated, everyone, store)
    fitted = fit_head(chosen, rated.features, rated.rating)
    levelled = Levelled.of(rated, unseen["score"].to_numpy(float), described, fitted.points)
    predictions = pd.concat([unseen, known, *levelled.held_out(config)], ignore_index=True).round(
        PLACES
    )
    head = onnx_head(fitted, levelled.model(config, np.arange(len(levelled.levels))))
    calibrated = calibration(predictions, level=config.coverage)
    stated = facts(data)
    served = Intervals.of(calibrated)
    manifest = Manifest(
        name="competency",
        feature_set=LANGUAGE.id,
        artifact="head.onnx",
        sha256=hashlib.sha256(head).hexdigest(),
        targets=tuple(served.target(name, predictions) for name in (TARGET, LEVEL)),
        validated_languages=stated.languages,
        validated_settings=stated.settings,
        provisional_reason=provisional(set(rated.table["corpus"])),
        references={},  # an exam's lengths say nothing about an interview's
        learned_from=stated.learned_from,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Built(
        manifest=manifest,
        files={"head.onnx": head},
        card=card(predictions, calibrated, facts=stated, head=str(chosen), icc=_rater_icc(data)),
        predictions=predictions,
        metrics=_headline(predictions),
    )


def provisional(corpora: set[str]) -> dict[str, str]:
    """Why a score outside what the data validate is provisional, by language."""
    exams = {
        "zh": "等级学自评分标准作者自己写的示例回答，与参考答案的吻合程度学自中文课程考试；"
        "二者都未在面试回答上验证。须由人复核。",
        "en": "The level was learned from example answers that the rubric's author wrote, the "
        "agreement with reference answers from Chinese course exams; neither was validated on "
        "interviews. A person must review it.",
    }
    interviews = {
        "zh": "该模型学自贵行评分员评过分的面试回答，"
        "但数据的拥有者没有声明它在此语言和场合下已经验证。须由人复核。",
        "en": "Learned from interview answers that people rated, but the owner of the data does "
        "not state that it is validated in this language and setting. A person must review it.",
    }
    return interviews if INTERVIEWS in corpora else exams


def _rater_icc(data: Path) -> str:
    if not (data / rated_answers.FILE).is_file():
        return "not known: one score an answer"
    rows = rated_answers.read(data)
    wide = rows.pivot(index="item", columns="rater", values="level").dropna()
    if wide.shape[1] < 2 or len(wide) < 2:
        return "not known: fewer than two answers rated by every rater"
    found = icc(wide.to_numpy(float)).single
    return (
        f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}), {len(wide)} answers rated by all"
    )


@dataclass(frozen=True)
class Levelled:
    """Answers whose level is known: the rubric's examples, their contrasts, rated answers.

    inputs : of `level_inputs`; the quality is of a head that never learned from the answer
    """

    table: pd.DataFrame
    inputs: Floats
    length_effect: float
    log_units: Floats
    cosine: Floats

    @classmethod
    def of(
        cls,
        rated: Examples,
        unseen: Floats,
        described: Examples,
        quality: Callable[[npt.NDArray[np.float32]], Floats],
    ) -> Levelled:
        """unseen : (answers,) quality by a head that never saw the question"""
        own = np.flatnonzero(rated.table["corpus"] == INTERVIEWS)
        rubric_table = described.table.assign(person=described.table["writing"])
        table = pd.concat([rubric_table, rated.table.iloc[own]], ignore_index=True)
        features = np.concatenate([described.features, rated.features[own]])
        known = np.concatenate([quality(described.features), unseen[own]])
        columns = [LANGUAGE.names.index(name) for name in ("log_units", "reference_cosine")]
        log_units, cosine = features[:, columns].astype(float).T
        own, padded = (np.flatnonzero(table["made"] == made) for made in ("", "padded"))
        own = own[: len(padded)]  # the rubric's examples come first, in the order they are padded
        effect = length_effect(known[own], known[padded], log_units[own], log_units[padded])
        return cls(table, level_inputs(features, known, effect), effect, log_units, cosine)

    @property
    def on_topic(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the words answer the question they stand under."""
        return np.asarray(self.table["made"] != "elsewhere")

    @property
    def levels(self) -> npt.NDArray[np.int_]:
        """(n,) 1 to 5; means of several raters are rounded, a half upwards."""
        return np.floor(self.table["level"].to_numpy(float) + 0.5).astype(int)

    def model(self, config: CompetencyRecipe, rows: Rows) -> LevelModel:
        """Fitted on these rows."""
        return fit_levels(
            self.inputs[rows],
            self.levels[rows],
            self.on_topic[rows],
            penalty=config.level_penalty,
            most=config.level_most,
            topic_penalty=config.topic_penalty,
            length_effect=self.length_effect,
        )

    def held_out(self, config: CompetencyRecipe) -> Iterator[pd.DataFrame]:
        """Predictions of the rubric's examples by unseen competency; of answers by person."""
        corpus = self.table["corpus"].to_numpy()
        shown = np.flatnonzero(corpus == RUBRIC)
        competency, words = (self.table[name].to_numpy() for name in ("competency", "words_of"))
        yield self._predicted(
            config,
            COMPETENCY,
            [
                (
                    np.flatnonzero((competency != name) & (words != name)),
                    shown[competency[shown] == name],
                )
                for name in sorted(set(competency[shown]))
            ],
        )
        own, authored = (
            np.flatnonzero(found) for found in (corpus == INTERVIEWS, corpus != INTERVIEWS)
        )
        people = self.table["person"].to_numpy(dtype=str)[own]
        if len(set(people)) >= config.outer_folds:
            dealt = folds(people, n=config.outer_folds, seed=config.seed)
            yield self._predicted(
                config,
                PERSON,
                [(np.concatenate([authored, own[train]]), own[test]) for train, test in dealt],
            )

    def _predicted(
        self, config: CompetencyRecipe, split: str, scheme: list[tuple[Rows, Rows]]
    ) -> pd.DataFrame:
        rows = []
        for train, test in scheme:
            found = self.table.iloc[test][["writing", "person", "question_id", "competency"]]
            others = level_baselines(
                self.rating, {"length": self.log_units, "cosine": self.cosine}, train, test
            )
            rows.append(
                found.rename(columns={"question_id": "question"}).assign(
                    item=self.table["item"].iloc[test] + "-" + split,
                    target=LEVEL,
                    rating=self.rating[test],
                    score=self.model(config, train).points(self.inputs[test]),
                    split=split,
                    corpus=self.table["corpus"].iloc[test],
                    language=self.table["language"].iloc[test],
                    words=np.rint(np.expm1(self.log_units[test])).astype(int),
                    **{f"baseline_{name}": values for name, values in others.items()},
                )
            )
        return pd.concat(rows)

    @property
    def rating(self) -> Floats:
        """(n,) the level in points of 100."""
        return self.table["rating"].to_numpy(float)


def held_out(config: CompetencyRecipe, rated: Examples, split: str, store: Path) -> pd.DataFrame:
    """One row an answer with the score of a head that, like its choice, never saw its group.

    Of an exam the person stands for the writing: nobody recorded who wrote it. Baseline
    columns are fitted on the same folds.
    """
    scores = np.full(len(rated.table), np.nan)
    others = pd.DataFrame(index=rated.table.index)
    everyone = np.arange(len(rated.table))
    for train, test in dealt(rated, everyone, split, n=config.outer_folds, seed=config.seed):
        chosen = choose(config, rated, train, store)
        fitted = fit_head(chosen, rated.features[train], rated.rating[train])
        scores[test] = np.clip(fitted.points(rated.features[test]), 0, 100)
        for name, found in baselines(rated.table, rated.features, train, test).items():
            others.loc[test, f"baseline_{name}"] = found
    units = np.rint(rated.features[:, LANGUAGE.names.index("units")]).astype(int)
    table = pd.DataFrame(
        {
            "person": rated.table["person"],
            "writing": rated.table["writing"],
            "item": rated.table["item"] + "-" + split,
            "target": TARGET,
            "rating": rated.rating,
            "score": scores,
            "split": split,
            "corpus": rated.table["corpus"],
            "competency": rated.table["competency"],
            "language": rated.table["language"],
            "question": rated.table["question_id"],
            "words": units,
        }
    )
    return pd.concat([table, others], axis=1)


def dealt(
    rated: Examples, rows: Rows, split: str, *, n: int, seed: int
) -> Iterator[tuple[Rows, Rows]]:
    """n times the places in `rows` to fit on and to judge on; no group is in both.

    Each corpus is dealt by itself, so that every fold has its share of both.
    """
    corpus, groups = rated.table["corpus"].to_numpy()[rows], rated.groups(split)[rows]
    places = [np.flatnonzero(corpus == name) for name in sorted(set(corpus))]
    hands = [list(folds(groups[place], n=n, seed=seed)) for place in places]
    for deal in zip(*hands, strict=True):
        fitted = [place[fit] for place, (fit, _) in zip(places, deal, strict=True)]
        judged = [place[test] for place, (_, test) in zip(places, deal, strict=True)]
        yield np.sort(np.concatenate(fitted)), np.sort(np.concatenate(judged))


def choose(config: CompetencyRecipe, rated: Examples, train: Rows, store: Path) -> Head:
    """The head that agrees best on folds of `train`, unseen questions counting most."""
    features, rating = rated.features[train], rated.rating[train]
    corpus = rated.table["corpus"].to_numpy()[train]
    space = _space(config)
    schemes = {
        split: list(dealt(rated, train, split, n=config.inner_folds, seed=config.seed))
        for split in (UNSEEN, KNOWN)
    }
    distances = Distances.of(features)

    def objective(trial: optuna.Trial) -> float:
        head = Head(**{k: trial.suggest_float(k, *bound, log=True) for k, bound in space.items()})
        agreed = {}
        for split, scheme in schemes.items():
            scores = cross_fitted(distances, head, rating, scheme)
            agreed[split] = np.mean(
                [agreement.pearson(rating[corpus == c], scores[corpus == c]) for c in set(corpus)]
            )
        share = config.unseen_weight
        return float(share * agreed[UNSEEN] + (1 - share) * agreed[KNOWN])

    plan = [config.model_dump(), KERNEL, LANGUAGE.id]
    groups = [rated.groups(split)[train] for split in (UNSEEN, KNOWN)]
    name = f"competency-{fit.digest(plan, features, rating, *groups)}"
    study = fit.search(name, objective, trials=config.trials, store=store, seed=config.seed)
    return Head(**study.best_params)


def _space(config: CompetencyRecipe) -> dict[str, Range]:
    return {name: getattr(config, name) for name in Head.__dataclass_fields__}


def _headline(predictions: pd.DataFrame) -> dict[str, float]:
    return {
        f"{corpus}_{split}_pearson": agreement.pearson(rows["rating"], rows["score"])
        for (corpus, split), rows in predictions.groupby(["corpus", "split"])
    }


def judge(version: Path, data: Path, store: Path) -> list[Judged]:
    """Agreement of a version's folder with the human scores of another folder of this form.

    Of the quality, whose scores a folder has; levels are judged in the card only. Intervals
    resample people; of exams writings, since nobody recorded who wrote them.
    """
    manifest = read_manifest(version)
    rated = examples(data, store)
    scores = np.clip(HeadGraph(version / manifest.artifact).points(rated.features)[:, 0], 0, 100)
    metrics = {
        "pearson": agreement.pearson,
        "spearman": agreement.spearman,
        "qwk": agreement.qwk_of_ten,
        "mae": agreement.mae,
        "bias": agreement.bias,
    }
    judged = []
    for name, metric in metrics.items():
        for corpus, rows in rated.table.groupby("corpus").indices.items():
            by = rated.groups(KNOWN)[rows]
            estimate = agreement.interval(metric, rated.rating[rows], scores[rows], by=by)
            judged.append(Judged.of(name, TARGET, str(corpus), estimate))
    return judged
