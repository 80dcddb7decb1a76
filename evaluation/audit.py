"""A version's folder checked against itself: its card, computed again from its predictions.

Needs card.json and predictions.csv and nothing of what made them, so an auditor needs
neither the model nor the libraries it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from data.contract import ContractMismatch
from data.registry import CARD, PREDICTIONS
from evaluation.card import FORMULAS, Card, Metric, recompute

TOLERANCE = 0.0006
"""predictions.csv holds four places: its rounding moves no metric by more."""


@dataclass(frozen=True)
class Checked:
    """One metric of the card beside its value computed again.

    recomputed : None where the metric is not a function of the predictions
    """

    metric: Metric
    recomputed: float | None

    @property
    def differs(self) -> bool:
        """True where the card states what the predictions do not show."""
        stated = self.metric.value
        if stated is None:
            return self.recomputed is not None
        if self.recomputed is None:
            return self.metric.type in FORMULAS
        return not abs(stated - self.recomputed) <= TOLERANCE


def check(folder: Path) -> list[Checked]:
    """Every metric of the card in the folder of a version.

    Raises ContractMismatch when card or predictions are absent or cannot be read.
    """
    rows = recompute(_predictions(folder / PREDICTIONS), _card(folder / CARD))
    return [Checked(metric, value) for metric, value in rows]


def _card(path: Path) -> Card:
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ContractMismatch(f"{path} is no card that this code can read: {error}") from error


def _predictions(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"person": str, "item": str, "target": str})
    except (OSError, ValueError) as error:
        raise ContractMismatch(f"{path} is no table of predictions: {error}") from error
    if absent := {"person", "item", "target", "rating", "score"} - set(table.columns):
        raise ContractMismatch(f"{path} has no column {', '.join(sorted(absent))}")
    return table
