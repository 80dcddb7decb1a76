"""What became of candidates: scores, ratings, hires, performance, promotions, groups.

Each is one CSV in one folder, checked at the door. A candidate is an opaque
`person` reference throughout; no table holds a name. `read_csv` and `conformed` are
the door of every other table too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import pandera.pandas as pa


def _table(unique: list[str], **columns: pa.Column) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, unique=unique, strict=True, coerce=True)


_TEXT = pa.Column(str)
_POINTS = pa.Column(float, pa.Check.in_range(0, 100), description="points of 100")

RATINGS = _table(
    ["person", "item", "target", "rater"],
    person=_TEXT,
    item=pa.Column(str, description="response that was rated"),
    target=pa.Column(str, description="competency, fluency …"),
    rater=_TEXT,
    rating=_POINTS,
)
"""One row: one human's rating of one target of one response."""

SCORES = _table(
    ["person", "job", "name"],
    person=_TEXT,
    job=_TEXT,
    name=pa.Column(str, description="competency or aspect"),
    score=_POINTS,
)
"""One row: one score a candidate got in the process: what weights combine."""

HIRES = _table(
    ["person", "job"],
    person=_TEXT,
    job=_TEXT,
    decided_on=pa.Column("datetime64[ns]"),
    hired=pa.Column("boolean"),
    retained=pa.Column("boolean", nullable=True),
)
"""One row: one decision about one candidate.

retained : still employed at the employer's date; missing where not hired or not yet known
"""

PERFORMANCE = _table(
    ["person", "period", "rater"],
    person=_TEXT,
    period=_TEXT,
    rater=_TEXT,
    rating=pa.Column(float),
)
"""One row: one supervisor's rating of one employee for one period, on the employer's scale."""

PROMOTIONS = _table(
    ["person", "grade"],
    person=_TEXT,
    promoted_on=pa.Column("datetime64[ns]"),
    grade=pa.Column(int, pa.Check.ge(2), description="grade after it; hired at 1"),
)
"""One row: one promotion."""

GROUPS = _table(
    ["person", "attribute"],
    person=_TEXT,
    attribute=pa.Column(str, description="gender, age_group, ethnicity …"),
    group=_TEXT,
)
"""One row: one declared attribute of one person. Who declared nothing has no row.

Read when weights are learned and in audits, never when a person is scored.
"""

SCHEMAS: Mapping[str, pa.DataFrameSchema] = {
    "scores": SCORES,
    "ratings": RATINGS,
    "hires": HIRES,
    "performance": PERFORMANCE,
    "promotions": PROMOTIONS,
    "groups": GROUPS,
}


class BadTable(ValueError):
    """A table that breaks its schema; the message names file, column and rows."""


@dataclass(frozen=True)
class Outcomes:
    """The checked tables; one that was not given is empty with its columns."""

    scores: pd.DataFrame
    ratings: pd.DataFrame
    hires: pd.DataFrame
    performance: pd.DataFrame
    promotions: pd.DataFrame
    groups: pd.DataFrame

    def write(self, folder: Path) -> None:
        """One CSV a table, as `read` takes them."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            getattr(self, field.name).to_csv(folder / f"{field.name}.csv", index=False)


def read(folder: Path) -> Outcomes:
    """The tables in the folder; a file that is absent is an empty table.

    Raises FileNotFoundError if the folder has none of them, BadTable if one breaks
    its schema.
    """
    found = {name: folder / f"{name}.csv" for name in SCHEMAS}
    if not any(path.is_file() for path in found.values()):
        raise FileNotFoundError(
            f"needed at least one of {', '.join(p.name for p in found.values())} in {folder}, "
            "found none"
        )
    return checked({name: read_csv(path) for name, path in found.items() if path.is_file()})


def checked(tables: Mapping[str, pd.DataFrame]) -> Outcomes:
    """The tables with their columns in order and of the right type.

    Raises BadTable on an unknown table, a broken schema, or performance or
    promotions of someone the hires do not list as hired.
    """
    if unknown := set(tables) - set(SCHEMAS):
        raise BadTable(f"unknown table {', '.join(sorted(unknown))}; known: {', '.join(SCHEMAS)}")
    outcomes = Outcomes(**{name: _checked(name, tables.get(name)) for name in SCHEMAS})
    if len(outcomes.hires):
        hired = outcomes.hires.loc[outcomes.hires["hired"], "person"]
        for name in ("performance", "promotions"):
            strangers = set(getattr(outcomes, name)["person"]) - set(hired)
            if strangers:
                raise BadTable(
                    f"{name}.csv: {len(strangers)} people are not hired in hires.csv, "
                    f"e.g. {min(strangers)}"
                )
    return outcomes


def read_csv(path: Path) -> pd.DataFrame:
    """Every cell as the text it is (`007`, `NA`, `None`), an empty one missing.

    In UTF-8, or else in GB18030, as Excel writes CSV in China.
    Raises BadTable naming the file, FileNotFoundError.
    """
    try:
        table = _decoded(path, "utf-8-sig")
    except UnicodeDecodeError:
        try:
            table = _decoded(path, "gb18030")
        except UnicodeDecodeError as error:
            raise BadTable(
                f"{path.name} is text in neither UTF-8 nor GB18030; save it as “CSV UTF-8”"
            ) from error
    if len(table) and not isinstance(table.index, pd.RangeIndex):
        raise BadTable(f"{path.name}: its rows have more cells than its first line has names")
    return table


def conformed(table: pd.DataFrame, schema: pa.DataFrameSchema, source: str) -> pd.DataFrame:
    """The table with the types of its schema; columns the schema does not name stay.

    A boolean is true, false, 1 or 0. Raises BadTable naming `source`, column and rows.
    """
    flags = [name for name, column in schema.columns.items() if str(column.dtype) == "boolean"]
    clear = {name: table[name].map(_boolean) for name in flags if name in table}
    try:
        return schema.validate(table.assign(**clear), lazy=True)
    except pa.errors.SchemaErrors as error:
        raise BadTable(f"{source}: {_first(error.failure_cases)}") from error


def _decoded(path: Path, encoding: str) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, na_values=[""], encoding=encoding
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise BadTable(f"{path.name}: {error}") from error


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
"""1.0 is how pandas writes a 1 in a column with gaps."""


def _boolean(cell: object) -> object:
    """True or False where the cell says so clearly, else the cell, for the schema to refuse."""
    return _BOOLEANS.get(str(cell).lower(), cell)


def _checked(name: str, table: pd.DataFrame | None) -> pd.DataFrame:
    schema = SCHEMAS[name]
    if table is None:
        table = pd.DataFrame({column: [] for column in schema.columns})
    columns = list(schema.columns)
    return conformed(table, schema, f"{name}.csv")[columns].reset_index(drop=True)


def _first(failures: pd.DataFrame) -> str:
    described = [
        f"{row['column'] or 'table'}: {row['check']} fails for {row['failure_case']!r}"
        + ("" if pd.isna(row["index"]) else f" in row {int(row['index']) + 2}")
        for row in failures.head(3).to_dict("records")
    ]
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return "; ".join(described) + more
