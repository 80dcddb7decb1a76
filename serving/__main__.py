"""python -m serving: score recordings, run the service, replay a scorecard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from data.contract import ContractMismatch, Scorecard, ScoreRequest, UnusableRecording

app = typer.Typer(
    help="Registered versions → scorecards.", no_args_is_help=True, add_completion=False
)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")
console = Console(stderr=True)

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "sample.mp4"
SUFFIXES = set(".mp4 .webm .mov .m4a .mp3 .wav .flac .ogg .opus .amr .silk .mkv .aac".split())

Job = Annotated[str, typer.Option(help="Key of configs/jobs.yaml.")]
QuestionOption = Annotated[
    str | None, typer.Option(help="Key of one of the job's questions; none: delivery only.")
]
Language = Annotated[
    str | None, typer.Option(help="Language the answer is expected in; default: the job's.")
]
Region = Annotated[str, typer.Option(help="Policy of configs/serving.yaml.")]
TranscriptFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Words written by a human.")
]


@app.command()
def score(
    source: Annotated[Path, typer.Argument(exists=True, help="A recording, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="File the scorecards are written to, as JSON.")],
    job: Job = "relationship_manager",
    question: QuestionOption = None,
    language: Language = None,
    region: Region = "default",
    transcript: TranscriptFile = None,
    report: Annotated[Path | None, typer.Option(help="Also write the HTML report here.")] = None,
) -> None:
    """Score one recording (one scorecard) or a folder (a list); unusable ones are named."""
    from serving.report import render_report
    from serving.scorer import Scorer

    request = ScoreRequest(
        job=job,
        question=question,
        language=language,
        policy_region=region,
        transcript=transcript.read_text(encoding="utf-8") if transcript else None,
    )
    paths = recordings(source)
    results: list[dict[str, object]] = []
    unusable = 0
    with Scorer.load() as scorer:
        for path in track(paths, "scoring", console=console, disable=len(paths) < 2):
            try:
                scored = scorer.score(path, request)
            except UnusableRecording as problem:
                unusable += 1
                results.append({"file": path.name, "code": problem.code, "detail": str(problem)})
                console.print(f"{path.name}: {problem.code}: {problem}", style="red")
                continue
            results.append({"file": path.name, **scored.scorecard.model_dump(mode="json")})
            if report and len(paths) == 1:
                report.write_text(render_report(scored.scorecard, scored.exhibit), encoding="utf-8")
    single = len(paths) == 1 and not source.is_dir()
    content = {k: v for k, v in results[0].items() if k != "file"} if single else results
    out.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    console.print(f"{len(results) - unusable} scored, {unusable} unusable → {out}")
    if unusable == len(results):
        raise typer.Exit(1)


def recordings(source: Path) -> list[Path]:
    """The file itself, or the recordings in a folder in order of name.

    Raises typer.BadParameter when a folder holds none.
    """
    if source.is_file():
        return [source]
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise typer.BadParameter(f"{source} holds no recording ({', '.join(sorted(SUFFIXES))})")
    return found


@app.command()
def demo(
    recording: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Default: the sample.")
    ] = None,
    job: Job = "relationship_manager",
    question: QuestionOption = "unhappy_customer",
    language: Language = "en",
) -> None:
    """Register the starter versions, score a recording, write scorecard.json and report.html."""
    from data.registry import state_folder

    # Training writes the registry, serving reads it: two programs, as in production.
    subprocess.run([sys.executable, "-m", "training", "starter"], check=True, cwd=ROOT)
    folder = state_folder() / "demo"
    folder.mkdir(exist_ok=True)
    card, page = folder / "scorecard.json", folder / "report.html"
    score(recording or SAMPLE, card, job=job, question=question, language=language, report=page)
    _say(Scorecard.model_validate_json(card.read_text(encoding="utf-8")))
    console.print(f"\nscorecard  {card}\nreport     file://{page}  (open it in a browser)")
    console.print("service    python -m serving serve, then http://localhost:3000/docs")


def _say(card: Scorecard) -> None:
    for entry in card.scores:
        mark = " (provisional)" if entry.provisional else ""
        console.print(
            f"{entry.part:11s} {entry.name:16s} {entry.score / 10:4.1f}/10  "
            f"{entry.low / 10:.1f} to {entry.high / 10:.1f}{mark}"
        )
    for absent in card.not_scored:
        if absent.code != "not_asked":
            console.print(f"{absent.part:11s} {absent.name:16s} not scored: {absent.reason}")
    total = f"{card.total / 10:.1f}/10" if card.total is not None else f"none: {card.total_reason}"
    console.print(f"total       {total}")


if __name__ == "__main__":
    app()
