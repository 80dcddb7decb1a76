"""What a recipe built → a registered version with its manifest, head, card and predictions.

Nothing is registered whose card has an empty field. The alias `champion` is what
serving loads; `promote` moves it only to a version that is no worse and no less fair.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)

import configs
from data.assets import file_sha256
from data.contract import ContractMismatch, Manifest, Record
from data.registry import (
    CARD,
    CARD_MARKDOWN,
    MANIFEST,
    PREDICTIONS,
    misfit,
    read_manifest,
    registry,
)
from evaluation.agreement import Estimate
from evaluation.card import Card, Change, missing, not_applicable, read_card

CHAMPION = "champion"

UNREGISTERED = "not registered"

CODE = ("configs", "data", "evaluation", "training/*.py", "pyproject.toml")
"""What a version's numbers depend on."""

_ABSENT = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}
"""MLflow's codes for a name, version or alias that is not there."""


class CardIncomplete(Exception):
    """The card has empty fields; the version is not published."""


@dataclass(frozen=True)
class Built:
    """What a recipe hands over.

    files : head and whatever belongs to it, file name -> content
    predictions : held-out rows the card is recomputed from (person, item, target,
        rating, score, slices)
    metrics : name -> value, as MLflow shows them
    """

    manifest: Manifest
    files: dict[str, bytes]
    card: Card
    predictions: pd.DataFrame
    metrics: dict[str, float]


class Judged(Record):
    """One metric of a version on people it did not learn from."""

    metric: str
    target: str
    people: str
    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, metric: str, target: str, people: str, estimate: Estimate) -> Judged:
        """The estimate under its name."""
        return cls(metric=metric, target=target, people=people, **vars(estimate))


def write(built: Built, folder: Path, *, change: str, log: tuple[Change, ...] = ()) -> Path:
    """The version as a folder: version.json, head, card, predictions. Returns the folder.

    The card is completed by what made the head: sha256, code, the active run.
    change : since the version whose change log is `log`
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in built.files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_text(built.manifest.model_dump_json(indent=2), encoding="utf-8")
    built.predictions.to_csv(folder / PREDICTIONS, index=False, float_format="%.4f")
    write_card(_completed(built, change, log), folder)
    return folder


def _completed(built: Built, change: str, log: tuple[Change, ...]) -> Card:
    active = mlflow.active_run()
    card = built.card.with_identity(
        version=UNREGISTERED,
        sha256=built.manifest.sha256 or not_applicable("this version has no head"),
        run=active.info.run_id if active else not_applicable("it was not trained in a run"),
        git_commit=git_commit(),
        registered_by=UNREGISTERED,
    )
    return card.with_change(Change(date=built.card.identity.date, change=change), log)


@contextmanager
def tracked(name: str) -> Iterator[mlflow.ActiveRun]:
    """An MLflow run called `name` in this machine's registry."""
    connect()
    with mlflow.start_run(run_name=name) as run:
        yield run


def connect() -> MlflowClient:
    """A client of the registry, its experiment made on first use."""
    config = registry()
    mlflow.set_tracking_uri(config.uri)
    if mlflow.get_experiment_by_name(config.experiment) is None:
        mlflow.create_experiment(config.experiment, artifact_location=_location(config.artifacts))
    mlflow.set_experiment(config.experiment)
    return MlflowClient()


