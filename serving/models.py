"""Registered versions, loaded by alias, refused when they do not fit this code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mlflow
import numpy as np
import numpy.typing as npt
import onnxruntime
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from data.assets import file_sha256
from data.contract import (
    EXPRESSION,
    LANGUAGE,
    SPEECH,
    ContractMismatch,
    FeatureSet,
    Manifest,
    ModelVersion,
)
from data.registry import CARD, CARD_MARKDOWN, NAMES, RegistryConfig, read_manifest, registry

FEATURE_SETS: dict[str, FeatureSet] = {
    "speech": SPEECH,
    "expression": EXPRESSION,
    "competency": LANGUAGE,
}
"""Registered name -> the features its head reads; `weights` reads scores."""


@dataclass(frozen=True)
class LoadedVersion:
    """One registered version, checked. folder : its files on this machine."""

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
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(
            str(self.folder / self.manifest.artifact), options, providers=["CPUExecutionProvider"]
        )

    def points(
        self, features: npt.NDArray[np.float32], *, mask: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float64]:
        """(n, targets) in points of 100, cut to the scale.

        features : (n, width), or (n, times, width) with mask (n, times) for a series
        """
        inputs = {"features": features.astype(np.float32)}
        if mask is not None:
            inputs["mask"] = mask.astype(np.float32)
        found = self._session.run(["points"], inputs)[0]
        table = np.asarray(found, dtype=np.float64).reshape(len(features), -1)
        return np.clip(table, 0, 100)


def load_champions(config: RegistryConfig | None = None) -> dict[str, LoadedVersion]:
    """The champion of every name. Raises ContractMismatch naming what does not fit."""
    client = _client(config or registry())
    return {name: _load(client, name) for name in NAMES}


def load_version(name: str, version: str, config: RegistryConfig | None = None) -> LoadedVersion:
    """Any registered version, e.g. to replay an old scorecard. Raises ContractMismatch."""
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


def _load(client: MlflowClient, name: str, version: str | None = None) -> LoadedVersion:
    wanted = f"version {version}" if version else "champion"
    try:
        found = (
            client.get_model_version(name, version)
            if version
            else client.get_model_version_by_alias(name, "champion")
        )
    except MlflowException as error:
        raise ContractMismatch(
            f"The registry at {_shown(client)} has no {wanted} of {name}: {error.message} "
            "Run `python -m training starter` to register the starter versions, or "
            f"`python -m training promote {name} VERSION`."
        ) from error
    folder = Path(
        mlflow.artifacts.download_artifacts(
            artifact_uri=found.source, tracking_uri=client.tracking_uri
        )
    )
    manifest = _manifest(folder, name)
    return LoadedVersion(name, str(found.version), folder, manifest)


def _shown(client: MlflowClient) -> str:
    return str(client.tracking_uri).rsplit("@", maxsplit=1)[-1]


def _manifest(folder: Path, name: str) -> Manifest:
    manifest = read_manifest(folder)
    expected = FEATURE_SETS[name].id if name in FEATURE_SETS else manifest.feature_set
    if manifest.name != name or manifest.feature_set != expected:
        raise ContractMismatch(
            f"{name}: the version was trained on features {manifest.feature_set!r}, this code "
            f"computes {expected!r}. Retrain it, or deploy the code it was trained with."
        )
    if manifest.artifact:
        got = file_sha256(folder / manifest.artifact)
        if got != manifest.sha256:
            raise ContractMismatch(
                f"{name}: {manifest.artifact} has sha256 {got}, its manifest says "
                f"{manifest.sha256}; the file is not the one that was published."
            )
    return manifest
