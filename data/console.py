"""How the programs of every folder speak: results to stdout, all else to stderr."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console
from rich.text import Text

from data.assets import AssetUnavailable
from data.contract import ContractMismatch, TooFewPeople, UndefinedMetric, UnusableRecording
from data.outcomes import BadTable
from data.system import SystemLibraryMissing

console = Console(stderr=True, soft_wrap=True, highlight=False)
"""For progress, summaries and errors; a sentence stays one line, whatever the width."""

EXPECTED = (
    *(AssetUnavailable, BadTable, ContractMismatch, FileNotFoundError),
    *(SystemLibraryMissing, TooFewPeople, UndefinedMetric, UnusableRecording),
)
"""What a wrong file, table or version raises, or a machine that lacks something; anything else
is a defect of ours."""


def run(
    app: typer.Typer,
    arguments: list[str] | None = None,
    *,
    expected: Callable[[], tuple[type[Exception], ...]] = tuple,
) -> None:
    """The program, with one red line and exit code 1 where an expected error ends it.

    arguments : those of the command line when None
    expected : gives the folder's own exceptions; called only when one is raised, since
        some are defined by libraries that take seconds to import
    """
    try:
        app(arguments)
    except Exception as error:
        if not isinstance(error, (*EXPECTED, *expected())):
            raise
        console.print(Text(" ".join(str(error).split()), style="red"))
        raise SystemExit(1) from error
