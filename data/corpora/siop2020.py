"""siop2020 → one row a hire: assessment items, what became of the person, a group.

Source: Koenig and Thompson, SIOP machine learning competition 2020 (CC BY-SA 4.0).
The folder holds `hires.csv`. Everyone in it was hired, so ranges are restricted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from data.outcomes import BadTable, conformed, read_csv

NAME = "siop2020"

ITEMS = ("SJ_Most_", "SJ_Least_", "Scenario", "Biodata_", "PScale")
"""Prefixes of the items. Times to answer are left out: the weights do no better with
them (accuracy part 59.2 with and without, five repeats of five folds), and they would
count against whoever was granted more time."""

RATINGS = ("Overall_Rating", "Technical_Skills", "Teamwork", "Customer_Service", "Hire_Again")
OUTCOMES = ("High_Performer", "Retained", "Protected_Group")


@dataclass(frozen=True)
class Hired:
    """People in the same order everywhere; the index is the person.

    predictors : one column an item and answer, named `Biodata_03=5` or
        `Biodata_03=none`, 1 where it was given
    ratings : five supervisor ratings, 1 to 5
    high_performer, retained, protected : True or False
    """

    predictors: pd.DataFrame
    ratings: pd.DataFrame
    high_performer: pd.Series
    retained: pd.Series
    protected: pd.Series


def is_here(folder: Path) -> bool:
    """Whether the folder's hires.csv is of this corpus."""
    path = folder / "hires.csv"
    return path.is_file() and "High_Performer" in read_csv(path).columns


def read(folder: Path) -> Hired:
    """The hires of a folder of this form.

    Raises FileNotFoundError or BadTable naming what is missing or wrong.
    """
    path = folder / "hires.csv"
    if not path.is_file():
        raise FileNotFoundError(f"needed {path} (UNIQUE_ID, items, ratings, {OUTCOMES})")
    table = read_csv(path)
    items = [c for c in table.columns if c.startswith(ITEMS) and not c.endswith("_Time")]
    if absent := [c for c in ("UNIQUE_ID", *RATINGS, *OUTCOMES) if c not in table.columns]:
        raise BadTable(f"{path} has no column {', '.join(absent)}; is it of siop2020's form?")
    if not items or table["UNIQUE_ID"].duplicated().any():
        raise BadTable(f"{path} needs item columns ({', '.join(ITEMS)} …) and one row a person")
    table = conformed(table, _schema(items), path.name).set_index("UNIQUE_ID")
    table.index.name = "person"
    given = table[items].astype("Int64").astype("string").fillna("none")
    high, retained, protected = (table[name].astype(bool) for name in OUTCOMES)
    return Hired(
        predictors=pd.get_dummies(given, prefix_sep="=", dtype=float),
        ratings=table[list(RATINGS)],
        high_performer=high,
        retained=retained,
        protected=protected,
    )


def _schema(items: list[str]) -> pa.DataFrameSchema:
    whole = pa.Check(lambda answers: answers % 1 == 0, error="whole number")
    return pa.DataFrameSchema(
        {
            "UNIQUE_ID": pa.Column(str),
            **{name: pa.Column(float, whole, nullable=True) for name in items},
            **{name: pa.Column(float, nullable=True) for name in RATINGS},
            **{name: pa.Column("boolean") for name in OUTCOMES},
        },
        coerce=True,
    )
