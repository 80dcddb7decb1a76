"""`weights.json` of a registered version: how the scores of a job make one number.

A file a person can read: job -> predictor -> weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, TypeAdapter

from data.contract import Record

FEATURE_SET = "scores-1"
"""Identity of the predictors: named scores in points of 100, as a Scorecard has them."""


class JobWeights(Record):
    """Weights of one job.

    source : `chosen` by people, or `learned` from what became of those hired
    method : how they were learned; empty when chosen
    people : number of people learned from
    predictors : name -> weight per unit of (predictor − center) / scale; where
        predictors are scores, the weights are shares of the total and sum to 1
    center, scale : name -> value; one that is absent is 0, or 1
    """

    source: Literal["chosen", "learned"]
    method: str = ""
    people: int = Field(default=0, ge=0)
    predictors: dict[str, float]
    center: dict[str, float] = Field(default={})
    scale: dict[str, float] = Field(default={})

    def composite(self, predictors: pd.DataFrame) -> pd.Series:
        """Weighted sum of each row; a predictor the table does not have counts as 0.

        predictors : (people, predictors), missing values not allowed
        """
        table = predictors.reindex(columns=list(self.predictors), fill_value=0.0).astype(float)
        center = pd.Series(self.center, dtype=float).reindex(table.columns, fill_value=0.0)
        scale = pd.Series(self.scale, dtype=float).reindex(table.columns, fill_value=1.0)
        total: pd.Series = ((table - center) / scale) @ pd.Series(self.predictors, dtype=float)
        return total.rename("composite")


_FILE = TypeAdapter(dict[str, JobWeights])


def read_weights(path: Path) -> dict[str, JobWeights]:
    """Job -> weights. Raises pydantic.ValidationError on a file of another form."""
    return _FILE.validate_json(path.read_bytes())


def weights_json(weights: Mapping[str, JobWeights]) -> bytes:
    """The file's content, indented, numbers to six places."""
    rounded = {
        job: entry.model_copy(
            update={
                field: {name: round(value, 6) for name, value in getattr(entry, field).items()}
                for field in ("predictors", "center", "scale")
            }
        )
        for job, entry in weights.items()
    }
    return _FILE.dump_json(rounded, indent=2) + b"\n"
