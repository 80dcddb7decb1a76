"""What `configs/serving.yaml` may hold, with the few values the environment replaces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

import configs
from data.registry import state_folder

DATABASE_VARIABLE = "INTERVIEW_DATABASE_URL"
"""Environment variable that replaces `database_url`: an address may hold a password."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Section):
    """What a caller may ask for."""

    upload_bytes: int = Field(gt=0, description="largest recording, bytes")
    request_bytes: int = Field(gt=0, description="largest body without a recording, bytes")
    transcript_characters: int = Field(gt=0, description="longest transcript a caller supplies")
    upload_timeout_s: float = Field(gt=0, description="longest time an upload may take")
    wait_s: float = Field(ge=0, le=300, description="longest `Prefer: wait`")


class VaultConfig(_Section):
    """How media is kept at rest.

    folder : sealed recordings; storage that every machine of one database shares
    """

    folder: str
    chunk_bytes: int = Field(ge=4096, le=16_777_216, description="plaintext of one sealed chunk")
    key_file: str


class Policy(_Section):
    """What the law of a region allows.

    requires_consent : no interview is accepted without the reference of a consent
    requires_face_consent : the face is not looked at without one of its own
    media_days : days a recording is kept after it was scored; 0 deletes it at once
    key_frame_days : days the stills of the face in the report are kept; 0 keeps none
    record_days : days the scorecard, transcript and the rest of the exhibit are kept
    """

    expression: bool
    requires_consent: bool
    requires_face_consent: bool
    media_days: int = Field(ge=0)
    key_frame_days: int = Field(ge=0)
    record_days: int = Field(ge=1)


class ServingConfig(_Section):
    """`configs/serving.yaml`. Paths and URLs come out absolute.

    state : the state folder, never in the file: see data.registry.state_folder
    """

    state: str
    database_url: str
    workflow_database_url: str
    workers: int = Field(ge=0, le=64, description="0: this process only accepts, others score")
    attempts: int = Field(ge=1, le=10, description="tries of one interview before it is `failed`")
    allowed_urls: tuple[str, ...]
    public_cards: bool
    limits: Limits
    vault: VaultConfig
    idempotency_hours: float = Field(gt=0)
    sweep_s: float = Field(gt=0)
    policies: dict[str, Policy]

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, values: dict[str, Any]) -> dict[str, Any]:
        state = str(state_folder())
        expanded: dict[str, Any] = _replace({**values, "state": state}, state)
        if url := os.environ.get(DATABASE_VARIABLE):
            expanded["database_url"] = url
        if not expanded.get("workflow_database_url"):
            beside = expanded["database_url"]
            local = f"sqlite:///{state}/workflow.db"
            expanded["workflow_database_url"] = local if beside.startswith("sqlite") else beside
        return expanded

    @model_validator(mode="after")
    def _default_policy_exists(self) -> ServingConfig:
        if "default" not in self.policies:
            raise ValueError("policies needs an entry named default")
        return self

    @property
    def folder(self) -> Path:
        """The state folder, made on first use and closed to other users."""
        path = Path(self.state)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path


def _replace(value: Any, state: str) -> Any:
    if isinstance(value, str):
        return value.replace("{state}", state)
    if isinstance(value, dict):
        return {key: _replace(entry, state) for key, entry in value.items()}
    return value


def load_config(**overrides: Any) -> ServingConfig:
    """The checked configuration of this process."""
    return configs.load("serving", ServingConfig, **overrides)
