"""siop2020 → one row a hire: assessment items, what became of the person, a group.

Source: Koenig and Thompson, SIOP machine learning competition 2020 (CC BY-SA 4.0).
The folder holds `hires.csv`. Everyone in it was hired, so ranges are restricted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.outcomes import BadTable

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
    return path.is_file() and "High_Performer" in pd.read_csv(path, nrows=0).columns


def read(folder: Path) -> Hired:
    """The hires of a folder of this form.

    Raises FileNotFoundError or BadTable naming what is missing.
    """
    path = folder / "hires.csv"
    if not path.is_file():
        raise FileNotFoundError(f"needed {path} (UNIQUE_ID, items, ratings, {OUTCOMES})")
    table = pd.read_csv(path, dtype={"UNIQUE_ID": str}).set_index("UNIQUE_ID")
    table.index.name = "person"
    items = [c for c in table.columns if c.startswith(ITEMS) and not c.endswith("_Time")]
    if absent := [c for c in (*RATINGS, *OUTCOMES) if c not in table.columns]:
        raise BadTable(f"{path} has no column {', '.join(absent)}; is it of siop2020's form?")
    if not items or table.index.has_duplicates:
        raise BadTable(f"{path} needs item columns ({', '.join(ITEMS)} …) and one row a person")
    given = table[items].astype("Int64").astype("string").fillna("none")
    high, retained, protected = (table[name].astype(bool) for name in OUTCOMES)
    return Hired(
        predictors=pd.get_dummies(given, prefix_sep="=", dtype=float),
        ratings=table[list(RATINGS)].astype(float),
        high_performer=high,
        retained=retained,
        protected=protected,
    )
