"""python -m serving: score recordings, run the service, replay a scorecard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.progress import track
from rich.text import Text

from data import console as program
from data.console import console
from data.contract import Score, Scorecard, ScoreRequest, UnusableRecording

if TYPE_CHECKING:
    from serving.models import LoadedVersion
    from serving.scorer import Scorer
    from serving.store import Store

app = typer.Typer(
    help="Registered versions → scorecards.", no_args_is_help=True, add_completion=False
)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")

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
FaceConsent = Annotated[
    str,
    typer.Option(help="Reference of the separate consent for the face; some regions ask for it."),
]
TranscriptFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Words written by a human.")
]


@app.command()
def score(
    source: Annotated[Path, typer.Argument(exists=True, help="A recording, or a folder of them.")],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="File the scorecards are written to, as JSON.")
    ],
    job: Job = "relationship_manager",
    question: QuestionOption = None,
    language: Language = None,
    region: Region = "default",
    face_consent: FaceConsent = "",
    transcript: TranscriptFile = None,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Also write the HTML report here; of one recording."),
    ] = None,
) -> None:
    """Score one recording (one scorecard) or a folder (a list); unusable ones are named."""
    from serving.scorer import Scorer

    paths = recordings(source)
    _check_targets(out, report, paths)
    if face_consent and len(paths) > 1:
        raise typer.BadParameter("--face-consent is of one candidate: name one recording")
    request = ScoreRequest(
        job=job,
        question=question,
        language=language,
        policy_region=region,
        face_consent=face_consent,
        transcript=transcript.read_text(encoding="utf-8") if transcript else None,
    )
    codes = []
    with Scorer.load() as scorer:
        scorer.check(request)
        with listing(out, single=source.is_file()) as add:
            for path in track(paths, "scoring", console=console, disable=len(paths) < 2):
                entry, page = _scored(scorer, path, request)
                add(entry if source.is_file() else {"file": _name(path, source), **entry})
                if report and page:
                    report.write_text(page(), encoding="utf-8")
                codes.append(entry.get("code"))
    scored = codes.count(None)
    _write(f"{scored} scored, {len(codes) - scored} not → {out}")
    if not scored or FAILED in codes:
        raise typer.Exit(1)


FAILED = "scoring_failed"
"""A fault of ours; the other codes say what is wrong with the recording."""


def _scored(
    scorer: Scorer, path: Path, request: ScoreRequest
) -> tuple[dict[str, Any], Callable[[], str] | None]:
    """What is written about one recording, and what draws its report; a failure is said."""
    from serving.log import place
    from serving.report import render_report

    try:
        scored = scorer.score(path, request)
    except UnusableRecording as problem:
        entry = {"code": problem.code, "detail": str(problem)}
    except Exception as error:
        # The next recording may be all right, and those before it are written.
        entry = {"code": FAILED, "detail": f"{type(error).__name__} at {place(error)}"}
    else:
        page = partial(render_report, scored.scorecard, scored.exhibit)
        return scored.scorecard.model_dump(mode="json"), page
    console.print(Text(f"{path.name}: {entry['code']}: {entry['detail']}", style="red"))
    return entry, None


def _check_targets(out: Path, report: Path | None, paths: list[Path]) -> None:
    """Before anything is scored. Raises typer.BadParameter."""
    for target in filter(None, (out, report)):
        if not target.absolute().parent.is_dir():
            raise typer.BadParameter(f"the folder of {target} does not exist")
    if report and len(paths) > 1:
        raise typer.BadParameter(f"--report is of one recording, and there are {len(paths)}")


@contextmanager
def listing(out: Path, *, single: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What adds an entry to the JSON list in `out`, which is whole after each; or writes one."""
    with out.open("wb", buffering=0) as file:
        begin, separator, end = (b"", b"", b"\n") if single else (b"[\n", b",\n", b"\n]\n")
        file.write(begin + end)
        place = len(begin)

        def add(entry: dict[str, Any]) -> None:
            nonlocal place
            before = separator if place > len(begin) else b""
            added = before + json.dumps(entry, ensure_ascii=False, indent=2).encode()
            file.seek(place)
            file.write(added + end)
            place += len(added)

        yield add


def _name(path: Path, source: Path) -> str:
    return path.name if path == source else str(path.relative_to(source))


def recordings(source: Path) -> list[Path]:
    """The file itself, or the recordings in a folder in order of name.

    Raises typer.BadParameter when a folder holds none.
    """
    if source.is_file():
        return [source]
    found = sorted(
        path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir()
    )
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
    registered = subprocess.run([sys.executable, "-m", "training", "starter"], cwd=ROOT)
    if registered.returncode:
        raise typer.Exit(registered.returncode)
    folder = state_folder() / "demo"
    folder.mkdir(exist_ok=True)
    card, page = folder / "scorecard.json", folder / "report.html"
    consented = "shown to nobody but whoever runs the demo"
    score(
        recording or SAMPLE,
        card,
        job=job,
        question=question,
        language=language,
        face_consent=consented,
        report=page,
    )
    _say(Scorecard.model_validate_json(card.read_text(encoding="utf-8")))
    _write(f"\nscorecard  {card}\nreport     file://{page}  (open it in a browser)")
    _write(f"service    {sys.executable} -m serving serve, then http://localhost:3000/docs")


