"""Fluency, prosody, accuracy and total of an answer, from the Whisper encoder's statistics.

Learned from the mean of five experts on speechocean762, judged against their median as
published work does. The head is a Gaussian process mean (kernel ridge regression) on the
principal components of each stretch's statistics and its measures, for all aspects.
Source: frozen-encoder statistics with a kernel regression, cf. Kim et al., Interspeech 2022.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from pydantic import Field
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import configs
from data.contract import (
    ENCODER_WIDTH,
    SPEECH,
    SPEECH_MEASURES,
    SPEECH_STATISTICS,
    Manifest,
    Record,
    Target,
)
from data.corpora import speechocean762
from data.listening import Listener, identity
from data.outcomes import BadTable
from data.recording import RecordingConfig, open_recording
from data.registry import read_manifest
from data.speech import SpeechConfig, speech_features
from data.splits import folds
from evaluation import agreement
from evaluation.rows import PLACES, Intervals
from training import fit
from training.facts import Facts, facts
from training.publish import Built, Judged, head_points
from training.speech_card import BANDS, calibration, card

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class SpeechRecipe(Record):
    """configs/speech.yaml."""

    outer_folds: int = Field(ge=2, description="folds of speakers the report is made on")
    inner_folds: int = Field(ge=2, description="folds of the rest that choose the head")
    trials: int = Field(ge=1)
    seed: int
    components: tuple[int, int] = Field(description="principal components, low and high")
    length_scale: tuple[float, float] = Field(description="of the narrow kernel")
    noise: tuple[float, float] = Field(description="variance of a rating in units of the signal")
    measures_weight: tuple[float, float] = Field(description="of a measure beside a component")
    coverage: float = Field(gt=0, lt=1)
    workers: int = Field(ge=1)


ENCODER = slice(0, len(SPEECH_STATISTICS) * ENCODER_WIDTH)
MEASURES = slice(ENCODER.stop, len(SPEECH.columns))
"""Columns of a row."""


WIDE = 3
"""Length scale of the wide kernel over the narrow one's."""

KERNEL = f"half narrow, half {WIDE} times as wide"
"""Names a search: trials of another kernel are another study."""


@dataclass(frozen=True)
class Head:
    """What the search chooses. noise : variance of a rating in units of the signal's."""

    components: int
    length_scale: float
    noise: float
    measures_weight: float

    def pipeline(self) -> Pipeline:
        """Unfitted; (n, SPEECH width) → (n, aspects) in points of 100."""
        return make_pipeline(projection(self.components, self.measures_weight), self.regression())

    def regression(self) -> GaussianProcessRegressor:
        """Unfitted; principal components and weighted measures → aspects.

        The kernel is the mean of a narrow and a wide one: neighbours and trends.
        """
        narrow = RBF(self.length_scale, length_scale_bounds="fixed")
        wide = RBF(WIDE * self.length_scale, length_scale_bounds="fixed")
        half = ConstantKernel(0.5, constant_value_bounds="fixed")
        return GaussianProcessRegressor(
            half * narrow + half * wide, alpha=self.noise, optimizer=None, normalize_y=True
        )


def projection(components: int, measures_weight: float) -> ColumnTransformer:
    """Unfitted; the first components of a wider projection are those of a narrower one."""
    encoder = make_pipeline(
        StandardScaler(), PCA(components, svd_solver="randomized", random_state=0)
    )
    return ColumnTransformer(
        [("encoder", encoder, ENCODER), ("measures", StandardScaler(), MEASURES)],
        transformer_weights={"measures": measures_weight},
    )


@dataclass(frozen=True)
class Examples:
    """Rated utterances and their stretches.

    table : one row an utterance that has speech
    rows : (stretches, SPEECH width); owner : (stretches,) row of `table`
    measures : (utterances, SPEECH_MEASURES) NaN where there is none
    unheard : rows of utterances in which no speech was found
    """

    table: pd.DataFrame
    rows: npt.NDArray[np.float32]
    owner: Rows
    durations_s: Floats
    measures: Floats
    unheard: pd.DataFrame

    @property
    def people(self) -> npt.NDArray[np.str_]:
        """(utterances,) speakers."""
        return self.table["person"].to_numpy(dtype=str)

    @property
    def aspects(self) -> tuple[str, ...]:
        """What the experts rated."""
        return speechocean762.aspects(self.table)

    def mean(self) -> Floats:
        """(utterances, aspects) mean of the experts, points of 100: what is learned."""
        return np.column_stack(
            [np.nanmean(speechocean762.ratings(self.table, a), axis=1) for a in self.aspects]
        )

    def median(self) -> Floats:
        """(utterances, aspects) median of the experts, points of 100: what it is judged by."""
        return np.column_stack(
            [np.nanmedian(speechocean762.ratings(self.table, a), axis=1) for a in self.aspects]
        )