def publish(built: Built, *, change: str, save: Path | None = None) -> str:
    """Register what was built, within the active run or one of its own; returns its version.

    change : what is different from the version registered last
    save : where the folder is also written
    Raises CardIncomplete naming the empty fields.
    """
    name = built.manifest.name
    log = change_log(connect(), name)
    _require_complete(_completed(built, change, log))
    active = mlflow.active_run()
    with (
        nullcontext(active) if active else tracked(f"publish-{name}"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        folder = write(built, save or Path(scratch) / name, change=change, log=log)
        return register(folder, metrics=built.metrics)


def change_log(client: MlflowClient, name: str) -> tuple[Change, ...]:
    """Of the version registered last, newest change first; nothing where there is none."""
    versions = [int(found.version) for found in client.search_model_versions(f"name='{name}'")]
    if not versions:
        return ()
    try:
        return read_card(download(client, name, str(max(versions)))).change_log
    except ContractMismatch as reason:
        return (Change(date="unknown", change=f"earlier changes cannot be read: {reason}"),)


def register(
    folder: Path,
    *,
    metrics: dict[str, float] | None = None,
    tags: dict[str, str] | None = None,
) -> str:
    """Register a version's folder; returns the version number as MLflow gives it.

    Its card keeps the run and code of the training, and names the run that registers it.
    tags : of the version, beside those that say what it is
    The first version of a name that this code can serve becomes champion: a registry that
    can serve nothing helps nobody, and its card says what it is.
    Raises CardIncomplete, or ContractMismatch where the head is not the manifest's, before
    anything is registered.
    """
    manifest = read_manifest(folder)
    card = read_card(folder)
    _require_complete(card)
    _require_head(folder, manifest, card)
    client = connect()
    active = mlflow.active_run()
    with nullcontext(active) if active else tracked(f"publish-{manifest.name}") as run:
        mlflow.log_metrics(metrics or {})
        number = _create_version(client, folder, run.info, tags or {})
    if champion(client, manifest.name) is None and not misfit(manifest, manifest.name):
        client.set_registered_model_alias(manifest.name, CHAMPION, number)
    return number


STARTER_TAG = "starter"
"""On versions that shipped with the code: digest of the folder they were registered from."""


def register_starter(client: MlflowClient, folder: Path, name: str) -> str:
    """Make the shipped version champion unless it is, or another version was put there.

    Returns what was done, in a clause.
    """
    shipped = _folder_digest(folder)
    holder = champion(client, name)
    if holder is None:
        return f"version {register(folder, tags={STARTER_TAG: shipped})} registered, champion"
    tags = client.get_model_version(name, holder).tags
    if STARTER_TAG not in tags:
        features = read_manifest(folder).feature_set
        fits = "" if tags.get("feature_set") == features else f", though this code reads {features}"
        return f"version {holder} is the champion already and no starter: it stays{fits}"
    if tags[STARTER_TAG] == shipped:
        return f"version {holder} is the champion already"
    number = register(folder, tags={STARTER_TAG: shipped})
    client.set_registered_model_alias(name, CHAMPION, number)
    return f"version {number} registered, champion in place of starter version {holder}"


def _folder_digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content.update(f"{path.name} {file_sha256(path)}\n".encode())
    return content.hexdigest()


def _create_version(
    client: MlflowClient, folder: Path, run: mlflow.entities.RunInfo, tags: dict[str, str]
) -> str:
    """The card is stored with its version number, so the number comes before the files."""
    manifest = read_manifest(folder)
    is_first = _ensure_name(client, manifest.name)
    place = f"{manifest.name}-{uuid.uuid4().hex[:8]}"  # one run may publish twice
    created = client.create_model_version(
        manifest.name,
        source=f"{run.artifact_uri}/{place}",
        run_id=run.run_id,
        tags={"feature_set": manifest.feature_set, "sha256": manifest.sha256, **tags},
    )
    number = str(created.version)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(shutil.copytree(folder, Path(scratch) / manifest.name))
            card = read_card(folder).with_identity(version=number, registered_by=run.run_id)
            write_card(card, copy)
            client.log_artifacts(run.run_id, str(copy), place)
    except BaseException:
        client.delete_model_version(manifest.name, number)
        if is_first:
            client.delete_registered_model(manifest.name)
        raise
    return number


def _ensure_name(client: MlflowClient, name: str) -> bool:
    """True where the registry had no such name and has it now."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
        return False
    return True


def champion(client: MlflowClient, name: str) -> str | None:
    """The version the champion alias points at; None when there is none."""
    try:
        return str(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def download(client: MlflowClient, name: str, version: str) -> Path:
    """The folder of a registered version. Raises ContractMismatch when it does not exist."""
    try:
        source = client.get_model_version(name, version).source
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        known = sorted(int(v.version) for v in client.search_model_versions(f"name='{name}'"))
        raise ContractMismatch(
            f"the registry has no {name} version {version}; it has "
            + (", ".join(map(str, known)) or "none: run `python -m training starter`")
        ) from error
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=source))


def _require_head(folder: Path, manifest: Manifest, card: Card) -> None:
    if not manifest.artifact:
        return
    if card.identity.sha256 != manifest.sha256:
        raise ContractMismatch(
            f"{folder / CARD} is the card of {card.identity.sha256}; {MANIFEST} says "
            f"{manifest.sha256}"
        )
    head = folder / manifest.artifact
    got = file_sha256(head) if head.is_file() else "no such file"
    if got != manifest.sha256:
        raise ContractMismatch(
            f"{head} should have sha256 {manifest.sha256}, as {MANIFEST} says; got {got}"
        )


def _require_complete(card: Card) -> None:
    if gaps := missing(card):
        raise CardIncomplete(
            f"the card of {card.identity.name} has {len(gaps)} empty fields; fill in: "
            + ", ".join(gaps)
        )


def write_card(card: Card, folder: Path) -> None:
    """Both forms of the card that are files."""
    (folder / CARD).write_text(card.model_dump_json(indent=2), encoding="utf-8")
    (folder / CARD_MARKDOWN).write_text(card.to_markdown(), encoding="utf-8")


def _location(artifacts: str) -> str:
    return artifacts if "://" in artifacts else Path(artifacts).resolve().as_uri()


def git_commit() -> str:
    """The commit this code is at, `-changed` if files differ from it; `unknown` outside git."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    return (commit + "-changed" if changed else commit) or "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(configs.FOLDER.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
