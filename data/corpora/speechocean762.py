"""Rated speech → one row an utterance, in the forms that speechocean762 and users' folders have.

speechocean762 is read English of Mandarin speakers, rated by five experts; source: Zhang et
al., Interspeech 2021 (CC BY 4.0). A folder is read in one of two forms:

- `ratings.csv`: utt, speaker, age or age_group, ratings of 0 to 10 by any number of experts
  ({aspect}_e1, {aspect}_e2 …), and if you have them gender, text and path (of the sound file
  in the folder; without it the file is `audio/<utt>.opus`).
- as published: `train` or `test` with wav.scp, text, utt2spk, spk2age and spk2gender, and
  beside them `resource/scores-detail.json` (each expert) or `scores.json` (their median).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from data.outcomes import BadTable, conformed, read_csv

ASPECTS = ("fluency", "prosody", "accuracy", "total")
"""In the order of a head's outputs; a folder may rate some of them."""

ADULT_AGE = 18

RATING = re.compile(rf"({'|'.join(ASPECTS)})_e([1-9]\d*)")

PUBLISHED = ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")
"""Tables of a published part, one line an utterance or a speaker."""

SCORES = ("scores-detail.json", "scores.json")
"""In `resource`, the best first."""

PROSODIC = {"prosodic": "prosody"}
"""Aspects that the published files call otherwise."""


def read(folder: Path) -> pd.DataFrame:
    """One row an utterance: item, person, path, age_group, gender, text, words, ratings.

    Ratings stay on the experts' scale, 0–10; an expert may have left some out.
    path : absolute. gender, text : empty where the folder does not say
    Raises FileNotFoundError or BadTable naming what the folder must hold, or what is wrong.
    """
    if (folder / "ratings.csv").is_file():
        table = _own(folder)
    elif (folder / "wav.scp").is_file():
        table = _published(folder)
    elif parts := [part for part in ("train", "test") if (folder / part / "wav.scp").is_file()]:
        named = " or ".join(str(folder / part) for part in parts)
        raise BadTable(f"{folder} holds several parts; name one of them: {named}")
    else:
        raise FileNotFoundError(
            f"needed {folder / 'ratings.csv'} (utt, speaker, age, fluency_e1 …) or "
            f"{folder / 'wav.scp'} of the published corpus, found neither"
        )
    table["words"] = [len(text.split()) for text in table["text"]]
    return table


def aspects(table: pd.DataFrame) -> tuple[str, ...]:
    """What was rated, in the order of ASPECTS."""
    rated = {found[1] for name in map(str, table) if (found := RATING.fullmatch(name))}
    return tuple(aspect for aspect in ASPECTS if aspect in rated)


def ratings(table: pd.DataFrame, aspect: str) -> npt.NDArray[np.float64]:
    """(utterances, experts) in points of 100; NaN where an expert did not rate."""
    found = [match for name in map(str, table) if (match := RATING.fullmatch(name))]
    columns = {int(match[2]): match[0] for match in found if match[1] == aspect}
    return table[[columns[expert] for expert in sorted(columns)]].to_numpy(dtype=np.float64) * 10


def paths(table: pd.DataFrame) -> list[Path]:
    """The utterances' sound files, in the order of the table."""
    return [Path(path) for path in table["path"]]


# --- ratings.csv ---------------------------------------------------------------------------


def _own(folder: Path) -> pd.DataFrame:
    source = folder / "ratings.csv"
    table = read_csv(source)
    rated = [name for name in map(str, table) if RATING.fullmatch(name)]
    needed = {"utt", "speaker"} - set(table)
    if not {"age", "age_group"} & set(table):
        needed.add("age (or age_group: adult, child)")
    if not rated:
        needed.add("fluency_e1 (or another rating)")
    if needed:
        raise BadTable(f"{source} has no column {', '.join(sorted(needed))}")
    table = conformed(table, _schema(table, rated), source.name)
    if "age_group" not in table:
        table["age_group"] = _age_group(table["age"])
    if "path" not in table:
        table["path"] = "audio/" + table["utt"] + ".opus"
    table["path"] = [str(folder.resolve() / path) for path in table["path"]]
    for name in ("gender", "text"):
        table[name] = table[name].fillna("") if name in table else ""
    return table.rename(columns={"utt": "item", "speaker": "person"})


def _schema(table: pd.DataFrame, rated: list[str]) -> pa.DataFrameSchema:
    columns: dict[str, Any] = {
        "utt": pa.Column(str, unique=True),
        "speaker": pa.Column(str),
        "age": pa.Column(int, pa.Check.in_range(0, 120), required=False),
        "age_group": pa.Column(str, pa.Check.isin(["adult", "child"]), required=False),
        "path": pa.Column(str, required=False),
        **{name: pa.Column(str, nullable=True, required=False) for name in ("gender", "text")},
        **{name: pa.Column(float, pa.Check.in_range(0, 10), nullable=True) for name in rated},
    }
    return pa.DataFrameSchema(columns, coerce=True)


def _age_group(ages: pd.Series) -> npt.NDArray[np.str_]:
    return np.where(ages >= ADULT_AGE, "adult", "child")


# --- as published --------------------------------------------------------------------------


def _published(folder: Path) -> pd.DataFrame:
    root = folder.resolve().parent
    for name in PUBLISHED:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"needed {folder / name} of the published corpus")
    spoken, said = _pairs(folder / "utt2spk"), _pairs(folder / "text")
    ages, genders = _pairs(folder / "spk2age"), _pairs(folder / "spk2gender")
    scores, source = _scores(root / "resource")
    rows = []
    for utt, path in _pairs(folder / "wav.scp").items():
        try:
            speaker = spoken[utt]
            row = {
                "item": utt,
                "person": speaker,
                "age": int(ages[speaker]),
                "gender": genders[speaker],
                "text": said[utt].lower(),
                "path": str(root / path),
                **dict(_rated(scores[utt])),
            }
        except (KeyError, ValueError, TypeError) as error:
            raise BadTable(f"{folder} and {source.name} do not tell of {utt}: {error}") from error
        rows.append(row)
    table = pd.DataFrame(rows)
    table["age_group"] = _age_group(table["age"])
    return table


def _pairs(path: Path) -> dict[str, str]:
    """Lines of a key and its value, which may hold spaces."""
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {line[0]: line[1].strip() if len(line) > 1 else "" for line in lines if line}


def _scores(resource: Path) -> tuple[dict[str, Any], Path]:
    for name in SCORES:
        if (resource / name).is_file():
            try:
                return json.loads((resource / name).read_text(encoding="utf-8")), resource / name
            except ValueError as error:
                raise BadTable(f"{resource / name}: {error}") from error
    raise FileNotFoundError(f"needed {resource / SCORES[0]} or {SCORES[1]}, found neither")


def _rated(scores: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Column and rating; one number where the file holds only the median."""
    for name, given in scores.items():
        aspect = PROSODIC.get(name, name)
        if aspect in ASPECTS:
            for expert, rating in enumerate(given if isinstance(given, list) else [given], 1):
                yield f"{aspect}_e{expert}", float(rating)