def examples(folder: Path, store: Path, *, workers: int) -> Examples:
    """The rated utterances of a folder that `speechocean762.read` reads, with features (cached).

    What an utterance has no rating of at all is not learned: it is left out.
    """
    table = _rated_fully(speechocean762.read(folder))
    measured_with = configs.load("speech_measures", SpeechConfig)
    found = fit.features(
        speechocean762.paths(table),
        _extract,
        store=store,
        identity=f"{SPEECH.id} {identity()} {measured_with.model_dump_json()}",
        label="speech features",
        workers=workers,
    )
    heard = [i for i, arrays in enumerate(found) if len(arrays["rows"])]
    counts = [len(found[i]["rows"]) for i in heard]
    return Examples(
        table=table.iloc[heard].reset_index(drop=True),
        rows=np.concatenate([found[i]["rows"] for i in heard]).astype(np.float32),
        owner=np.repeat(np.arange(len(heard)), counts),
        durations_s=np.concatenate([found[i]["durations_s"] for i in heard]),
        measures=np.stack([found[i]["measures"] for i in heard]),
        unheard=table.drop(index=table.index[heard]),
    )


def _rated_fully(table: pd.DataFrame) -> pd.DataFrame:
    """Utterances of which every aspect has at least one rating. Raises BadTable if none has."""
    rated = [speechocean762.ratings(table, aspect) for aspect in speechocean762.aspects(table)]
    known = np.all([np.isfinite(ratings).any(axis=1) for ratings in rated], axis=0)
    if not known.any():
        raise BadTable("no utterance has a rating of every aspect that was rated")
    return table[known].reset_index(drop=True)


_listener: list[Listener] = []
"""One encoder a worker process."""


def _extract(path: Path) -> dict[str, fit.Matrix]:
    if not _listener:
        _listener.append(Listener())
    config = configs.load("recording", RecordingConfig, min_duration_s=0.1)
    waveform = open_recording(path, config).waveform
    if waveform is None:
        return {"rows": np.empty((0, len(SPEECH.columns))), "durations_s": np.empty(0)}
    found = speech_features(_listener[0].listen(waveform))
    measured = [found.measures[column.name] for column in SPEECH_MEASURES]
    return {
        "rows": found.rows,
        "durations_s": found.durations_s,
        "measures": np.array([np.nan if value is None else value for value in measured]),
    }


