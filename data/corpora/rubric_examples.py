"""The rubric's own example answers → one row an answer: question, references, anchors, level.

They are written by the rubric's author, not by candidates: they say what each level means,
and nothing of how people are spread over the levels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

from data.jobs import LANGUAGES, Bank, bank, points_of
from data.text import joined


def read(found: Bank | None = None) -> pd.DataFrame:
    """One row an example and language.

    competency, language, question_id (key), question, references (tuple), anchors (tuple),
    answer, level (1 to 5), rating (the level in points of 100), words_of (the competency),
    writing and item (unique)
    """
    found = found or bank()
    rows = [
        {
            "competency": name,
            "language": language,
            "question_id": example.question,
            "question": found.asked(example.question).text[language],
            "references": found.asked(example.question).comparisons(language),
            "anchors": competency.anchors(language),
            "answer": example[language],
            "level": level,
            "rating": points_of(level),
        }
        for name, competency in found.competencies.items()
        for level, described in enumerate(competency.levels, start=1)
        for example in described.examples
        for language in LANGUAGES
    ]
    return _named(pd.DataFrame(rows).assign(words_of=lambda table: table["competency"]))


def contrasts(padding: Mapping[str, Sequence[str]], found: Bank | None = None) -> pd.DataFrame:
    """The same rows as of `read` for answers that must not gain by what they are not.

    Each example with words that add nothing, at its own level; and each given to a question of
    the next competency, at level 1. First all of those, in the order of `read`, then all of these.

    made : `padded` or `elsewhere`; words_of : the competency whose example it is

    padding : language -> sentences, taken in turn
    """
    found = found or bank()
    table = read(found).reset_index(drop=True)
    turn = table.groupby("language").cumcount()
    padded = [
        joined([answer, padding[code][i % len(padding[code])]])
        for answer, code, i in zip(table["answer"], table["language"], turn, strict=True)
    ]
    names = list(found.competencies)
    after = dict(zip(names, [*names[1:], names[0]], strict=True))
    asked = table.drop_duplicates(["competency", "language"]).set_index(["competency", "language"])
    elsewhere = table.assign(
        competency=table["competency"].map(after), level=1, rating=points_of(1)
    )
    places = pd.MultiIndex.from_frame(elsewhere[["competency", "language"]])
    for column in ("question_id", "question", "references", "anchors"):
        elsewhere[column] = asked[column].loc[places].to_numpy()
    longer = table.assign(answer=padded, made="padded")
    return _named(pd.concat([longer, elsewhere.assign(made="elsewhere")], ignore_index=True))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With `writing`, of what is asked and answered, and `item`."""
    written = table["question_id"] + "\n" + table["language"] + "\n" + table["answer"]
    writing = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in written]
    again = pd.Series(writing).groupby(writing).cumcount().astype(str)
    return table.assign(
        writing=writing, item=[f"rubric-{w}-{n}" for w, n in zip(writing, again, strict=True)]
    )
