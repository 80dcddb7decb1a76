"""Series of faces that nobody has, rated by raters that nobody is, by a rule that is known.

Two behaviours are planted as functions of the series alone: `eye_contact`, from the
share of the time with gaze toward the camera, and `liveliness`, from the mean smile
and the spread of head pitch. Raters see them through their severity and their noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import configs
from data.contract import EXPRESSION
from data.expression import ExpressionSeries, save_series, toward_camera
from data.face import ExpressionConfig

Floats = npt.NDArray[np.float64]

TARGETS = ("eye_contact", "liveliness")
RATE_HZ = 5.0
ITEMS = 2
"""Recordings a person."""
RATERS = 5
RATINGS_AN_ITEM = 3
SEVERITY_SD = 8.0
"""Points of 100, between raters."""
NOISE_SD = 8.0
"""Points of 100, between ratings of one rater."""


def simulate_ratings(folder: Path, n_people: int, seed: int) -> pd.DataFrame:
    """Writes ratings.csv and series/<item>.npz; returns the planted scores.

    The planted table has one row an item and target: person, item, target, score in
    points of 100. It is not written: a recipe could read it.
    """
    random = np.random.default_rng(seed)
    config = configs.load("expression_measures", ExpressionConfig)
    (folder / "series").mkdir(parents=True, exist_ok=True)
    rows = []
    for person in range(n_people):
        habit = random.normal(size=len(EXPRESSION.columns))
        for number in range(ITEMS):
            item = f"p{person:04d}-{number}"
            series = _series(habit, random)
            save_series(series, folder / "series" / f"{item}.npz")
            for target, score in zip(TARGETS, planted_scores(series, config), strict=True):
                rows.append((f"p{person:04d}", item, target, score))
    planted = pd.DataFrame(rows, columns=["person", "item", "target", "score"])
    _ratings(planted, random).to_csv(folder / "ratings.csv", index=False)
    return planted


def planted_scores(series: ExpressionSeries, config: ExpressionConfig) -> tuple[float, float]:
    """(eye_contact, liveliness) in points of 100, from the frames with a face."""
    seen = series.faces == 1
    gaze = toward_camera(series.column("gaze_yaw"), series.column("gaze_pitch"), config)
    smile = series.column("smile")[seen].mean()
    nodding = series.column("head_pitch")[seen].std()
    eye_contact = 20 + 65 * gaze[seen].mean()
    liveliness = 15 + 70 * smile + 3 * nodding
    return float(np.clip(eye_contact, 0, 100)), float(np.clip(liveliness, 0, 100))


def _series(habit: Floats, random: np.random.Generator) -> ExpressionSeries:
    """Fifteen to thirty seconds around a person's habit, with a gap now and then."""
    frames = int(random.uniform(15, 30) * RATE_HZ)
    level = 0.8 * habit + 0.6 * random.normal(size=len(habit))
    restless = np.exp(0.4 * random.normal(size=len(habit)))
    standard = level + restless * _wandering(frames, len(habit), random)
    values = np.column_stack(
        [_in_unit(standard[:, i], column.unit) for i, column in enumerate(EXPRESSION.columns)]
    )
    gaze = [values[:, EXPRESSION.names.index(name)] for name in ("gaze_yaw", "gaze_pitch")]
    values[:, EXPRESSION.names.index("camera_angle")] = np.hypot(*gaze)
    faces = np.ones(frames, dtype=np.int64)
    if random.random() < 0.5:
        start = int(random.integers(frames // 2))
        faces[start : start + int(random.uniform(1, 4) * RATE_HZ)] = 0
    values[faces == 0] = np.nan
    return ExpressionSeries.clear(
        np.arange(frames) / RATE_HZ,
        values,
        faces=faces,
        brightness=np.full(frames, 0.5),
        offered_hz=RATE_HZ,
        height=4320,  # so large that nobody's face is too small
    )


def _wandering(frames: int, width: int, random: np.random.Generator) -> Floats:
    """(frames, width) that keep nine tenths of the last value; SD about 1."""
    steps = random.normal(size=(frames, width)) * np.sqrt(1 - 0.9**2)
    for i in range(1, frames):
        steps[i] += 0.9 * steps[i - 1]
    return np.asarray(steps)


def _in_unit(standard: Floats, unit: str) -> Floats:
    """Angles with an SD of 10°, shares between 0 and 1."""
    return 10 * standard if unit == "deg" else 1 / (1 + np.exp(1 - standard))


def _ratings(planted: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Each item rated by some of the raters, whole numbers of 0 to 10 in points of 100."""
    severity = random.normal(0, SEVERITY_SD, RATERS)
    rows = []
    for (person, item), targets in planted.groupby(["person", "item"], sort=False):
        for rater in random.permutation(RATERS)[:RATINGS_AN_ITEM]:
            for target, score in zip(targets["target"], targets["score"], strict=True):
                seen = score - severity[rater] + random.normal(0, NOISE_SD)
                rating = 10 * float(np.clip(np.rint(seen / 10), 0, 10))
                rows.append((person, item, target, f"r{rater}", rating))
    return pd.DataFrame(rows, columns=["person", "item", "target", "rater", "rating"])