def _write(line: str) -> None:
    """As it is: square brackets are no markup."""
    console.print(line, markup=False)


def _say(card: Scorecard) -> None:
    for entry in card.scores:
        mark = " (provisional)" if entry.provisional else ""
        _write(
            f"{entry.part:11s} {entry.name:16s} {entry.score / 10:4.1f}/10  "
            f"{entry.low / 10:.1f} to {entry.high / 10:.1f}{mark}"
        )
    for absent in card.not_scored:
        if absent.code != "not_asked":
            _write(f"{absent.part:11s} {absent.name:16s} not scored: {absent.reason}")
    total = f"{card.total / 10:.1f}/10" if card.total is not None else f"none: {card.total_reason}"
    _write(f"total       {total}")


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
def retry(
    score_id: Annotated[str | None, typer.Argument(help="Id of a failed score.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every score that failed.")] = False,
) -> None:
    """Put failed interviews back in line; a worker takes them up. Exit 1 if one cannot be."""
    from serving.store import NotRetried

    if failed == (score_id is not None):
        raise typer.BadParameter("name a score, or say --failed")
    refused = []
    with _store() as store:
        ids = [score_id] if score_id is not None else store.failed()
        for one in ids:
            try:
                store.retry(one)
                _write(f"{one}  back in line")
            except NotRetried as reason:
                refused.append(one)
                console.print(Text(f"{one}  not retried: {reason}", style="red"))
    _write(f"{len(ids) - len(refused)} back in line, {len(refused)} not")
    if refused:
        raise typer.Exit(1)


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

    kept = _kept(scorecard)
    if (got := file_sha256(recording)) != kept.input_sha256:
        raise typer.BadParameter(f"the recording has sha256 {got}, the receipt {kept.input_sha256}")
    versions = {entry.name: load_version(entry.name, entry.version) for entry in kept.versions}
    with Scorer(versions, load_config().policies) as scorer:
        again = scorer.score(recording, kept.request).scorecard
    lines = [*_exchanged(kept, versions), *differences(kept, again)]
    for line in lines:
        console.print(Text(line, style="red"))
    if lines:
        raise typer.Exit(1)
    console.print(f"{len(kept.scores)} scores and the total come out the same")


def _kept(path: Path) -> Scorecard:
    """The scorecard in a file, alone or as the service answers it. Raises typer.BadParameter."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Scorecard.model_validate(content.get("scorecard", content))
    except (AttributeError, ValueError) as error:
        raise typer.BadParameter(f"{path} holds no scorecard") from error


def _exchanged(kept: Scorecard, versions: dict[str, LoadedVersion]) -> Iterator[str]:
    """Versions whose head is not the one that the receipt names."""
    for entry in kept.versions:
        if (got := versions[entry.name].manifest.sha256) != entry.sha256:
            yield f"{entry.name} {entry.version}: sha256 {entry.sha256} was used, it is now {got}"


def differences(kept: Scorecard, again: Scorecard) -> Iterator[str]:
    """A line for each score, and for the total, that comes out otherwise."""
    found = {(score.part, score.name): score for score in again.scores}
    for old in kept.scores:
        new = found.pop((old.part, old.name), None)
        if new is None or _numbers(new) != _numbers(old):
            came = f"{new.score} ({new.low} to {new.high})" if new else "none"
            yield f"{old.part} {old.name}: {old.score} ({old.low} to {old.high}) was kept, {came}"
    for part, name in found:
        yield f"{part} {name}: none was kept, {found[part, name].score}"
    if kept.total != again.total:
        yield f"total: {kept.total} was kept, {again.total}"


def _numbers(score: Score) -> tuple[float, float, float]:
    return score.score, score.low, score.high


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
        _write(f"{key.id}  {key.role:8s} {state:8s} {key.label}")


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


def expected() -> tuple[type[Exception], ...]:
    """What a person can mend: a request, a key, a configuration, a service that is away."""
    from sqlalchemy.exc import OperationalError

    from data.assets import AssetUnavailable
    from data.jobs import UnknownJob, UnknownQuestion
    from serving.models import RegistryUnavailable
    from serving.scorer import UnknownRegion
    from serving.vault import VaultError

    return (
        *(AssetUnavailable, OperationalError, RegistryUnavailable, ValidationError, VaultError),
        *(UnknownJob, UnknownQuestion, UnknownRegion),
    )


if __name__ == "__main__":
    program.run(app, expected=expected)
