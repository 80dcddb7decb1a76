"""Where registered versions live, for those who write them and those who read them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

import configs
from data.contract import (
    EXPRESSION,
    LANGUAGE,
    SPEECH,
    ContractMismatch,
    FeatureSet,
    Manifest,
    Record,
    first_fault,
)

MANIFEST = "version.json"
CARD = "card.json"
CARD_MARKDOWN = "card.md"
PREDICTIONS = "predictions.csv"
ROBUSTNESS = "robustness.csv"
"""Beside the predictions of a version that was tried on worse recordings."""

STABILITY = "stability.csv"
"""Beside a version whose measures were taken of the same recordings filmed otherwise."""

NAMES = ("speech", "expression", "competency", "weights")
"""The registered models; one recipe each."""

FEATURE_SETS: dict[str, FeatureSet] = {
    "speech": SPEECH,
    "expression": EXPRESSION,
    "competency": LANGUAGE,
}
"""Registered name -> the features its head reads; `weights` reads scores."""


class RegistryConfig(Record):
    """configs/registry.yaml, made absolute."""

    uri: str
    artifacts: str
    experiment: str


def state_folder() -> Path:
    """INTERVIEW_STATE, else `var` in the repository; made on first use, closed to others."""
    default = configs.FOLDER.parent / "var"
    folder = Path(os.environ.get("INTERVIEW_STATE") or default).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def registry() -> RegistryConfig:
    """The registry of this machine, or the one MLFLOW_TRACKING_URI names."""
    config = configs.load("registry", RegistryConfig)
    state = str(state_folder())
    return RegistryConfig(
        uri=os.environ.get("MLFLOW_TRACKING_URI") or config.uri.replace("{state}", state),
        artifacts=config.artifacts.replace("{state}", state),
        experiment=config.experiment,
    )


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a version's folder. Raises ContractMismatch when none fits this code."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ContractMismatch(f"needed {path}, found none; is it the folder of a version?") from (
            error
        )
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ContractMismatch(
            f"{path} cannot be read by this code: it was written by a newer one or is damaged. "
            f"Use the code that published it, or another version. {first_fault(error)}"
        ) from error


def misfit(manifest: Manifest, name: str) -> str | None:
    """Why this code cannot serve a version as `name`; None when it computes what it reads."""
    expected = FEATURE_SETS[name].id if name in FEATURE_SETS else manifest.feature_set
    if manifest.name == name and manifest.feature_set == expected:
        return None
    return (
        f"{name}: the version was trained on features {manifest.feature_set!r}, this code "
        f"computes {expected!r}. Retrain it, or deploy the code it was trained with."
    )
