"""python -m serving: score recordings, run the service, replay a scorecard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from data.contract import ContractMismatch, Score, Scorecard, ScoreRequest, UnusableRecording

if TYPE_CHECKING:
    from serving.store import Store

app = typer.Typer(
    help="Registered versions → scorecards.", no_args_is_help=True, add_completion=False
)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")
console = Console(stderr=True)

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "sample.mp4"
SUFFIXES = {
    *(".mp4", ".webm", ".mov", ".mkv"),
    *(".m4a", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".amr", ".silk", ".aac"),
}

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
    console.print(
        f"\nscorecard  {card}\nreport     file://{page}  (open it in a browser)", soft_wrap=True
    )
    console.print(
        f"service    {sys.executable} -m serving serve, then http://localhost:3000/docs",
        soft_wrap=True,
    )


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


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run the HTTP service; http://HOST:PORT/docs describes it."""
    bentoml = Path(sys.executable).parent / "bentoml"
    command = [str(bentoml), "serve", "serving.service:service"]
    os.chdir(ROOT)
    os.execv(bentoml, [*command, "--host", host, "--port", str(port)])


@app.command()
def work() -> None:
    """Score what is in line, in a process of its own, until it is told to stop."""
    from serving.log import configure
    from serving.runtime import work as run_worker
    from serving.settings import load_config

    configure()
    run_worker(load_config())


@app.command()
def replay(
    scorecard: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its JSON.")],
    recording: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its input.")],
) -> None:
    """Score the recording again with the versions the scorecard names; exit 1 if it differs."""
    from data.assets import file_sha256
    from serving.models import load_version
    from serving.scorer import Scorer
    from serving.settings import load_config

    content = json.loads(scorecard.read_text(encoding="utf-8"))
    kept = Scorecard.model_validate(content.get("scorecard", content))
    if (got := file_sha256(recording)) != kept.input_sha256:
        raise typer.BadParameter(f"the recording has sha256 {got}, the receipt {kept.input_sha256}")
    versions = {entry.name: load_version(entry.name, entry.version) for entry in kept.versions}
    with Scorer(versions, load_config().policies) as scorer:
        again = scorer.score(recording, kept.request).scorecard
    differing = [
        f"{old.part} {old.name}: {old.score} was kept, {new.score if new else None} comes out"
        for old, new in paired(kept, again)
        if new is None or new.score != old.score
    ]
    for line in differing:
        console.print(line, style="red")
    if differing or kept.total != again.total:
        raise typer.Exit(1)
    console.print(f"{len(kept.scores)} scores and the total come out the same")


def paired(kept: Scorecard, again: Scorecard) -> list[tuple[Score, Score | None]]:
    """Each kept score with the one of the same part and name that came out again."""
    found = {(score.part, score.name): score for score in again.scores}
    return [(score, found.get((score.part, score.name))) for score in kept.scores]


@key_app.command("create")
def create(
    role: Annotated[str, typer.Option(help="scorer, reader, auditor or admin.")] = "scorer",
    label: Annotated[str, typer.Option(help="Whose it is.")] = "",
) -> None:
    """Print a new API key. It is shown once; only its hash is kept."""
    from serving.api.access import create_key

    with _store() as store:
        try:
            print(create_key(store, role, label))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


@key_app.command("list")
def list_keys() -> None:
    """Every key's id, role and label; never the key."""
    with _store() as store:
        kept = store.keys()
    for key in kept:
        state = "revoked" if key.revoked else "in use"
        console.print(f"{key.id}  {key.role:8s} {state:8s} {key.label}")


@key_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="The id that `key list` shows.")]) -> None:
    """Refuse a key from now on."""
    from serving.api.access import revoke_key

    with _store() as store:
        if not revoke_key(store, key_id):
            raise typer.BadParameter(f"no key {key_id} is in use")


@contextmanager
def _store() -> Iterator[Store]:
    from serving.settings import load_config
    from serving.store import Store

    store = Store.open(load_config())
    try:
        yield store
    finally:
        store.close()


def main() -> None:
    """Run the program; what a person can mend ends in one line, not a traceback."""
    try:
        app()
    except (ContractMismatch, ValueError) as error:
        console.print(str(error), style="red")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
