"""Observable behaviour as people rated it, from the series of the face over time.

Learned from a ratings table with several raters: how severe each rater is, is
estimated and taken out; the head reads the series at a steady rate with its gaps masked
(convolutions over time; pooled by mean, spread and attention; a ridge on top). Ratings are of
behaviour ("keeps eye contact"), never of feelings. Without ratings there is no head:
`measures_only` is the version that shows measures.
Source: attentive statistics pooling, Okabe et al., Interspeech 2018.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import torch
from pydantic import Field
from sklearn.linear_model import RidgeCV
from torch import nn

import configs
from data import outcomes
from data.assets import AssetsConfig, file_sha256
from data.contract import (
    EXPRESSION,
    EXPRESSION_MEASURES,
    Manifest,
    Record,
    UndefinedMetric,
    UnusableRecording,
)
from data.expression import (
    ExpressionSeries,
    expression_measures,
    expression_problem,
    head_input,
    load_series,
    save_series,
)
from data.face import ExpressionConfig, FaceTracker
from data.head import HeadGraph
from data.recording import open_recording
from data.registry import STABILITY, read_manifest
from data.splits import folds
from data.watching import expression_series
from evaluation import agreement
from evaluation.reliability import rater_severity
from evaluation.rows import PLACES, Intervals
from evaluation.stability import drifts, stability_page
from training import fit
from training.expression_card import calibration, learned_card, measuring_card
from training.facts import facts
from training.publish import Built, Judged
from training.stability import filmed_otherwise

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Series = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""(times, EXPRESSION width) and its mask (times,), as `head_input` gives them."""


class ExpressionRecipe(Record):
    """configs/expression.yaml."""

    outer_folds: int = Field(ge=2)
    inner_folds: int = Field(ge=2)
    trials: int = Field(ge=1)
    seed: int
    hidden: tuple[int, int] = Field(description="channels, low and high")
    dropout: tuple[float, float]
    weight_decay: float = Field(ge=0)
    learning_rate: float = Field(gt=0)
    epochs: int = Field(ge=1)
    batch: int = Field(ge=2)
    checkpoint_every: int = Field(ge=1, description="epochs")
    coverage: float = Field(gt=0, lt=1)
    languages: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    """What the search chooses."""

    hidden: int
    dropout: float


# --- model ---------------------------------------------------------------------------


class TemporalHead(nn.Module):
    """features (n, times, width), mask (n, times) → points (n, targets) of 100.

    A masked time counts for nothing: zeros after it change no score.
    """

    def __init__(self, head: Head, targets: int) -> None:
        """Untrained; scaling is set by `fit_scaling`."""
        super().__init__()
        width, hidden = len(EXPRESSION.columns), head.hidden
        for name, size in (
            ("mean", width),
            ("spread", width),
            ("level", targets),
            ("gain", targets),
        ):
            self.register_buffer(name, torch.ones(size))
        self.near = nn.Conv1d(width + 1, hidden, 5, padding=2)
        self.far = nn.Conv1d(hidden, hidden, 5, padding=4, dilation=2)
        self.attention = nn.Conv1d(hidden, 1, 1)
        self.dropout = nn.Dropout(head.dropout)
        self.even = nn.BatchNorm1d(3 * hidden + 2 * width, affine=False)
        self.out = nn.Linear(3 * hidden + 2 * width, targets)

    def fit_scaling(self, series: list[Series], ratings: Floats) -> None:
        """Columns to mean 0 and spread 1 where seen; outputs to the ratings' level and spread."""
        seen = np.concatenate([features[mask > 0] for features, mask in series])
        scaling = {
            "mean": seen.mean(axis=0),
            "spread": np.maximum(seen.std(axis=0), 1e-3),
            "level": np.nanmean(ratings, axis=0),
            "gain": np.maximum(np.nanstd(ratings, axis=0), 1e-3),
        }
        for name, values in scaling.items():
            self.get_buffer(name).copy_(torch.as_tensor(values, dtype=torch.float32))

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Points, not cut to 0 … 100."""
        points: torch.Tensor = self.out(self.dropout(self.pooled(features, mask)))
        return self.get_buffer("level") + self.get_buffer("gain") * points

    def pooled(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, 3 hidden + 2 width): mean, spread and attended value of the convolved series,
        mean and spread of the series itself; each evened out over the training recordings.
        """
        gate = mask.unsqueeze(1)
        standard = (features - self.get_buffer("mean")) / self.get_buffer("spread")
        x = torch.cat([standard.transpose(1, 2) * gate, gate], dim=1)
        x = torch.nn.functional.gelu(self.near(x)) * gate
        x = (x + torch.nn.functional.gelu(self.far(x))) * gate
        weights = (torch.softmax(self.attention(x) - 1e4 * (1 - gate), dim=2)) * gate
        attended = (x * weights).sum(dim=2)
        told = (*_mean_and_spread(x, gate), attended)
        plain = _mean_and_spread(standard.transpose(1, 2) * gate, gate)
        evened: torch.Tensor = self.even(torch.cat([*told, *plain], dim=1))
        return evened


