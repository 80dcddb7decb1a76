"""python -m evaluation: check the evidence of a version. Needs tables only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from data import console as program
from data.console import console

app = typer.Typer(
    help="Scorecards and outcomes → evidence.", no_args_is_help=True, add_completion=False
)


@app.callback()
def evaluation() -> None:
    """Scorecards and outcomes → evidence."""


@app.command()
def recompute(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Has card.json and predictions.csv."),
    ],
) -> None:
    """Print each metric of a version's card beside its value from predictions.csv.

    Exit code 1 when any differs by more than the rounding of predictions.csv.
    """
    from evaluation.audit import TOLERANCE, check

    rows = check(folder)
    table = Table(title=str(folder))
    for title in ("metric", "target", "slice", "card", "recomputed", ""):
        table.add_column(title, overflow="fold")
    for row in rows:
        metric = row.metric
        where = ", ".join(f"{column}={value}" for column, value in metric.slice.items())
        table.add_row(
            metric.type,
            metric.target,
            where or "all",
            _number(metric.value),
            _number(row.recomputed),
            "[red]differs[/red]" if row.differs else "",
        )
    Console().print(table)
    same = sum(row.recomputed is not None and not row.differs for row in rows)
    different = sum(row.differs for row in rows)
    others = len(rows) - same - different
    console.print(
        f"{same} recomputed the same (± {TOLERANCE:g}), {different} differ, {others} are not a "
        "function of predictions.csv"
    )
    if different:
        raise typer.Exit(1)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    program.run(app)
