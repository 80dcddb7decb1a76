"""Fixtures of the service tests: a store of its own, keys, the tiny scorer."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from serving.settings import ServingConfig, load_config
from serving.store import Store

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module tests/serving/tiny_scorer.py."""
    spec = importlib.util.spec_from_file_location("tiny_scorer", HERE / "tiny_scorer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_scorer"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingConfig:
    """The shipped configuration with a state folder of its own."""
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path / "state"))
    return load_config()


@pytest.fixture
def store(config: ServingConfig) -> Iterator[Store]:
    opened = Store.open(config)
    yield opened
    opened.close()