def _mean_and_spread(x: torch.Tensor, gate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, channels) each, over the seen times of (n, channels, times)."""
    seen = gate.sum(dim=2).clamp(min=1)
    mean = (x * gate).sum(dim=2) / seen
    variance = (((x - mean.unsqueeze(2)) ** 2) * gate).sum(dim=2) / seen
    return mean, torch.sqrt(variance + 1e-4)


# --- examples --------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """Rated recordings.

    table : one row a recording: person, item, seconds
    series : of each, for the head
    raw : (recordings, targets, raters) in points of 100, NaN where not rated
    ratings : (recordings, targets) mean over raters with their severity taken out; NaN
        where nobody rated. Severity is estimated on everybody: it describes raters
    severity : (targets, raters) points a rater gives below the others
    measures : one row a recording, a column for each of EXPRESSION_MEASURES
    left_out : code -> rated recordings in which the face is not measured, and so not scored
    """

    table: pd.DataFrame
    series: list[Series]
    targets: tuple[str, ...]
    raters: tuple[str, ...]
    raw: Floats
    ratings: Floats
    severity: Floats
    measures: pd.DataFrame
    left_out: dict[str, int]

    @property
    def people(self) -> npt.NDArray[np.str_]:
        """(recordings,) who was rated."""
        return self.table["person"].to_numpy(dtype=str)

    def content(self, wanted: Rows) -> list[npt.NDArray[Any]]:
        """All that a head learns from these recordings: what is kept is named by it."""
        features = [part for i in wanted for part in self.series[i]]
        return [self.people[wanted], self.ratings[wanted], *features]


def examples(folder: Path, store: Path) -> Examples:
    """`ratings.csv` (person, item, target, rater, rating in points of 100) and what was rated.

    A recording that serving would not score is left out, and counted by its reason.

    Raises FileNotFoundError naming rated recordings that are not there, BadTable where an
    item is of two people (a recording is named by its item) or no face is measured in any.
    """
    given = outcomes.read(folder).ratings
    if given.empty:
        raise FileNotFoundError(f"{folder} has no ratings.csv; without ratings no head is learned")
    items = given.drop_duplicates(["person", "item"])[["person", "item"]].reset_index(drop=True)
    if twice := sorted(items.loc[items["item"].duplicated(), "item"]):
        raise outcomes.BadTable(
            f"ratings.csv: {len(twice)} items are of more than one person, e.g. {twice[0]}; name "
            "each recording once, since series/ has one file an item"
        )
    measured = configs.load("expression_measures", ExpressionConfig)
    found = series_of(folder, items["item"], store)
    problems = [expression_problem(one, measured) for one in found]
    kept = [i for i, problem in enumerate(problems) if problem is None]
    if not kept:
        raise outcomes.BadTable("ratings.csv: in no rated recording is a face measured")
    items, found = items.iloc[kept].reset_index(drop=True), [found[i] for i in kept]
    given = given[given["item"].isin(items["item"])]
    series = [head_input(one, measured) for one in found]
    targets, raters = (tuple(sorted(given[name].unique())) for name in ("target", "rater"))
    raw = np.full((len(items), len(targets), len(raters)), np.nan)
    place = {item: i for i, item in enumerate(items["item"])}
    for row in given.itertuples():
        raw[place[row.item], targets.index(row.target), raters.index(row.rater)] = row.rating
    severity = np.stack([rater_severity(raw[:, j]) for j in range(len(targets))])
    return Examples(
        table=items.assign(seconds=[len(mask) / measured.rate_hz for _, mask in series]),
        series=series,
        targets=targets,
        raters=raters,
        raw=raw,
        ratings=_mean_rating(raw + severity),
        severity=severity,
        measures=pd.DataFrame([expression_measures(one, measured) for one in found], dtype=float),
        left_out=dict(Counter(problem[0] for problem in problems if problem)),
    )


def series_of(folder: Path, items: Iterable[str], store: Path) -> list[ExpressionSeries]:
    """Of each item: `series/<item>.npz`, else watched in `recordings/<item>.*` and kept in store.

    Raises FileNotFoundError naming items that have neither, BadTable naming a recording that
    cannot be used, ContractMismatch for a series with other columns.
    """
    config = configs.load("expression_measures", ExpressionConfig)
    model = configs.load("assets", AssetsConfig).assets["face_landmarker.task"]
    watched_by = fit.digest([EXPRESSION.id, config.model_dump(), [f.sha256 for f in model]])
    kept = store / "series" / watched_by
    kept.mkdir(parents=True, exist_ok=True)
    filmed = {
        path.stem: path
        for path in sorted((folder / "recordings").glob("*.*"))
        if path.suffix.lower() in VIDEO
    }
    paths, waiting, absent = [], {}, []
    for item in items:
        ready = folder / "series" / f"{item}.npz"
        if not ready.is_file() and item in filmed:
            ready = kept / f"{file_sha256(filmed[item])}.npz"
            if not ready.is_file():
                waiting[ready] = filmed[item]
        elif not ready.is_file():
            absent.append(item)
        paths.append(ready)
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} rated recordings are neither in {folder / 'recordings'} nor, watched, "
            f"in {folder / 'series'}, e.g. {absent[0]}"
        )
    if waiting:
        with FaceTracker() as tracker, fit.progress("watched", len(waiting)) as done:
            for ready, path in waiting.items():
                scratch = ready.with_suffix(".part.npz")
                try:
                    save_series(_watched(path, tracker), scratch)
                except UnusableRecording as unusable:
                    raise outcomes.BadTable(f"{path}: {unusable}") from unusable
                scratch.replace(ready)
                done()
    return [load_series(path) for path in paths]


VIDEO = (".mp4", ".webm", ".mov", ".mkv")


def _watched(path: Path, tracker: FaceTracker) -> ExpressionSeries:
    """As serving watches it. Raises UnusableRecording, also where there is no picture."""
    recording = open_recording(path)
    if recording.video_problem:
        raise UnusableRecording(*recording.video_problem)
    frames = recording.frames(tracker.config.quick_rate_hz)
    return expression_series(frames, tracker, duration_s=recording.duration_s)


def _mean_rating(adjusted: Floats) -> Floats:
    """Mean over the last axis; NaN where nobody rated."""
    known = ~np.isnan(adjusted)
    total = np.where(known, adjusted, 0.0).sum(axis=2)
    count = known.sum(axis=2)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


# --- fitting ------------------------------------------------------------------------------


def fitted(
    config: ExpressionRecipe, head: Head, rated: Examples, train: Rows, store: Path
) -> TemporalHead:
    """The head fitted on the recordings `train`, continued from its last checkpoint."""
    plan = [config.model_dump(), asdict(head), EXPRESSION.id, rated.targets]
    path = store / "checkpoints" / f"{fit.digest(plan, train, *rated.content(train))}.pt"
    torch.manual_seed(config.seed)
    model = TemporalHead(head, len(rated.targets))
    model.fit_scaling([rated.series[i] for i in train], rated.ratings[train])
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    done = _resume(model, optimizer, path)
    for epoch in range(done, config.epochs):
        _epoch(config, model, optimizer, rated, train, epoch)
        if (epoch + 1) % config.checkpoint_every == 0 or epoch + 1 == config.epochs:
            _checkpoint(model, optimizer, epoch + 1, path)
    refit_output(model.eval(), [rated.series[i] for i in train], rated.ratings[train])
    return model


PENALTIES = np.logspace(0, 4, 20)
"""Of the output layer, in units of one recording; leave-one-out chooses."""


def refit_output(model: TemporalHead, series: list[Series], ratings: Floats) -> None:
    """Replace the output layer by ridge regression on what the model pools.

    With a hundred people, gradient steps leave the weights of the plain means and
    spreads half learned; the closed form does not.
    """
    with torch.no_grad():
        pooled = model.pooled(*batch(series)).numpy().astype(np.float64)
    level, gain = (model.get_buffer(name).numpy() for name in ("level", "gain"))
    standard = (ratings - level) / gain
    for j in range(ratings.shape[1]):
        known = ~np.isnan(standard[:, j])
        ridge = RidgeCV(PENALTIES).fit(pooled[known], standard[known, j])
        with torch.no_grad():
            model.out.weight[j] = torch.as_tensor(ridge.coef_, dtype=torch.float32)
            model.out.bias[j] = float(ridge.intercept_)


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Epochs already done."""
    if not path.is_file():
        return 0
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["epochs"])


