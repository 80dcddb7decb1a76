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


HEADLINES = ("value", "ratio", "median", "factor", "half_width")
"""Of a row's numbers the one that is shown where none differs."""


@app.command()
def recompute(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Has card.json and predictions.csv."),
    ],
) -> None:
    """Print the rows of a version's card beside their numbers from predictions.csv.

    Value, interval, n, baselines, human ceiling, half width, coverage, impact ratios. Exit
    code 1 when any differs.
    """
    from evaluation.audit import TOLERANCE, check

    rows = check(folder)
    table = Table(title=str(folder))
    for title in ("row", "target", "slice", "card", "recomputed", "differs"):
        table.add_column(title, overflow="fold")
    for row in rows:
        where = ", ".join(f"{column}={value}" for column, value in row.where.items())
        headline = next((name for name in HEADLINES if name in row.stated), HEADLINES[0])
        shown = row.differences[0] if row.differences else headline
        table.add_row(
            row.name,
            row.target,
            where or "all",
            _number(row.stated.get(shown)),
            _number((row.recomputed or {}).get(shown)),
            f"[red]{', '.join(row.differences)}[/red]",
        )
    Console().print(table)
    open_rows = sorted({row.name for row in rows if row.recomputed is None})
    different = sum(bool(row.differences) for row in rows)
    same = sum(row.recomputed is not None for row in rows) - different
    console.print(
        f"{same} rows recomputed the same (every number ± {TOLERANCE:g}), {different} differ. Not "
        f"a function of predictions.csv: {', '.join(open_rows) or 'no row'}; nor are the card's "
        "prose, its counts of people, its abstentions and the limits they come from."
    )
    if different:
        raise typer.Exit(1)


@app.command()
def items(
    answers: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV: person, question, score; rater, answered_on if known.",
        ),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the page and tables.")],
    groups: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV: person, attribute, group."),
    ] = None,
) -> None:
    """Judge questions: difficulty, discrimination, exposure, wear, fairness to groups.

    Writes items.html, questions.csv, differences.csv, raters.csv and people.csv, whose scores
    are freed of how hard the questions and how severe the raters were. Limits: configs/items.yaml.
    """
    from data.outcomes import read_csv
    from evaluation.items import items as judged
    from evaluation.items import items_page

    declared = read_csv(groups) if groups else None
    with console.status("fitting people, questions and raters"):
        found = judged(read_csv(answers), declared)
    out.mkdir(parents=True, exist_ok=True)
    found.questions.to_csv(out / "questions.csv", index=False)
    found.differences.to_csv(out / "differences.csv", index=False)
    found.facets.raters.to_csv(out / "raters.csv", index_label="rater")
    found.facets.people.to_csv(out / "people.csv", index_label="person")
    (out / "items.html").write_text(items_page(found), encoding="utf-8")
    for row in found.questions[found.questions["verdict"] == "retire"].to_dict("records"):
        console.print(f"retire {row['question']}: {row['reasons']}")
    console.print(f"{len(found.questions)} questions judged; look at {out}/items.html")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    program.run(app)
