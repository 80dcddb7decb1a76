"""Weights of a job, learned from what became of the people hired: ratings, retention.

From scores (or assessment items) against supervisors' ratings, high performance and
retention. Group labels are used here, to keep the weights from carrying the
difference between groups, and in audits: a weight reads no label.

Source: multi-penalty regression, Rottman et al. 2023: ‖y − Xw‖² + λ‖w‖² +
γ(mean_A Xw − mean_B Xw)²; γ = 0 is ridge, γ → ∞ projects the group direction out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator
from scipy.linalg import solve
from scipy.optimize import nnls

import configs
from data import outcomes
from data.contract import ContractMismatch, Manifest, Record, UndefinedMetric
from data.corpora import siop2020
from data.jobs import jobs
from data.registry import MANIFEST, read_manifest
from data.splits import folds
from data.weights import FEATURE_SET, JobWeights, read_weights, weights_json
from evaluation import agreement
from evaluation.agreement import Estimate, Floats
from evaluation.card import read_card
from evaluation.fairness import Selection, top_half
from evaluation.rows import PLACES
from training import weights_card
from training.facts import facts
from training.fit import digest, progress
from training.publish import Built, Judged, write_card

ITEMS_JOB = siop2020.NAME
"""Key of weights over assessment items; no job of ours has it, so none is served by them."""

SPREAD = 10.0
"""Points that are one SD of an items composite among the people learned from."""

_RESAMPLES_OF_REPEATS = 300
"""Each resample selects once a repeat: more would take minutes for the third digit."""


class Candidate(Record):
    """One way to learn weights. Penalties as in the source; projected is γ → ∞."""

    method: Literal["unit", "ridge", "multi_penalty", "projected"]
    ridge_penalty: float = Field(default=0, ge=0)
    group_penalty: float = Field(default=0, ge=0)

    @property
    def gamma(self) -> float:
        """γ; infinite where the group direction is projected out."""
        return {"multi_penalty": self.group_penalty, "projected": np.inf}.get(self.method, 0.0)

    def __str__(self) -> str:
        """`multi_penalty, λ 3000, γ 30000`."""
        ridge = "" if self.method == "unit" else f", λ {self.ridge_penalty:g}"
        return self.method + ridge + (f", γ {self.gamma:g}" if 0 < self.gamma < np.inf else "")


class Focal(Record):
    """The group whose mean is compared with that of all others who declared."""

    attribute: str
    focal: str


class WeightsRecipe(Record):
    """configs/weights.yaml.

    rarest : smallest share of people who gave an answer that gets a weight
    minimum_people : hires with all their tables, below which a job keeps chosen weights
    high_performer_share : of the hires, where no table says who they are
    items, scores : candidates for items and for scores; scores never get a negative weight
    """

    seed: int
    outer_folds: int = Field(ge=2)
    repeats: int = Field(ge=1)
    inner_folds: int = Field(ge=2)
    rarest: float = Field(ge=0, lt=0.5)
    minimum_people: int = Field(ge=20)
    high_performer_share: float = Field(gt=0, lt=1)
    group: Focal
    held_at_zero: tuple[str, ...]
    items: tuple[Candidate, ...] = Field(min_length=1)
    scores: tuple[Candidate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _scores_have_a_finite_penalty(self) -> WeightsRecipe:
        if any(candidate.method == "projected" for candidate in self.scores):
            raise ValueError("scores: non-negative weights cannot be projected; use multi_penalty")
        return self


@dataclass(frozen=True)
class History:
    """What became of the people hired for one job; all arrays in the order of `predictors`.

    predictors : (people, predictors), index person, nothing missing
    criterion : (people,) what the weights are to predict
    high_performer, retained : (people,) 1 or 0
    focal : (people,) 1 in the focal group, 0 in another, NaN not declared
    signed : whether a weight may be negative (items) or not (scores)
    incomplete : hires left out because a score, a rating or retention is missing
    """

    job: str
    predictors: pd.DataFrame
    criterion: Floats
    high_performer: Floats
    retained: Floats
    focal: Floats
    signed: bool
    incomplete: int = 0

    @property
    def people(self) -> npt.NDArray[np.str_]:
        """(people,) references."""
        return self.predictors.index.to_numpy(dtype=str)

    def __str__(self) -> str:
        """`teller 212 (no scores)`."""
        lacking = "" if self.predictors.shape[1] else " (no scores)"
        return f"{self.job} {len(self.people)}{lacking}"

    def is_enough(self, people: int) -> bool:
        """Whether that many people have anything a weight could be given to."""
        return len(self.people) >= people and self.predictors.shape[1] > 0


def run(config: WeightsRecipe, data: Path, store: Path) -> Built:
    """The weights version learned from the folder `data`, ready to publish.

    Jobs of which the folder has no history keep the weights that people chose.
    """
    learned = [learn(config, history, store) for history in examples(config, data)]
    weights = {**_chosen_weights(), **{report.job: report.weights for report in learned}}
    content = weights_json(weights)
    return Built(
        manifest=_manifest(content, learned_from=_named(learned)),
        files={"weights.json": content},
        card=weights_card.card(learned, facts(data)),
        predictions=pd.concat([report.predictions for report in learned], ignore_index=True),
        metrics=_metrics(learned),
    )


def refresh(folder: Path) -> None:
    """Puts today's chosen weights into a version's folder; learned entries and card stay."""
    manifest = read_manifest(folder)
    path = folder / manifest.artifact
    learned = {job: w for job, w in read_weights(path).items() if w.source == "learned"}
    content = weights_json({**_chosen_weights(), **learned})
    path.write_bytes(content)
    update = {"sha256": hashlib.sha256(content).hexdigest()}
    text = manifest.model_copy(update=update).model_dump_json(indent=2)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    write_card(read_card(folder).with_identity(**update), folder)


# --- examples -----------------------------------------------------------------


def examples(config: WeightsRecipe, folder: Path) -> list[History]:
    """A history per job of a folder of siop2020's form, or of outcome tables.

    Raises UndefinedMetric where no job has enough complete hires.
    """
    if siop2020.is_here(folder):
        return [_items_history(config, siop2020.read(folder))]
    tables = outcomes.read(folder)
    found = [_scores_history(config, tables, str(job)) for job in tables.hires["job"].unique()]
    enough = [history for history in found if history.is_enough(config.minimum_people)]
    if not enough:
        got = ", ".join(map(str, found)) or "none"
        raise UndefinedMetric(
            f"Weights need {config.minimum_people} hires of one job with scores, performance and "
            f"retention; complete hires: {got}. Chosen weights stay."
        )
    return enough


def _items_history(config: WeightsRecipe, hired: siop2020.Hired) -> History:
    shares = hired.predictors.mean()
    kept = shares.index[(shares >= config.rarest) & (shares <= 1 - config.rarest)]
    high, retained = hired.high_performer.to_numpy(float), hired.retained.to_numpy(float)
    return History(
        job=ITEMS_JOB,
        predictors=hired.predictors[kept],
        criterion=worth(high, retained),
        high_performer=high,
        retained=retained,
        focal=hired.protected.to_numpy(float),
        signed=True,
    )


def worth(high_performer: Floats, retained: Floats) -> Floats:
    """(people,) what selecting each adds to the accuracy part of the selection score."""
    both = high_performer * retained
    parts = ((25, high_performer), (25, retained), (50, both))
    shares = [points * part / part.sum() for points, part in parts]
    return np.asarray(np.sum(shares, axis=0) * len(both) / 100, float)


def _scores_history(config: WeightsRecipe, tables: outcomes.Outcomes, job: str) -> History:
    hires = tables.hires[(tables.hires["job"] == job) & tables.hires["hired"]].set_index("person")
    scores = tables.scores[
        (tables.scores["job"] == job) & ~tables.scores["name"].isin(config.held_at_zero)
    ].pivot(index="person", columns="name", values="score")
    table = scores.reindex(hires.index)
    names = list(table.columns)
    table["·performance"] = performance(tables.performance)
    table["·retained"] = hires["retained"].astype(float)
    table = table.dropna()
    declared = tables.groups[tables.groups["attribute"] == config.group.attribute]
    group = declared.set_index("person")["group"].reindex(table.index)
    rating = table["·performance"].to_numpy(float)
    cut = np.quantile(rating, 1 - config.high_performer_share) if len(rating) else 0.0
    return History(
        job=job,
        predictors=table[names],
        criterion=rating,
        high_performer=(rating >= cut).astype(float),
        retained=table["·retained"].to_numpy(float),
        focal=np.where(group.isna(), np.nan, group == config.group.focal).astype(float),
        signed=False,
        incomplete=len(hires) - len(table),
    )


def performance(ratings: pd.DataFrame) -> pd.Series:
    """Mean rating of each person after each supervisor's own mean is taken off.

    Takes out severity, on the assumption that supervisors did not choose whom they rate.
    """
    own = ratings.groupby("rater")["rating"].transform("mean")
    found: pd.Series = (ratings["rating"] - own).groupby(ratings["person"]).mean()
    return found


# --- learning -------------------------------------------------------------------


def learn(config: WeightsRecipe, history: History, store: Path) -> weights_card.Report:
    """Weights of one job and what they do for people they were not learned from."""
    candidates = config.items if history.signed else config.scores
    everyone = np.arange(len(history.people))
    best = choose(config, history, candidates, everyone)
    scores = held_out(config, history, candidates, store)
    unit = held_out(config, history, (Candidate(method="unit"),), store)
    ridge = [candidate for candidate in candidates if candidate.method == "ridge"][:1]
    blind = held_out(config, history, ridge, store) if ridge else unit
    return weights_card.Report(
        job=history.job,
        weights=_job_weights(config, history, best),
        candidate=str(best),
        rows=judged(history, scores, resamples=_RESAMPLES_OF_REPEATS),
        unit=_values(history, unit),
        blind=_values(history, blind),
        within_folds=_within_folds(config, history, scores),
        predictions=_predictions(history, scores[:, 0]),
        incomplete=history.incomplete,
    )


def fit_weights(
    predictors: Floats,
    criterion: Floats,
    focal: Floats,
    candidates: Sequence[Candidate],
    *,
    signed: bool,
) -> Floats:
    """(predictors, candidates) weights: shares that sum to 1, or points if signed.

    predictors : (people, predictors); focal : (people,) 1, 0 or NaN
    Raises UndefinedMetric without both groups, or where no score predicts anything.
    """
    z, t = predictors - predictors.mean(axis=0), criterion - criterion.mean()
    if not ((focal == 1).any() and (focal == 0).any()):
        raise UndefinedMetric("Weights need hires of both groups, to keep the difference out.")
    gap = z[focal == 1].mean(axis=0) - z[focal == 0].mean(axis=0)
    if signed:
        weights = _signed(z, t, gap, candidates)
        return np.asarray(weights * SPREAD / (z @ weights).std(axis=0))
    scale = z.std(axis=0)
    found = [_nonnegative(z / scale, t / t.std(), gap / scale, one) for one in candidates]
    weights = np.column_stack(found) / scale[:, None]
    if not weights.sum(axis=0).all():
        raise UndefinedMetric("No score predicts performance in this history: chosen weights stay.")
    return np.asarray(weights / weights.sum(axis=0))


def _signed(z: Floats, t: Floats, gap: Floats, candidates: Sequence[Candidate]) -> Floats:
    """Closed form; the group penalty is a rank-one change, so one solution serves every γ."""
    gram, moment = z.T @ z, z.T @ t
    penalties = {one.ridge_penalty for one in candidates if one.method != "unit"}
    both, eye = np.column_stack([moment, gap]), np.eye(len(gap))
    solved = {ridge: solve(gram + ridge * eye, both, assume_a="pos") for ridge in penalties}
    columns = []
    for one in candidates:
        if one.method == "unit":
            columns.append(np.sign(moment) / z.std(axis=0))
            continue
        free, along = solved[one.ridge_penalty].T
        reach = gap @ along
        taken = 1 / reach if np.isinf(one.gamma) else one.gamma / (1 + one.gamma * reach)
        columns.append(free - along * (gap @ free) * taken)
    return np.column_stack(columns)


def _nonnegative(z: Floats, t: Floats, gap: Floats, candidate: Candidate) -> Floats:
    """The penalties as further rows of a least-squares problem with weights ≥ 0."""
    if candidate.method == "unit":
        return np.ones(z.shape[1])
    ridge = np.sqrt(candidate.ridge_penalty) * np.eye(z.shape[1])
    rows = np.vstack([z, ridge, np.sqrt(candidate.gamma) * gap])
    found: Floats = nnls(rows, np.concatenate([t, np.zeros(z.shape[1] + 1)]))[0]
    return found


def choose(
    config: WeightsRecipe,
    history: History,
    candidates: Sequence[Candidate],
    rows: npt.NDArray[np.intp],
) -> Candidate:
    """The candidate with the best selection score on inner folds of these people."""
    if len(candidates) == 1:
        return candidates[0]
    scores = np.full((len(rows), len(candidates)), np.nan)
    for fit, judge in folds(history.people[rows], n=config.inner_folds, seed=config.seed):
        scores[judge] = _scored(history, candidates, rows[fit], rows[judge])
    reached = [_selected(history, scores[:, j], rows).score for j in range(len(candidates))]
    return candidates[int(np.argmax(reached))]


def held_out(
    config: WeightsRecipe, history: History, candidates: Sequence[Candidate], store: Path
) -> Floats:
    """(people, repeats) scores from weights, and a choice of method, that never saw the person.

    Each repeat is kept in `store`: a killed run goes on where it stopped.
    """
    folder = store / "weights" / _identity(config, history, candidates)
    folder.mkdir(parents=True, exist_ok=True)
    columns = []
    with progress(f"{history.job}: {len(candidates)} methods", config.repeats) as done:
        for repeat in range(config.repeats):
            path = folder / f"{repeat}.npy"
            if not path.exists():
                scratch = path.with_suffix(".part.npy")
                np.save(scratch, _one_repeat(config, history, candidates, repeat))
                scratch.replace(path)
            columns.append(np.load(path, allow_pickle=False))
            done()
    return np.column_stack(columns)


def _one_repeat(
    config: WeightsRecipe, history: History, candidates: Sequence[Candidate], repeat: int
) -> Floats:
    scores = np.full(len(history.people), np.nan)
    for fit, judge in _outer(config, history, repeat):
        best = choose(config, history, candidates, fit)
        scores[judge] = _scored(history, [best], fit, judge)[:, 0]
    return scores


def _outer(
    config: WeightsRecipe, history: History, repeat: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    return folds(history.people, n=config.outer_folds, seed=config.seed + 1 + repeat)


def _scored(
    history: History,
    candidates: Sequence[Candidate],
    fit: npt.NDArray[np.intp],
    judge: npt.NDArray[np.intp],
) -> Floats:
    """(judge, candidates), centred on the people learned from."""
    x = history.predictors.to_numpy(float)
    weights = fit_weights(
        x[fit], history.criterion[fit], history.focal[fit], candidates, signed=history.signed
    )
    return np.asarray((x[judge] - x[fit].mean(axis=0)) @ weights)


def _identity(config: WeightsRecipe, history: History, candidates: Sequence[Candidate]) -> str:
    plan = [one.model_dump() for one in candidates]
    return digest(
        [plan, config.seed, config.outer_folds, config.inner_folds, history.signed],
        history.people,
        np.array(history.predictors.columns, dtype=str),
        history.predictors.to_numpy(float),
        *(history.criterion, history.high_performer, history.retained, history.focal),
    )


# --- judging --------------------------------------------------------------------


def judge(version: Path, data: Path, store: Path) -> list[Judged]:
    """The selection score and its parts of a version's folder on the hires of another folder.

    Raises ContractMismatch if the version has no learned weights for a job of the folder.
    """
    weights = read_weights(version / read_manifest(version).artifact)
    found = []
    for history in examples(configs.load("weights", WeightsRecipe, rarest=0.0), data):
        known = weights.get(history.job)
        if known is None or (history.signed and known.source != "learned"):
            raise ContractMismatch(
                f"the version has no weights for {history.job}; it has {', '.join(weights)}. "
                "Fit one on a folder of the same form first."
            )
        found += judged(history, known.composite(history.predictors).to_numpy()[:, None])
    return found


def judged(history: History, scores: Floats, *, resamples: int = 1000) -> list[Judged]:
    """Selection score, accuracy part, impact ratio and validity, each with its interval.

    scores : (people, repeats); a metric is the mean over the repeats. The bootstrap adds
        noise to the ratio, which can only cost points: the score's interval lies low.
    """
    columns = (history.high_performer, scores, history.retained, history.focal)
    found = {
        name: agreement.interval(
            partial(_mean_selection, part), *columns, by=history.people, repeats=resamples
        )
        for name, part in _PARTS.items()
    }
    found["validity"] = agreement.interval(
        agreement.pearson, history.high_performer, scores[:, 0], by=history.people
    )
    return [Judged.of(name, history.job, "all", estimate) for name, estimate in found.items()]


_PARTS: dict[str, Callable[[Selection], float]] = {
    "selection_score": lambda selection: selection.score,
    "accuracy": lambda selection: selection.accuracy,
    "impact_ratio": lambda selection: selection.ratio,
}


def _values(history: History, scores: Floats) -> dict[str, float]:
    columns = (history.high_performer, scores, history.retained, history.focal)
    return {name: _mean_selection(part, *columns) for name, part in _PARTS.items()}


def _mean_selection(
    part: Callable[[Selection], float],
    high: Floats,
    scores: Floats,
    retained: Floats,
    focal: Floats,
) -> float:
    return float(np.mean([part(top_half(high, column, retained, focal)) for column in scores.T]))


def _selected(history: History, scores: Floats, rows: npt.NDArray[np.intp]) -> Selection:
    return top_half(
        history.high_performer[rows], scores, history.retained[rows], history.focal[rows]
    )


def _within_folds(config: WeightsRecipe, history: History, scores: Floats) -> Estimate:
    """Mean selection score within single folds, whose smaller numbers make the ratio noisier."""
    found = [
        _selected(history, scores[fold, repeat], fold).score
        for repeat in range(config.repeats)
        for _, fold in _outer(config, history, repeat)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(np.mean(found)), float(low), float(high), len(history.people))


# --- what is published ------------------------------------------------------------


def _job_weights(config: WeightsRecipe, history: History, best: Candidate) -> JobWeights:
    x = history.predictors
    found = fit_weights(
        x.to_numpy(float), history.criterion, history.focal, [best], signed=history.signed
    )
    held = {} if history.signed else dict.fromkeys(config.held_at_zero, 0.0)
    return JobWeights(
        source="learned",
        method=str(best),
        people=len(x),
        predictors=dict(zip(x.columns, map(float, found[:, 0]), strict=True)) | held,
        center={str(name): float(mean) for name, mean in x.mean().items() if history.signed},
    )


def _chosen_weights() -> dict[str, JobWeights]:
    return {
        key: JobWeights(source="chosen", predictors=dict(job.weights))
        for key, job in jobs().items()
    }


def _predictions(history: History, scores: Floats) -> pd.DataFrame:
    """One row a person and outcome: held-out composite beside what became of the person."""
    group = np.select([history.focal == 1, history.focal == 0], ["focal", "others"], "")
    parts = [
        pd.DataFrame(
            {
                "person": history.people,
                "item": history.job,
                "target": f"{history.job}.{outcome}",
                "rating": 100 * happened,
                "score": scores.round(PLACES),
                "group": group,
            }
        )
        for outcome, happened in (
            ("high_performer", history.high_performer),
            ("retained", history.retained),
        )
    ]
    return pd.concat(parts, ignore_index=True)


def _manifest(content: bytes, *, learned_from: str) -> Manifest:
    return Manifest(
        name="weights",
        feature_set=FEATURE_SET,
        artifact="weights.json",
        sha256=hashlib.sha256(content).hexdigest(),
        learned_from=learned_from,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _named(learned: Sequence[weights_card.Report]) -> str:
    named = [f"{report.weights.people} hires of {report.job}" for report in learned]
    return "; ".join([*named, "nothing for every other job: chosen by people in configs/jobs.yaml"])


def _metrics(learned: Sequence[weights_card.Report]) -> dict[str, float]:
    rows = [row for report in learned for row in report.rows]
    return {f"{row.target}.{row.metric}": row.value for row in rows}
