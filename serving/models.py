"""Registered versions, loaded by alias, refused when they do not fit this code."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from data.assets import file_sha256
from data.contract import ContractMismatch, Manifest, ModelVersion
from data.head import SOUNDS, HeadGraph
from data.registry import (
    CARD,
    CARD_MARKDOWN,
    NAMES,
    RegistryConfig,
    misfit,
    read_manifest,
    registry,
)

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's codes for a name, alias or version that a registry in order has not got."""


class RegistryUnavailable(ConnectionError):
    """The registry does not answer; it may in a moment."""


@dataclass(frozen=True)
class LoadedVersion:
    """One registered version, checked.

    folder : its files on this machine, removed when the version is let go of
    """

    name: str
    version: str
    folder: Path
    manifest: Manifest

    @property
    def card_json(self) -> str:
        """The card as it was published."""
        return (self.folder / CARD).read_text(encoding="utf-8")

    @property
    def card_markdown(self) -> str:
        """The card as Markdown."""
        return (self.folder / CARD_MARKDOWN).read_text(encoding="utf-8")

    @property
    def reference(self) -> ModelVersion:
        """How a scorecard names this version."""
        return ModelVersion(
            name=self.name,
            version=self.version,
            sha256=self.manifest.sha256,
            feature_set=self.manifest.feature_set,
            card_url=f"/v1/models/{self.name}/{self.version}/card",
        )

    @cached_property
    def _head(self) -> HeadGraph:
        return HeadGraph(self.folder / self.manifest.artifact)

    def points(
        self,
        features: npt.NDArray[np.float32],
        *,
        mask: npt.NDArray[np.float32] | None = None,
        waveforms: Sequence[npt.NDArray[np.float32]] = (),
    ) -> npt.NDArray[np.float64]:
        """(n, targets) in points of 100, cut to the scale; of what, see `HeadGraph.points`."""
        return np.clip(self._head.points(features, mask=mask, waveforms=waveforms), 0, 100)

    def check_sounds(self) -> None:
        """Raises ContractMismatch where the head cannot tell what the manifest has limits of."""
        if self.manifest.voice_limits and not set(SOUNDS) <= self._head.gives:
            raise ContractMismatch(
                f"{self.name}: its manifest has voice_limits, but {self.manifest.artifact} gives "
                f"no {' and '.join(SOUNDS)}"
            )

    def sounds(
        self, features: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Familiarity and voice of each row, see `HeadGraph.sounds`; with `voice_limits` only."""
        return self._head.sounds(features)


def load_champions(config: RegistryConfig | None = None) -> dict[str, LoadedVersion]:
    """The champion of every name.

    Raises ContractMismatch naming what does not fit; RegistryUnavailable.
    """
    client = _client(config or registry())
    return {name: _load(client, name) for name in NAMES}


def load_version(name: str, version: str, config: RegistryConfig | None = None) -> LoadedVersion:
    """Any registered version, e.g. to replay an old scorecard.

    Raises ContractMismatch where there is none that fits; RegistryUnavailable.
    """
    client = _client(config or registry())
    return _load(client, name, version)


def _client(config: RegistryConfig) -> MlflowClient:
    try:
        return MlflowClient(tracking_uri=config.uri, registry_uri=config.uri)
    except MlflowException as error:
        raise ContractMismatch(
            f"The registry cannot be read by this code, which has MLflow {mlflow.__version__}; "
            f"a newer one may have written it. {error.message}"
        ) from error
    except SQLAlchemyError as error:
        raise _unavailable(config.uri, error) from error


def _load(client: MlflowClient, name: str, version: str | None = None) -> LoadedVersion:
    wanted = f"version {version}" if version else "champion"
    try:
        found = (
            client.get_model_version(name, version)
            if version
            else client.get_model_version_by_alias(name, "champion")
        )
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise _unavailable(client.tracking_uri, error) from error
        raise ContractMismatch(
            f"The registry at {_shown(client.tracking_uri)} has no {wanted} of {name}: "
            f"{error.message} Run `python -m training starter` to register the starter "
            f"versions, or `python -m training promote {name} VERSION`."
        ) from error
    # A copy of our own, so that it is known who may delete it: MLflow gives the registry's
    # own folder where that lies on this machine, else a new one at each call.
    copy = tempfile.mkdtemp(prefix=f"interview-{name}-")
    try:
        folder = _downloaded(client, str(found.source), copy)
        loaded = LoadedVersion(name, str(found.version), folder, _manifest(folder, name))
        loaded.check_sounds()
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    weakref.finalize(loaded, shutil.rmtree, copy, ignore_errors=True)
    return loaded


def _downloaded(client: MlflowClient, source: str, copy: str) -> Path:
    # Its progress bar would stand between the lines of a log that programs read.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=source, tracking_uri=client.tracking_uri, dst_path=copy
        )
    except Exception as error:  # each kind of store has its own
        raise _unavailable(source, error) from error
    return Path(found)


def _unavailable(address: str, error: Exception) -> RegistryUnavailable:
    # Not the message: an address may hold a password.
    reason = type(error.__cause__ or error).__name__
    return RegistryUnavailable(
        f"Nothing can be had from the registry, {_shown(address)} ({reason})."
    )


def _shown(address: str) -> str:
    return address.rsplit("@", maxsplit=1)[-1]


def _manifest(folder: Path, name: str) -> Manifest:
    manifest = read_manifest(folder)
    if reason := misfit(manifest, name):
        raise ContractMismatch(reason)
    if manifest.artifact:
        got = file_sha256(folder / manifest.artifact)
        if got != manifest.sha256:
            raise ContractMismatch(
                f"{name}: {manifest.artifact} has sha256 {got}, its manifest says "
                f"{manifest.sha256}; the file is not the one that was published."
            )
    return manifest
