"""The real service around the tiny scorer: `bentoml serve tiny_service:service`."""

import json
import os
from collections.abc import Mapping

import tiny_scorer

from data.contract import ContractMismatch
from serving.runtime import Models, Version
from serving.service import create
from serving.settings import ServingConfig, load_config


def models() -> Models:
    return Models(champions, version, lambda config: tiny_scorer.score)


def champions() -> Mapping[str, Version]:
    return {"speech": tiny_scorer.TinyVersion()}


def version(name: str, number: str) -> Version:
    raise ContractMismatch(f"no {name} {number}")


def config() -> ServingConfig:
    """The shipped configuration, with the changes of TINY_CONFIG (JSON)."""
    return load_config(**json.loads(os.environ.get("TINY_CONFIG", "{}")))


service = create(models, config)
