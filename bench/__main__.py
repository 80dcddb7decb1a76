"""python -m bench: the numbers, each beside what it has to be compared with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import measure
from bench.measure import ROOT, conclude
from data import console as program
from data.console import console as aside

app = typer.Typer(
    help="Speed, memory, start-up and agreement. Each command ends in one line of JSON.",
    add_completion=False,
)

COMMANDS = (
    *(
        "memory",
        "ready",
        "over_http",
        "speed",
        "sound",
        "expression",
        "answers",
        "resumes",
        "speech",
        "competency",
    ),
)

RecordingFile = Annotated[
    Path | None,
    typer.Option("--recording", exists=True, dir_okay=False, help="Default: the real one of 40 s."),
]
Repeats = Annotated[int, typer.Option(min=1, help="Measurements; median and range are shown.")]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Without a command: all of them."""
    if context.invoked_subcommand is None:
        everything()


@app.command()
def speed(recording: RecordingFile = None, repeats: Repeats = 3) -> None:
    """Seconds to score a recording, part by part, beside the usual stack."""
    from bench.speed import speed as measured

    conclude("speed", measured(measure.recording(recording), repeats))


@app.command()
def sound(recording: RecordingFile = None, repeats: Repeats = 3) -> None:
    """Seconds to score a minute of speech without a picture."""
    from bench.sound import sound as measured

    conclude("sound", measured(measure.recording(recording), repeats))


@app.command()
def expression(recording: RecordingFile = None, repeats: Repeats = 3) -> None:
    """Seconds to watch a minute, beside MediaPipe at full rate; agreement with it; memory."""
    from bench.expression import expression as measured

    conclude("expression", measured(measure.recording(recording), repeats))


@app.command()
def answers(repeats: Repeats = 3) -> None:
    """Milliseconds to score what was said, with evidence, beside one plain cosine."""
    from bench.answers import answers as measured

    conclude("answers", measured(repeats))


@app.command()
def resumes(count: Annotated[int, typer.Option(min=1, help="Files of two pages.")] = 1000) -> None:
    """Seconds to screen résumés, beside reading their text alone."""
    from bench.resumes import resumes as measured

    conclude("resumes", measured(count))


@app.command()
def memory(recording: RecordingFile = None, repeats: Repeats = 1) -> None:
    """Peak memory of a fresh process that scores a recording."""
    from bench.memory import memory as measured

    conclude("memory", measured(measure.recording(recording), repeats))


@app.command()
def ready(repeats: Repeats = 3) -> None:
    """Seconds from starting the service until it can score."""
    from bench.service import ready as measured

    conclude("ready", measured(repeats))


@app.command("over_http")
def over_http(recording: RecordingFile = None, repeats: Repeats = 3) -> None:
    """The service's numbers beside the scorer's own, and what HTTP costs."""
    from bench.service import over_http as measured

    numbers = measured(measure.recording(recording), repeats)
    conclude("over_http", numbers)
    if not numbers["equal"]:
        raise typer.Exit(1)


@app.command()
def speech() -> None:
    """The starter version's r with the experts, beside one expert against the others."""
    from bench.agreement import speech as measured

    conclude("speech", measured())


@app.command()
def competency() -> None:
    """The starter version's r with the human score, by answer and by unseen question."""
    from bench.agreement import competency as measured

    conclude("competency", measured())


@app.command("all")
def everything() -> None:
    """Every measurement in a process of its own; exit code 1 when one of them failed."""
    found = {name: _alone(name) for name in COMMANDS}
    conclude("all", found)
    if failed := [name for name, numbers in found.items() if numbers is None]:
        aside.print(f"failed: {', '.join(failed)}", style="red")
        raise typer.Exit(1)


def _alone(name: str) -> dict[str, Any] | None:
    """The last line of one command, read; None when it failed. Its output is passed on."""
    aside.rule(name)
    environment = {**os.environ, "COLUMNS": str(measure.console.width)}
    command = [sys.executable, "-m", "bench", name]
    last = ""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    if child.returncode:
        return None
    numbers: dict[str, Any] = json.loads(last)
    return numbers


def _expected() -> tuple[type[Exception], ...]:
    from bench.service import ServiceFailed
    from bench.speed import PartsDiffer

    return (PartsDiffer, ServiceFailed, subprocess.CalledProcessError)


if __name__ == "__main__":
    program.run(app, expected=_expected)
