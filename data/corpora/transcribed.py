"""Recordings with what is said in them → one row a clip.

A folder is read in one of three forms:

- `transcripts.csv`: file, speaker, transcript.
- a manifest as Common Voice has it, `test.tsv` or else `validated.tsv` or the only `*.tsv`:
  client_id, path, sentence; the files lie in `clips/`.
- rated speech that `speechocean762.read` takes, where it gives the text.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from data.corpora import speechocean762
from data.outcomes import BadTable, conformed, read_csv

MANIFESTS = ("test.tsv", "validated.tsv")
"""Of several, the first of these: what recognisers in general were not trained on."""

_SCHEMA = pa.DataFrameSchema(
    {name: pa.Column(str) for name in ("path", "person", "text")}, coerce=True
)


def read(folder: Path) -> pd.DataFrame:
    """One row a clip: path (absolute), person, text; clips without a text are left out.

    Raises FileNotFoundError or BadTable naming what the folder must hold, or what is wrong.
    """
    if (source := folder / "transcripts.csv").is_file():
        names = {"file": "path", "speaker": "person", "transcript": "text"}
        return _table(read_csv(source), names, source, folder)
    if manifest := _manifest(folder):
        names = {"path": "path", "client_id": "person", "sentence": "text"}
        return _table(_tabbed(manifest), names, manifest, folder / "clips")
    try:
        table = speechocean762.read(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"needed {folder / 'transcripts.csv'} (file, speaker, transcript), a Common Voice "
            f"manifest (*.tsv, clips/) or rated speech in {folder}, found none"
        ) from error
    return table.loc[table["text"] != "", ["path", "person", "text"]].reset_index(drop=True)


def _manifest(folder: Path) -> Path | None:
    found = sorted(folder.glob("*.tsv"))
    named = [folder / name for name in MANIFESTS if (folder / name).is_file()]
    if named or len(found) < 2:
        return next(iter([*named, *found]), None)
    names = ", ".join(path.name for path in found)
    raise BadTable(f"{folder} holds {names}; none is {' or '.join(MANIFESTS)}")


def _tabbed(source: Path) -> pd.DataFrame:
    """A quotation mark in a sentence is a character like any other."""
    try:
        return pd.read_csv(
            source, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise BadTable(f"{source.name}: {error}") from error


def _table(table: pd.DataFrame, names: dict[str, str], source: Path, sounds: Path) -> pd.DataFrame:
    if absent := set(names) - set(table):
        raise BadTable(f"{source} has no column {', '.join(sorted(absent))}")
    told = conformed(table[list(names)].rename(columns=names), _SCHEMA, source.name)
    told["path"] = [str(sounds.resolve() / path) for path in told["path"]]
    return told[told["text"].str.strip() != ""].reset_index(drop=True)
