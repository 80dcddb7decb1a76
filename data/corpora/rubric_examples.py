"""The rubric's own example answers → one row an answer: question, references, anchors, level.

They are written by the rubric's author, not by candidates: they say what each level means,
and nothing of how people are spread over the levels.
"""

from __future__ import annotations

import hashlib

import pandas as pd

from data.jobs import LANGUAGES, Bank, bank, points_of


def read(found: Bank | None = None) -> pd.DataFrame:
    """One row an example and language.

    competency, language, question_id (key), question, references (tuple), anchors (tuple),
    answer, level (1 to 5), rating (the level in points of 100), writing and item (unique)
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
    table = pd.DataFrame(rows)
    written = table["question_id"] + "\n" + table["language"] + "\n" + table["answer"]
    table["writing"] = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in written]
    again = table.groupby("writing").cumcount().astype(str)
    return table.assign(item="rubric-" + table["writing"] + "-" + again)
