"""speechocean762 → one row an utterance: read English of Mandarin speakers, five experts.

Source: Zhang et al., Interspeech 2021 (CC BY 4.0). The folder holds `ratings.csv`
(utt, speaker, age, gender, text, {aspect}_e1 … _e5 in 0–10) and `audio/<utt>.opus`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from data.outcomes import BadTable, conformed, read_csv

ASPECTS = ("fluency", "prosody", "accuracy", "total")
EXPERTS = (1, 2, 3, 4, 5)
ADULT_AGE = 18

_SCHEMA = pa.DataFrameSchema(
    {
        **{name: pa.Column(str) for name in ("utt", "speaker", "gender", "text")},
        "age": pa.Column(int),
        **{
            f"{aspect}_e{expert}": pa.Column(float, pa.Check.in_range(0, 10), nullable=True)
            for aspect in ASPECTS
            for expert in EXPERTS
        },
    },
    coerce=True,
)


def read(folder: Path) -> pd.DataFrame:
    """One row an utterance: item, person, age, gender, text, words, the experts' ratings.

    Ratings stay on the experts' scale, 0–10; one in five utterances has four of five.
    Raises FileNotFoundError or BadTable naming what the folder must hold, or what is wrong.
    """
    source = folder / "ratings.csv"
    if not source.is_file():
        raise FileNotFoundError(
            f"needed {source} (utt, speaker, age, gender, text, fluency_e1 …) and "
            f"{folder / 'audio'}"
        )
    table = read_csv(source)
    if absent := set(_SCHEMA.columns) - set(table.columns):
        raise BadTable(f"{source} has no column {', '.join(sorted(absent))}")
    table = conformed(table, _SCHEMA, source.name).rename(
        columns={"utt": "item", "speaker": "person"}
    )
    table["age_group"] = np.where(table["age"] >= ADULT_AGE, "adult", "child")
    table["words"] = [len(text.split()) for text in table["text"]]
    return table


def ratings(table: pd.DataFrame, aspect: str) -> npt.NDArray[np.float64]:
    """(utterances, experts) in points of 100; NaN where an expert did not rate."""
    columns = [f"{aspect}_e{expert}" for expert in EXPERTS]
    return table[columns].to_numpy(dtype=np.float64) * 10


def paths(table: pd.DataFrame, folder: Path) -> list[Path]:
    """The utterances' sound files, in the order of the table."""
    return [folder / "audio" / f"{item}.opus" for item in table["item"]]