def _checkpoint(
    model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int, path: Path
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs},
        scratch,
    )
    scratch.replace(path)


def _epoch(
    config: ExpressionRecipe,
    model: TemporalHead,
    optimizer: torch.optim.Optimizer,
    rated: Examples,
    train: Rows,
    epoch: int,
) -> None:
    """One pass in an order that depends on the epoch alone, so a resumed run is the same run."""
    torch.manual_seed(config.seed + epoch)
    order = np.random.default_rng([config.seed, epoch]).permutation(train)
    rate = config.learning_rate * np.sin(np.pi * (epoch + 1) / (config.epochs + 1))
    for group in optimizer.param_groups:
        group["lr"] = float(rate)
    model.train()
    for chosen in np.array_split(order, max(1, round(len(order) / config.batch))):
        features, mask = batch([rated.series[i] for i in chosen])
        wanted = torch.as_tensor(rated.ratings[chosen], dtype=torch.float32)
        rating_known = ~torch.isnan(wanted)
        error = (model(features, mask) - wanted.nan_to_num()) / model.get_buffer("gain")
        loss = torch.nn.functional.huber_loss(
            error[rating_known], torch.zeros_like(error[rating_known])
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def batch(series: list[Series]) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, longest, width) and (n, longest), shorter ones filled up under a mask of 0."""
    features = [torch.as_tensor(values) for values, _ in series]
    masks = [torch.as_tensor(mask) for _, mask in series]
    pad = nn.utils.rnn.pad_sequence
    return pad(features, batch_first=True), pad(masks, batch_first=True)


def scores(model: TemporalHead, rated: Examples, wanted: Rows) -> Floats:
    """(wanted, targets) points of 100."""
    with torch.no_grad():
        points = model(*batch([rated.series[i] for i in wanted]))
    return np.asarray(np.clip(points.numpy(), 0, 100), dtype=np.float64)


# --- the recipe -----------------------------------------------------------------------------


def run(config: ExpressionRecipe, data: Path, store: Path) -> Built:
    """The expression version learned from the ratings in `data`, ready to publish.

    Without ratings it has no head and gives no score: see `measures_only`.
    """
    if not (data / "ratings.csv").is_file():
        return measures_only(data)
    rated = examples(data, store)
    found = held_out(config, rated, store)
    everyone = np.arange(len(rated.table))
    chosen = choose(config, rated, everyone, store, name="all")
    head = onnx_head(fitted(config, chosen, rated, everyone, store))
    predictions = prediction_table(rated, found, mean_baseline(config, rated))
    calibrated = calibration(predictions, level=config.coverage)
    served = Intervals.of(calibrated)
    known, usual = facts(data), references(rated)
    manifest = Manifest(
        name="expression",
        feature_set=EXPRESSION.id,
        artifact="head.onnx",
        sha256=hashlib.sha256(head).hexdigest(),
        targets=tuple(served.target(name, predictions) for name in rated.targets),
        validated_languages=config.languages,
        validated_settings=config.settings,
        provisional_reason=PROVISIONAL,
        **usual,
        learned_from=f"{known.learned_from} ({len(set(rated.people))} people, "
        f"{len(rated.raters)} raters)",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    protocol = (
        f"{config.outer_folds} folds of people; the head of each fold was chosen on "
        f"{config.inner_folds} folds of the other people; r with the raters' mean, severity out"
    )
    return Built(
        manifest=manifest,
        files={"head.onnx": head},
        card=learned_card(
            predictions,
            calibrated,
            facts=known,
            head=str(chosen),
            protocol=protocol,
            references=usual["references"],
            references_source=usual["references_source"],
            left_out=rated.left_out,
        ),
        predictions=predictions,
        metrics={
            f"{name}_pearson": agreement.pearson(rated.ratings[:, j], found[:, j])
            for j, name in enumerate(rated.targets)
        },
    )


PROVISIONAL = {
    "en": "Behaviour scores have not been validated for this kind of interview.",
    "zh": "行为评分尚未在此类面试中验证。",
}


def held_out(config: ExpressionRecipe, rated: Examples, store: Path) -> Floats:
    """(recordings, targets) scores of people the head, and its choice, never saw."""
    found = np.full(rated.ratings.shape, np.nan)
    with fit.progress("held-out people", config.outer_folds) as done:
        for number, (train, test) in enumerate(
            folds(rated.people, n=config.outer_folds, seed=config.seed)
        ):
            chosen = choose(config, rated, train, store, name=f"outer-{number}")
            found[test] = scores(fitted(config, chosen, rated, train, store), rated, test)
            done()
    return found


def choose(
    config: ExpressionRecipe, rated: Examples, train: Rows, store: Path, *, name: str
) -> Head:
    """The head that agrees best with the ratings on folds of the people in `train`."""

    def objective(trial: optuna.Trial) -> float:
        head = Head(
            hidden=trial.suggest_int("hidden", *config.hidden, step=8),
            dropout=trial.suggest_float("dropout", *config.dropout),
        )
        return float(np.mean(list(_inner(config, rated, train, head, store))))

    plan = [config.model_dump(), EXPRESSION.id, rated.targets]
    study = fit.search(
        f"expression-{name}-{fit.digest(plan, *rated.content(train))}",
        objective,
        trials=config.trials,
        store=store,
        seed=config.seed,
    )
    return Head(**study.best_params)


def _inner(
    config: ExpressionRecipe, rated: Examples, train: Rows, head: Head, store: Path
) -> Iterator[float]:
    for a, b in folds(rated.people[train], n=config.inner_folds, seed=config.seed):
        found = scores(fitted(config, head, rated, train[a], store), rated, train[b])
        for j in range(len(rated.targets)):
            yield _or_zero(agreement.pearson, rated.ratings[train[b], j], found[:, j])


def _or_zero(metric: Callable[..., float], rating: Floats, score: Floats) -> float:
    """A head that gives everybody the same agrees with nobody."""
    try:
        return metric(rating, score)
    except UndefinedMetric:
        return 0.0


def mean_baseline(config: ExpressionRecipe, rated: Examples) -> Floats:
    """(recordings, targets) mean rating of the other folds' people."""
    found = np.full(rated.ratings.shape, np.nan)
    for train, test in folds(rated.people, n=config.outer_folds, seed=config.seed):
        found[test] = np.nanmean(rated.ratings[train], axis=0)
    return found


