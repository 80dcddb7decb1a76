"""Chinese short answers → one row an answer: question, references, human score.

Source: Lai et al. 2024 (Apache-2.0): answers to a data-structures course (`ads.csv`,
0–10) and a logistics course (`le.csv`, 0–1). No column says who wrote an answer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from data.outcomes import BadTable, conformed, read_csv

SCALES = {"ads": 10.0, "le": 1.0}
"""Highest score of each file."""

_NEEDED = {"q_id", "question", "answer", "score"}


def read(folder: Path) -> pd.DataFrame:
    """One row an answer of a folder that holds ads.csv and le.csv.

    corpus (`ads`, `le`), question_id (unique over both), question, references (tuple),
    answer (empty where nothing was written), rating in points of 100, writing (the same
    for identical answers to one question), item (unique).
    Raises FileNotFoundError or BadTable naming what is missing or wrong.
    """
    rows = pd.concat([_file(folder, corpus) for corpus in SCALES], ignore_index=True)
    written = rows["question_id"] + "\n" + rows["answer"].str.split().str.join(" ")
    rows["writing"] = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in written]
    again = rows.groupby("writing").cumcount().astype(str)
    rows["item"] = rows["writing"] + "-" + again
    return rows


def _file(folder: Path, corpus: str) -> pd.DataFrame:
    path = folder / f"{corpus}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"needed {path} (columns {', '.join(sorted(_NEEDED))}, reference…)")
    table = read_csv(path)
    references = [column for column in table.columns if column.startswith("reference")]
    if absent := (_NEEDED - set(table.columns)) or ({"reference"} if not references else set()):
        raise BadTable(f"{path} has no column {', '.join(sorted(absent))}")
    table = conformed(table, _schema(SCALES[corpus]), path.name)
    return pd.DataFrame(
        {
            "corpus": corpus,
            "question_id": corpus + "-" + table["q_id"],
            "question": table["question"],
            "references": [_written(row) for row in table[references].to_numpy()],
            "answer": table["answer"].fillna(""),
            "rating": table["score"] * 100 / SCALES[corpus],
        }
    )


def _schema(highest: float) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            "q_id": pa.Column(str),
            "question": pa.Column(str),
            "answer": pa.Column(str, nullable=True),
            "score": pa.Column(float, pa.Check.in_range(0, highest)),
        },
        coerce=True,
    )


def _written(cells: object) -> tuple[str, ...]:
    return tuple(cell for cell in cells if isinstance(cell, str) and cell.strip())  # type: ignore[attr-defined]
