"""Agreement of the starter versions with human ratings, computed again from their predictions."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
from rich.table import Table

from bench.measure import ROOT, console
from data.registry import PREDICTIONS
from evaluation.agreement import Estimate, human_ceiling, interval, pearson

STARTER = ROOT / "training" / "starter"

SPEECH_GOALS = {("fluency", "all"): 0.85, ("prosody", "all"): 0.84}
SPEECH_SLICES: dict[str, dict[str, str]] = {"all": {}, "adults": {"age_group": "adult"}}

COMPETENCY_GOALS = {("ads", "by answer"): 0.75}
COMPETENCY_SLICES = {
    "by answer": {"split": "known_question"},
    "by unseen question": {"split": "unseen_question"},
}
"""By answer: the head learned other answers to the same question. Serving asks unseen ones."""

DRAWN = {"by answer": "person", "by unseen question": "question"}
"""What an interval draws with replacement: for unseen questions whole questions."""


def speech() -> dict[str, object]:
    """Print and return r with the experts' median on held-out people, beside one expert.

    Raises FileNotFoundError where the starter version is not there.
    """
    predictions = _predictions("speech")
    experts = sorted(column for column in map(str, predictions) if column.startswith("expert_"))
    table = _table("speech: r with the experts' median", "one expert against the others")
    rows = []
    for target in predictions["target"].unique():
        for title, wanted in SPEECH_SLICES.items():
            chosen = _chosen(predictions, {"target": target, **wanted})
            by = chosen["person"].to_numpy(str)
            found = interval(pearson, chosen["rating"], chosen["score"], by=by)
            ceiling = human_ceiling(chosen[experts].to_numpy(float), by=by)
            goal = SPEECH_GOALS.get((target, title))
            people = chosen["person"].nunique()
            table.add_row(target, title, *_cells(found, people, goal), _shown(ceiling))
            rows.append(
                {
                    "target": target,
                    "slice": title,
                    **_row(found, people, goal),
                    "human_ceiling": asdict(ceiling),
                }
            )
    console.print(table)
    return {"metric": "pearson", "rows": rows}


def competency() -> dict[str, object]:
    """Print and return r with the human score, by answer and by unseen question.

    Each value stands beside the simpler predictors of the same folds.
    Raises FileNotFoundError where the starter version is not there.
    """
    predictions = _predictions("competency")
    # A constant has no correlation.
    simpler = [
        c for c in map(str, predictions) if c.startswith("baseline_") and c != "baseline_mean"
    ]
    names = [column.removeprefix("baseline_") for column in simpler]
    table = _table("competency: r with the human score", *names)
    rows = []
    for corpus in predictions["corpus"].unique():
        for title, wanted in COMPETENCY_SLICES.items():
            chosen = _chosen(predictions, {"corpus": corpus, **wanted})
            by = chosen[DRAWN[title]].to_numpy(str)
            found = interval(pearson, chosen["rating"], chosen["score"], by=by)
            beside = [pearson(chosen["rating"], chosen[column]) for column in simpler]
            goal, drawn = COMPETENCY_GOALS.get((corpus, title)), chosen[DRAWN[title]].nunique()
            shown = [f"{value:.3f}" for value in beside]
            table.add_row(corpus, title, *_cells(found, drawn, goal), *shown)
            baselines = dict(zip(names, beside, strict=True))
            row = {"corpus": corpus, "slice": title, **_row(found, drawn, goal)}
            rows.append({**row, "baselines": baselines})
    console.print(table)
    return {"metric": "pearson", "rows": rows}


def _predictions(name: str) -> pd.DataFrame:
    return pd.read_csv(STARTER / name / PREDICTIONS, dtype={"person": str, "item": str})


def _chosen(predictions: pd.DataFrame, wanted: dict[str, str]) -> pd.DataFrame:
    for column, value in wanted.items():
        predictions = predictions[predictions[column] == value]
    return predictions


def _table(title: str, *beside: str) -> Table:
    table = Table(title=f"{title}, 95 % interval")
    for heading in ("target", "slice", "r", "responses", "drawn", "goal", *beside):
        table.add_column(heading, overflow="fold")
    return table


def _cells(found: Estimate, drawn: int, goal: float | None) -> tuple[str, str, str, str]:
    return _shown(found), str(found.n), str(drawn), f"≥ {goal:.2f}" if goal else ""


def _row(found: Estimate, drawn: int, goal: float | None) -> dict[str, object]:
    return {**asdict(found), "drawn": drawn, "goal": goal}


def _shown(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
