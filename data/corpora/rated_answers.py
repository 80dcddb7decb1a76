"""Interview answers that people rated → one row an answer and rater, and one an answer.

`answers.csv` of a folder: person, question (of the bank), language (zh, en), answer (the words
as they were transcribed), rater, level (1 to 5, halves allowed).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from data.jobs import LANGUAGES, LEVELS, Bank, bank, points_of
from data.outcomes import BadTable, conformed, read_csv

FILE = "answers.csv"

_SCHEMA = pa.DataFrameSchema(
    {
        "person": pa.Column(str),
        "question": pa.Column(str),
        "language": pa.Column(str, pa.Check.isin(LANGUAGES)),
        "answer": pa.Column(str),
        "rater": pa.Column(str),
        "level": pa.Column(float, pa.Check.in_range(1, LEVELS)),
    },
    unique=["person", "question", "rater"],
    strict=True,
    coerce=True,
)


def read(folder: Path, found: Bank | None = None) -> pd.DataFrame:
    """One row an answer and rater.

    person, question_id, competency, language, question, references, anchors, answer, rater,
    level, writing (the same for one answer), item (the same for one answer)
    Raises FileNotFoundError or BadTable naming what is missing or wrong.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"needed {path} (columns {', '.join(_SCHEMA.columns)})")
    table = read_csv(path)
    if absent := set(_SCHEMA.columns) - set(table.columns):
        raise BadTable(f"{path} has no column {', '.join(sorted(absent))}")
    if table["answer"].isna().any():
        row = int(table["answer"].isna().to_numpy().argmax()) + 2
        raise BadTable(f"{path}, line {row}: no answer; leave out what nobody wrote down")
    table = conformed(table, _SCHEMA, path.name)
    texts = table.groupby(["person", "question"])["answer"].nunique()
    if (texts > 1).any():
        person, question = texts.index[texts > 1][0]
        raise BadTable(f"{path}: {person} has two different answers to {question}")
    return _described(table, found or bank(), path)


def _described(table: pd.DataFrame, found: Bank, path: Path) -> pd.DataFrame:
    known = {key: asked for job in found.jobs.values() for key, asked in job.questions.items()}
    if unknown := set(table["question"]) - set(known):
        raise BadTable(f"{path}: no question of the bank is called {', '.join(sorted(unknown))}")
    asked = [known[key] for key in table["question"]]
    languages = list(table["language"])
    pairs = list(zip(asked, languages, strict=True))
    written = table["question"] + "\n" + table["answer"].str.split().str.join(" ")
    writing = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in written]
    key = table["person"] + "\n" + table["question"]
    items = ["answer-" + hashlib.sha256(text.encode()).hexdigest()[:12] for text in key]
    return table.rename(columns={"question": "question_id"}).assign(
        competency=[one.competency for one in asked],
        question=[one.text[language] for one, language in pairs],
        references=pd.Series([one.comparisons(code) for one, code in pairs]),
        anchors=pd.Series(
            [found.competencies[one.competency].anchors(code) for one, code in pairs]
        ),
        rating=[points_of(level) for level in table["level"]],
        writing=writing,
        item=items,
    )
