"""An empty registry for each test, and versions small enough to publish in it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow import MlflowClient
from onnx import TensorProto, helper, numpy_helper

from data.contract import SPEECH, Manifest, Target
from evaluation.card import Card, read_card
from training.publish import Built, connect

STARTER = Path(__file__).resolve().parents[2] / "training" / "starter"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: they take seconds."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A state folder of its own with an empty registry, which this process now uses."""
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    monkeypatch.setenv("INTERVIEW_STATE", str(folder))
    # MLflow puts the address in use here; restored after the test.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return folder


@pytest.fixture
def client(state: Path) -> MlflowClient:
    return connect()


@pytest.fixture(scope="session")
def complete_card() -> Card:
    """A real card that misses only what publishing adds."""
    return read_card(STARTER / "weights")


@pytest.fixture(scope="session")
def added_by_publishing() -> set[str]:
    """Fields of a card that a recipe leaves to writing and registering."""
    identity = ("version", "change_since_last", "sha256", "run", "git_commit", "registered_by")
    return {*(f"identity.{name}" for name in identity), "change_log"}


def linear_head(weights: list[float]) -> bytes:
    """points = features · weights, as a graph."""
    column = numpy_helper.from_array(np.array(weights, np.float32)[:, None], "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["points"])],
        "head",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, [None, 1])],
        [column],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def build(complete_card: Card) -> Callable[..., Built]:
    """build(predictions, card=…, targets=…, slope=…) -> `speech` with a linear head."""

    def built(
        predictions: pd.DataFrame,
        card: Card | None = None,
        targets: tuple[str, ...] = ("fluency",),
        slope: float = 10.0,
    ) -> Built:
        head = linear_head([slope, 1.0, 0.5])
        return Built(
            manifest=Manifest(
                name="speech",
                feature_set=SPEECH.id,
                artifact="head.onnx",
                sha256=hashlib.sha256(head).hexdigest(),
                targets=tuple(Target(name=name, half_width=10) for name in targets),
                learned_from="a test",
                created_at="2026-11-23T00:00:00+00:00",
            ),
            files={"head.onnx": head},
            card=card or complete_card,
            predictions=predictions,
            metrics={"fluency_pearson": 0.5},
        )

    return built