def run(config: SpeechRecipe, data: Path, store: Path) -> Built:
    """The speech version learned from the folder `data`, ready to publish."""
    rated = examples(data, store, workers=config.workers)
    scores = held_out(config, rated, store)
    chosen = choose(config, rated, np.arange(len(rated.table)), store, name="all")
    fitted = _fit(chosen, rated, np.arange(len(rated.table)))
    head = onnx_head(fitted, targets=len(rated.aspects))
    predictions = prediction_table(rated, scores, length_baseline(config, rated))
    calibrated = calibration(predictions, level=config.coverage)
    served = Intervals.of(calibrated)
    known = facts(data)
    manifest = Manifest(
        name="speech",
        feature_set=SPEECH.id,
        artifact="head.onnx",
        sha256=hashlib.sha256(head).hexdigest(),
        targets=tuple(Target(name=a, half_width=served.width(a)) for a in rated.aspects),
        validated_languages=known.languages,
        validated_settings=known.settings,
        provisional_reason=_provisional(known),
        language_bound=True,
        references=references(rated),
        references_source=f"adults ({known.name}), 10th to 90th percentile",
        learned_from=known.learned_from,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Built(
        manifest=manifest,
        files={"head.onnx": head},
        card=card(
            predictions,
            calibrated,
            facts=known,
            head=str(chosen),
            protocol=f"{config.outer_folds} folds of speakers; the head of each fold was chosen on "
            f"{config.inner_folds} folds of the other speakers; r with the experts' median",
        ),
        predictions=predictions,
        metrics={
            f"{aspect}_pearson": agreement.pearson(rated.median()[:, j], scores[:, j])
            for j, aspect in enumerate(rated.aspects)
        },
    )


def _provisional(known: Facts) -> dict[str, str]:
    """What people read beside a score given outside what the version was validated for."""
    if (known.languages, known.settings) == (("en",), ("read_aloud",)):
        return {
            "en": "Validated on English read aloud, not on answers in an interview.",
            "zh": "仅在英语朗读上验证过，未在面试回答上验证。",
        }
    return {
        "en": f"Validated only on what it learned from ({known.name}), not on this use.",
        "zh": f"仅在其训练数据（{known.name}）上验证过，未在此用途上验证。",
    }


def held_out(config: SpeechRecipe, rated: Examples, store: Path) -> Floats:
    """(utterances, aspects) scores of speakers the head, and its choice, never saw."""
    scores = np.full((len(rated.table), len(rated.aspects)), np.nan)
    for number, (train, test) in enumerate(
        folds(rated.people, n=config.outer_folds, seed=config.seed)
    ):
        chosen = choose(config, rated, train, store, name=f"outer-{number}")
        scores[test] = _scores(_fit(chosen, rated, train), rated, test)
    return scores


def choose(config: SpeechRecipe, rated: Examples, train: Rows, store: Path, *, name: str) -> Head:
    """The head that agrees best with the median on folds of the speakers in `train`."""
    parts = list(_inner(config, rated, train))

    def objective(trial: optuna.Trial) -> float:
        head = Head(
            components=trial.suggest_int("components", *config.components, log=True),
            length_scale=trial.suggest_float("length_scale", *config.length_scale, log=True),
            noise=trial.suggest_float("noise", *config.noise, log=True),
            measures_weight=trial.suggest_float("measures_weight", *config.measures_weight),
        )
        return float(np.mean([part.agreement(head) for part in parts]))

    digest = fit.digest(
        [config.model_dump(), KERNEL, SPEECH.id, identity()],
        rated.rows[np.isin(rated.owner, train)],
        rated.mean()[train],
        rated.median()[train],
        rated.people[train],
    )
    study = fit.search(
        f"speech-{name}-{digest}",
        objective,
        trials=config.trials,
        store=store,
        seed=config.seed,
    )
    return Head(**study.best_params)


@dataclass(frozen=True)
class InnerFold:
    """Projected stretches of one fold: all components, then the standardised measures."""

    fit_rows: Floats
    fit_ratings: Floats
    test_rows: Floats
    owner: Rows
    durations_s: Floats
    test: Rows
    truth: Floats

    def agreement(self, head: Head) -> float:
        """Mean Pearson r with the experts' median, of the first two aspects that were rated."""
        fitted = head.regression().fit(_read_by(head, self.fit_rows), self.fit_ratings)
        points = _points(fitted, _read_by(head, self.test_rows))
        scores = by_utterance(points, self.owner, self.durations_s, self.test)
        columns = range(min(2, self.truth.shape[1]))
        return float(np.mean([agreement.pearson(self.truth[:, j], scores[:, j]) for j in columns]))


def _read_by(head: Head, rows: Floats) -> Floats:
    measured = MEASURES.stop - MEASURES.start
    return np.hstack([rows[:, : head.components], head.measures_weight * rows[:, -measured:]])


def _inner(config: SpeechRecipe, rated: Examples, train: Rows) -> Iterator[InnerFold]:
    for a, b in folds(rated.people[train], n=config.inner_folds, seed=config.seed):
        fit_on, test = np.isin(rated.owner, train[a]), np.isin(rated.owner, train[b])
        project = projection(config.components[1], 1.0).fit(rated.rows[fit_on])
        yield InnerFold(
            fit_rows=project.transform(rated.rows[fit_on]),
            fit_ratings=rated.mean()[rated.owner[fit_on]],
            test_rows=project.transform(rated.rows[test]),
            owner=rated.owner[test],
            durations_s=rated.durations_s[test],
            test=train[b],
            truth=rated.median()[train[b]],
        )


def _fit(head: Head, rated: Examples, train: Rows) -> Pipeline:
    used = np.isin(rated.owner, train)
    return head.pipeline().fit(rated.rows[used], rated.mean()[rated.owner[used]])


def _points(fitted: Pipeline | GaussianProcessRegressor, rows: npt.NDArray[np.floating]) -> Floats:
    """(rows, aspects) in points of 100; of one aspect scikit-learn gives no second axis."""
    points: Floats = np.clip(fitted.predict(rows).reshape(len(rows), -1), 0, 100)
    return points


def _scores(fitted: Pipeline, rated: Examples, wanted: Rows) -> Floats:
    """(wanted, aspects): stretches averaged by duration, as serving does."""
    used = np.flatnonzero(np.isin(rated.owner, wanted))
    points = _points(fitted, rated.rows[used])
    return by_utterance(points, rated.owner[used], rated.durations_s[used], wanted)


def by_utterance(points: Floats, owner: Rows, weights: Floats, wanted: Rows) -> Floats:
    """Mean of each wanted utterance's stretches, weighted by duration."""
    place = np.searchsorted(wanted, owner)
    total = np.zeros((len(wanted), points.shape[1]))
    np.add.at(total, place, points * weights[:, None])
    return total / np.bincount(place, weights, minlength=len(wanted))[:, None]


def length_baseline(config: SpeechRecipe, rated: Examples) -> Floats:
    """(utterances, aspects) points from a line on the log of the words, on the same folds."""
    log_words = np.log(rated.table["words"].to_numpy(float).clip(min=1))[:, None]
    points = np.full((len(rated.table), len(rated.aspects)), np.nan)
    for train, test in folds(rated.people, n=config.outer_folds, seed=config.seed):
        line = LinearRegression().fit(log_words[train], rated.mean()[train])
        points[test] = np.clip(line.predict(log_words[test]), 0, 100)
    return points


REFERENCED = ("articulation_rate", "f0_range", "level_range", "voiced_ratio")
"""Measures whose range over read sentences says something about an answer: one sentence
has no pauses to speak of, and the level of F0 says who speaks, not how."""


def references(rated: Examples) -> dict[str, tuple[float, float]]:
    """Measure → 10th and 90th percentile of adults; measures nobody had are left out."""
    adults = rated.measures[(rated.table["age_group"] == "adult").to_numpy()]
    names = [column.name for column in SPEECH_MEASURES]
    found = {}
    for name in REFERENCED:
        values = adults[:, names.index(name)]
        if np.isfinite(values).any():
            low, high = np.nanpercentile(values, [10, 90])
            found[name] = (round(float(low), 3), round(float(high), 3))
    return found


def prediction_table(rated: Examples, scores: Floats, lengths: Floats) -> pd.DataFrame:
    """One row an utterance and aspect: held-out score beside the experts and the baseline.

    Utterances without speech are rows without a score.
    """
    everything = pd.concat([rated.table, rated.unheard], ignore_index=True)
    parts = []
    for j, aspect in enumerate(rated.aspects):
        part = everything[["person", "item", "age_group", "gender", "words"]].copy()
        experts = speechocean762.ratings(everything, aspect)
        part.insert(2, "target", aspect)
        part.insert(3, "rating", np.nanmedian(experts, axis=1))
        part.insert(4, "score", pd.Series(scores[:, j]).reindex(part.index))
        part["score_band"] = score_band(part["score"], adult=part["age_group"] == "adult")
        part["baseline_length"] = pd.Series(lengths[:, j]).reindex(part.index)
        part[[f"expert_{i + 1}" for i in range(experts.shape[1])]] = experts
        parts.append(part)
    return pd.concat(parts, ignore_index=True).round(PLACES)


def score_band(scores: pd.Series, *, adult: pd.Series) -> pd.Series:
    """`low`, `middle` or `high`: the thirds of adults' scores; missing without a score."""
    low, high = scores[adult].quantile([1 / 3, 2 / 3])
    band = np.select([scores <= low, scores <= high], BANDS[:2], BANDS[2])
    return pd.Series(band, index=scores.index).where(scores.notna())


def onnx_head(fitted: Pipeline, *, targets: int) -> bytes:
    """The fitted head as a graph: features (n, width) → points (n, targets)."""
    width = len(SPEECH.columns)
    graph = to_onnx(
        fitted,
        initial_types=[("features", FloatTensorType([None, width]))],
        final_types=[("points", FloatTensorType([None, targets]))],
        target_opset=18,
    )
    return bytes(graph.SerializeToString())


def judge(version: Path, data: Path, store: Path) -> list[Judged]:
    """Agreement of a version's folder with the experts of another folder, where both judge.

    Raises BadTable where no aspect of the version was rated.
    """
    manifest = read_manifest(version)
    config = configs.load("speech", SpeechRecipe)
    rated = examples(data, store, workers=config.workers)
    everyone = np.arange(len(rated.table))
    points = np.clip(head_points(version, manifest, rated.rows), 0, 100)
    scores = by_utterance(points, rated.owner, rated.durations_s, everyone)
    adult = (rated.table["age_group"] == "adult").to_numpy()
    people = {"all": everyone, "adults": np.flatnonzero(adult)}
    groups = {name: rows for name, rows in people.items() if len(rows)}
    medians = rated.median()
    names = [target.name for target in manifest.targets]
    if not set(names) & set(rated.aspects):
        raise BadTable(f"{data} rates {', '.join(rated.aspects)}; the version gives {names}")
    judged = []
    for aspect in (name for name in names if name in rated.aspects):
        j, rating = names.index(aspect), medians[:, rated.aspects.index(aspect)]
        for metric in (agreement.pearson, agreement.spearman, agreement.mae):
            for group, rows in groups.items():
                estimate = agreement.interval(
                    metric, rating[rows], scores[rows, j], by=rated.people[rows]
                )
                judged.append(Judged.of(metric.__name__, aspect, group, estimate))
    return judged
