"""python -m data: set a machine up, look at a recording, make tables with a known answer."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

import configs
from data import console
from data.console import console as terminal

if TYPE_CHECKING:
    from data.contract import Quality
    from data.listening import Listener
    from data.recording import Recording

app = typer.Typer(help="Recording → features.", no_args_is_help=True, add_completion=False)


@app.command()
def setup() -> None:
    """Check the system libraries, fetch pretrained weights and build their graphs, each once."""
    from data import system
    from data.assets import AssetsConfig, fetch
    from data.decoder import decoder_file
    from data.encoder import encoder_file
    from data.listening import ListeningConfig, encoder_folder

    if installed := system.ensure():
        terminal.print(f"installed {', '.join(installed)}")
    for name in configs.load("assets", AssetsConfig).needed:
        fetch(name)
    listening = configs.load("listening", ListeningConfig)
    for build in (encoder_file, decoder_file):
        build(encoder_folder(listening), listening.compute_type)


@app.command()
def features(
    recording: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Media file.")],
) -> None:
    """Print quality, segments of speech and measures of a recording as JSON."""
    from data.recording import base_quality, open_recording

    opened = open_recording(recording)
    with terminal.status("listening"):
        quality, segments, heard = _speech(opened, base_quality(opened))
    with terminal.status("watching"):
        quality, seen = _expression(opened, quality)
    found = {
        "sha256": opened.sha256,
        "quality": quality.model_dump(),
        "segments_s": segments,
        "speech": heard,
        "expression": seen,
    }
    print(json.dumps(found, ensure_ascii=False, indent=2))


@app.command("bank")
def question_bank(
    least: Annotated[float | None, typer.Option(help="Cosine; default: the configured.")] = None,
) -> None:
    """Count the question bank and list questions that ask the same. Exit code 1 if any do."""
    from data.jobs import bank
    from data.question_bank import near_questions

    found = bank()
    counted = Table("job", "questions", "competencies", "difficulty 1 to 5", title=found.version)
    for key, job in found.jobs.items():
        levels = [q.difficulty for q in job.questions.values()]
        spread = " ".join(str(levels.count(level)) for level in range(1, 6))
        counted.add_row(key, str(len(job.questions)), str(len(job.competencies)), spread)
    terminal.print(counted)
    pairs = near_questions(found, least)
    for pair in pairs:
        terminal.print(f"{pair.cosine:.3f} {pair.first} ~ {pair.second}")
    terminal.print(f"{len(pairs)} pairs of questions ask nearly the same.")
    if pairs and least is None:
        raise typer.Exit(1)


@app.command()
def screen(
    resumes: Annotated[
        list[Path], typer.Argument(exists=True, help="PDF, DOCX or text files, or folders.")
    ],
    job: Annotated[str, typer.Option(help="A job of configs/requirements.yaml.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the page and tables.")],
    processes: Annotated[int, typer.Option(min=1, help="Files read at once.")] = cpu_count() or 1,
) -> None:
    """Match résumés with what a job asks for: screening.html, .csv and, word by word, .jsonl.

    Names, gender, age, photo, address and school are taken out before and play no part. A file
    that cannot be read is listed with the reason; exit code 1 if none could.
    """
    from rich.progress import track

    from data.jobs import jobs
    from data.screening import ordered, rows, screen_files
    from data.screening_page import render_screening

    files = sorted(file for path in resumes for file in _files_of(path))
    progress = partial(track, description="screening", console=terminal, total=len(files))
    screened = ordered(progress(screen_files(files, job, min(processes, len(files) or 1))))
    out.mkdir(parents=True, exist_ok=True)
    page = render_screening(jobs()[job].name, screened)
    (out / "screening.html").write_text(page, encoding="utf-8")
    rows(screened).to_csv(out / "screening.csv", index=False, encoding="utf-8-sig")
    lines = (file.model_dump_json(exclude_none=True) + "\n" for file in screened)
    (out / "screening.jsonl").write_text("".join(lines), encoding="utf-8")
    unread = [file for file in screened if not file.screening]
    for file in unread:
        terminal.print(f"{file.file}: {file.code}: {file.message}")
    terminal.print(
        f"{len(screened) - len(unread)} of {len(screened)} read; look at {out}/screening.html"
    )
    if len(unread) == len(screened):
        raise typer.Exit(1)


def _files_of(path: Path) -> list[Path]:
    """The file, or every file under the folder that is not hidden."""
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]


Measured = dict[str, Any]
"""Measure -> value, None where it has none; or `problem` -> why nothing was measured."""


def _speech(
    recording: Recording, quality: Quality
) -> tuple[Quality, list[tuple[float, float]], Measured]:
    from data.listening import Listener
    from data.recording import audio_quality
    from data.speech import speech_features
    from data.transcript import Recogniser

    if recording.waveform is None:
        return quality, [], {"problem": recording.audio_problem}
    listener = Listener()
    listening = listener.listen(recording.waveform)
    segments = list(listening.segments)
    known = audio_quality(recording.waveform, segments)
    decoded = Recogniser(listener).decode(listening)
    measured = speech_features(listening, decoded).measures
    return quality.model_copy(update=known), segments, measured


def _expression(recording: Recording, quality: Quality) -> tuple[Quality, Measured]:
    from data import expression, face
    from data.watching import expression_series

    if recording.video_problem:
        return quality, {"problem": recording.video_problem}
    config = configs.load("expression_measures", face.ExpressionConfig)
    with face.FaceTracker(config) as tracker:
        frames, duration_s = recording.frames(config.quick_rate_hz), recording.duration_s
        series = expression_series(frames, tracker, duration_s=duration_s)
    quality = expression.with_face_quality(quality, series, config)
    if problem := expression.expression_problem(series, config):
        return quality, {"problem": problem}
    return quality, expression.expression_measures(series, config)


@app.command()
def recognise(
    recordings: Annotated[
        list[Path], typer.Argument(exists=True, help="Media files; with --compare, one folder.")
    ],
    compare: Annotated[
        bool, typer.Option(help="Every recogniser present, on a folder with transcripts.")
    ] = False,
    language: Annotated[str, typer.Option(help="Expected: zh, en.")] = "zh",
    most: Annotated[int | None, typer.Option(min=1, help="Clips, a like number a speaker.")] = None,
) -> None:
    """Print the words of recordings, or the errors and speed of recognisers, as JSON lines."""
    from data.listening import Listener

    listener = Listener()
    if compare:
        _compare(listener, recordings[0], language, most)
        return
    from data.recognisers import recogniser
    from data.recording import open_recording

    writes = recogniser(listener)
    for path in recordings:
        opened = open_recording(path)
        if opened.waveform is None:
            terminal.print(f"{path}: {opened.audio_problem}")
            continue
        with terminal.status(path.name):
            found = writes.transcribe(listener.listen(opened.waveform), expected=language)
        print(json.dumps({"file": str(path), **found.model_dump()}, ensure_ascii=False))


def _compare(listener: Listener, folder: Path, language: str, most: int | None) -> None:
    from rich.progress import track

    from data import recognition
    from data.recognisers import present

    chosen = recognition.clips(folder, language=language, most=most)
    summary = Table(
        *("recogniser", "errors (95 %)", "told apart", "s/s", "raw", "calibrated"),
        title=f"{folder.name}, {len(chosen)} clips: errors a unit said, over speakers",
        caption="told apart: of the clips taken for their language. raw, calibrated: mean "
        "distance of confidence from the share that was right",
    )
    for candidate in present():
        progress = partial(track, description=candidate.name, console=terminal)
        heard = recognition.hear(candidate, listener, chosen, progress)
        found = recognition.numbers(heard)
        print(json.dumps({"folder": folder.name, "language": language, **found}))
        summary.add_row(*_recogniser_row(found))
    terminal.print(summary, soft_wrap=False)


def _recogniser_row(found: Measured) -> list[str]:
    errors = found.get("calibration_error", {})
    return [
        found["name"],
        f"{found['error_rate']:.3f} ({found['low']:.3f}–{found['high']:.3f})",
        f"{found['in_language']:.3f} ({found['clips'] - found['other_language']})",
        f"{found['seconds_per_s']:.3f}",
        *(f"{errors[name]:.3f}" if errors else "–" for name in ("raw", "calibrated")),
    ]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder the tables are written to.")],
    people: Annotated[int | None, typer.Option(min=10, help="Applicants.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    noise: Annotated[
        float | None,
        typer.Option(min=0, help="Performance that scores miss, in SD of what they explain."),
    ] = None,
    hire_share: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Of the applicants.")
    ] = None,
) -> None:
    """Write tables with planted weights, noise and group gap; see configs/simulate.yaml."""
    from data import simulate as simulation

    given = {"people": people, "seed": seed, "noise": noise, "hire_share": hire_share}
    config = configs.load(
        "simulate",
        simulation.SimulationConfig,
        **{key: value for key, value in given.items() if value is not None},
    )
    with terminal.status(f"simulating {config.people} applicants"):
        tables = simulation.simulate(config)
        tables.write(out)
    summary = Table("table", "rows", "people", title=f"{out}, seed {config.seed}")
    for field in fields(tables):
        table = getattr(tables, field.name)
        summary.add_row(f"{field.name}.csv", str(len(table)), str(table["person"].nunique()))
    terminal.print(summary, soft_wrap=False)
    planted = ", ".join(f"{name} {weight:g}" for name, weight in config.weights.items())
    terminal.print(f"planted weights of {config.job}: {planted}")


@app.command("simulate-interviews")
def simulate_interviews(
    out: Annotated[Path, typer.Option(file_okay=False, help="For answers.csv and groups.csv.")],
    people: Annotated[int, typer.Option(min=10)] = 2000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write scored answers with a question that tells nothing, one unfair and one worn."""
    from data.simulate_items import Planted
    from data.simulate_items import simulate_interviews as simulated

    planted = Planted(people=people, seed=seed)
    found = simulated(planted)
    out.mkdir(parents=True, exist_ok=True)
    found.answers.to_csv(out / "answers.csv", index=False)
    found.groups.to_csv(out / "groups.csv", index=False)
    terminal.print(
        f"{len(found.answers)} answers in {out}; planted: {', '.join(planted.discrimination)} "
        f"tells little, {', '.join(planted.unfair)} is unfair, {', '.join(planted.worn)} is worn"
    )


if __name__ == "__main__":
    console.run(app)