def prediction_table(rated: Examples, found: Floats, means: Floats) -> pd.DataFrame:
    """One row a recording and target: held-out score beside the ratings, severity taken out."""
    parts = []
    for j, name in enumerate(rated.targets):
        part = rated.table.copy()
        part.insert(2, "target", name)
        part.insert(3, "rating", rated.ratings[:, j])
        part.insert(4, "score", found[:, j])
        part["baseline_mean"] = means[:, j]
        columns = [f"rater_{rater}" for rater in rated.raters]
        part[columns] = rated.raw[:, j] + rated.severity[j]
        parts.append(part)
    return pd.concat(parts, ignore_index=True).dropna(subset="rating").round(PLACES)


def onnx_head(model: TemporalHead) -> bytes:
    """The fitted head as a graph: features (n, times, width), mask (n, times) → points."""
    many, times = torch.export.Dim("n", min=1), torch.export.Dim("times", min=2)
    example = (torch.zeros(2, 50, len(EXPRESSION.columns)), torch.ones(2, 50))
    program = torch.onnx.export(
        model.eval(),
        example,
        input_names=["features", "mask"],
        output_names=["points"],
        dynamic_shapes={"features": {0: many, 1: times}, "mask": {0: many, 1: times}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # it is None only for a path given as `f`
    return bytes(program.model_proto.SerializeToString())


def judge(version: Path, data: Path, store: Path) -> list[Judged]:
    """Agreement of a version's folder with the ratings of another folder of the same form.

    Raises UndefinedMetric for a version without a head, or other targets than it has.
    """
    manifest = read_manifest(version)
    names = [target.name for target in manifest.targets]
    if not manifest.artifact:
        raise UndefinedMetric("This version measures and has no head, so there is no score.")
    rated = examples(data, store)
    if absent := set(names) - set(rated.targets):
        raise UndefinedMetric(f"The folder has no ratings of {', '.join(sorted(absent))}.")
    head = HeadGraph(version / manifest.artifact)
    points = np.concatenate(
        [head.points(features[None], mask=mask[None]) for features, mask in rated.series]
    )
    judged = []
    for j, name in enumerate(names):
        rating = rated.ratings[:, rated.targets.index(name)]
        score = np.clip(points[:, j], 0, 100)
        for metric in (agreement.pearson, agreement.spearman, agreement.mae):
            estimate = agreement.interval(metric, rating, score, by=rated.people)
            judged.append(Judged.of(metric.__name__, name, "all", estimate))
    return judged


MIN_PEOPLE = 30
"""Fewer give no reference range: the ends of one rest on a tenth of them."""

PUBLISHED = {
    column.name: column.reference for column in EXPRESSION_MEASURES if column.reference is not None
}


def references(rated: Examples) -> dict[str, Any]:
    """Fields of the manifest: the 10th to 90th percentile of the rated people, each once."""
    people = rated.measures.groupby(rated.people).mean()
    if len(people) < MIN_PEOPLE:
        return {"references": PUBLISHED, "references_source": PUBLISHED_SOURCE}
    known = people.loc[:, people.notna().sum() >= MIN_PEOPLE].quantile([0.1, 0.9])
    return {
        "references": PUBLISHED | {str(name): tuple(known[name].round(4)) for name in known},
        "references_source": f"{len(people)} rated people"
        + "".join(f"; {name}: published" for name in PUBLISHED if name not in known),
    }


PUBLISHED_SOURCE = "; ".join(
    f"{column.name}: {column.reference_source}"
    for column in EXPRESSION_MEASURES
    if column.reference is not None
)


def measures_only(data: Path) -> Built:
    """A version without a head: measures, how stable they are, and no score.

    data : folder of recordings with one face, filmed otherwise to see how the measures drift
    Raises FileNotFoundError where it has none.
    """
    with FaceTracker() as tracker:
        paths = [path for path in sorted(data.glob("*.*")) if _shows_a_face(path, tracker)]
        if not paths:
            raise FileNotFoundError(f"{data} has neither ratings.csv nor a recording of a face")
        table = filmed_otherwise(paths, tracker)
    rows = drifts(table, EXPRESSION_MEASURES)
    page = stability_page(rows, EXPRESSION_MEASURES, table["recording"].nunique())
    manifest = Manifest(
        name="expression",
        feature_set=EXPRESSION.id,
        provisional_reason=PROVISIONAL,
        references=PUBLISHED,
        references_source=PUBLISHED_SOURCE,
        learned_from="nothing: no public ratings of behaviour in interviews exist",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    files = {STABILITY: table.to_csv(index=False).encode(), "stability.html": page.encode()}
    columns = ["person", "item", "target", "rating", "score"]
    return Built(
        manifest, files, measuring_card(rows, facts(data)), pd.DataFrame(columns=columns), {}
    )


def _shows_a_face(path: Path, tracker: FaceTracker) -> bool:
    try:
        return expression_problem(_watched(path, tracker), tracker.config) is None
    except UnusableRecording:
        return False
