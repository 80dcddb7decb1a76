"""How well an answer says what its references say, in points of 100.

Learned from the human scores of Chinese course exams. The head is the mean of a Gaussian
process whose kernel is a sum: one part compares answers by how they relate to their
references, which holds for any question; the other remembers answers to a known question
and fades to nothing for a question it never saw, which is left to the first part fitted by
itself. Serving asks only unseen questions, so agreement by unseen question chooses the head
and sets its interval.
Source: additive Gaussian processes, Duvenaud et al. 2011; corpus, Lai et al. 2024.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from pydantic import Field

from data import language
from data.contract import LANGUAGE, Manifest, Record
from data.corpora import zh_short_answer
from data.head import HeadGraph
from data.registry import read_manifest
from data.splits import folds
from evaluation import agreement
from evaluation.rows import PLACES, Intervals
from training import fit
from training.competency_card import KNOWN, TARGET, UNSEEN, baselines, calibration, card
from training.competency_head import KERNEL, Distances, Head, cross_fitted, fit_head, onnx_head
from training.facts import facts
from training.publish import Built, Judged

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Range = tuple[float, float]


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
        """(answers,) what may not be in two folds: the question, or the writing."""
        column = "question_id" if split == UNSEEN else "writing"
        return self.table[column].to_numpy(dtype=str)


def examples(folder: Path, store: Path) -> Examples:
    """The rated answers of a folder with their features, computed once for one content."""
    table = zh_short_answer.read(folder)
    content = json.dumps([LANGUAGE.id, table[["question", "references", "answer"]].values.tolist()])
    path = store / "features" / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part.npy")
        np.save(scratch, _extract(table))
        scratch.replace(path)
    return Examples(table, np.load(path))


def _extract(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    features = np.zeros((len(table), len(LANGUAGE.columns)), np.float32)
    with fit.progress("language features", table["question_id"].nunique()) as done:
        for _, asked in table.groupby("question_id"):
            for _, rows in asked.groupby(["question", "references"]):
                question, references = rows[["question", "references"]].iloc[0]
                features[rows.index] = language.extract_all(
                    list(rows["answer"]), question, references
                )
            done()
    return features


def run(config: CompetencyRecipe, data: Path, store: Path) -> Built:
    """The competency version learned from the folder `data`, ready to publish."""
    rated = examples(data, store)
    everyone = np.arange(len(rated.table))
    predictions = pd.concat(
        [held_out(config, rated, split, store) for split in (UNSEEN, KNOWN)], ignore_index=True
    ).round(PLACES)
    chosen = choose(config, rated, everyone, store)
    head = onnx_head(fit_head(chosen, rated.features, rated.rating))
    calibrated = calibration(predictions, level=config.coverage)
    known = facts(data)
    manifest = Manifest(
        name="competency",
        feature_set=LANGUAGE.id,
        artifact="head.onnx",
        sha256=hashlib.sha256(head).hexdigest(),
        targets=(Intervals.of(calibrated).target(TARGET, predictions),),
        validated_languages=known.languages,
        validated_settings=known.settings,
        provisional_reason=PROVISIONAL,
        references={},  # an exam's lengths say nothing about an interview's
        learned_from=known.learned_from,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Built(
        manifest=manifest,
        files={"head.onnx": head},
        card=card(predictions, calibrated, facts=known, head=str(chosen)),
        predictions=predictions,
        metrics=_headline(predictions),
    )


PROVISIONAL = {
    "zh": "该模型学自中文课程考试的简答题，未在面试回答上验证；"
    "它衡量的是回答与参考答案的吻合程度，而不是能力本身。须由人复核。",
    "en": "Learned from Chinese course-exam answers and not validated on interviews: it measures "
    "agreement with the reference answers, not the competency itself. A person must review it.",
}


def held_out(config: CompetencyRecipe, rated: Examples, split: str, store: Path) -> pd.DataFrame:
    """One row an answer with the score of a head that, like its choice, never saw its group.

    person stands for the writing: nobody recorded who wrote it. Baseline columns are
    fitted on the same folds.
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
            "person": rated.table["writing"],
            "writing": rated.table["writing"],
            "item": rated.table["item"] + "-" + split,
            "target": TARGET,
            "rating": rated.rating,
            "score": scores,
            "split": split,
            "corpus": rated.table["corpus"],
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

    Intervals resample writings, since nobody recorded who wrote them.
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
