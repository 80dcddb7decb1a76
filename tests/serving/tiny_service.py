"""The real service around the tiny scorer: `bentoml serve tiny_service:service`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from serving.service import create
from serving.settings import ServingConfig, load_config

if TYPE_CHECKING:
    from serving.runtime import Models


def models() -> Models:
    import tiny_scorer

    return tiny_scorer.models()


def config() -> ServingConfig:
    """The shipped configuration, with the changes of TINY_CONFIG (JSON)."""
    return load_config(**json.loads(os.environ.get("TINY_CONFIG", "{}")))


service = create(models, config)
