import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from data import console
from data.contract import ContractMismatch
from data.registry import CARD, PREDICTIONS
from evaluation.__main__ import app
from evaluation.audit import TOLERANCE, check

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "training" / "starter"
SHIPPED = sorted(path.parent.name for path in STARTER.glob("*/version.json"))


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A copy of a shipped version."""
    return Path(shutil.copytree(STARTER / "competency", tmp_path / "competency"))


def change_card(folder: Path, row: int, **values: object) -> None:
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    card["metrics"]["rows"][row].update(values)
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        console.run(app, ["recompute", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_every_shipped_version_follows_from_its_predictions(name: str) -> None:
    assert not any(row.differs for row in check(STARTER / name))


def test_the_command_shows_the_cards_value_beside_the_recomputed_one(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(version)) == 0
    shown = capsys.readouterr()
    value = next(row.metric.value for row in check(version) if row.metric.value)
    assert shown.out.count(f"{value:.4f}") >= 2
    assert "0 differ" in shown.err


def test_a_raised_value_in_the_card_is_caught(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = check(version)[0].metric.value
    assert honest is not None
    change_card(version, 0, value=honest + 0.01)
    assert [row.differs for row in check(version)].index(True) == 0
    assert run(str(version)) == 1
    shown = capsys.readouterr()
    assert "differs" in shown.out
    assert "1 differ" in shown.err


def test_rounding_of_the_predictions_is_no_difference(version: Path) -> None:
    honest = check(version)[0].metric.value
    assert honest is not None
    change_card(version, 0, value=honest + 0.9 * TOLERANCE)
    assert not any(row.differs for row in check(version))


def test_a_changed_prediction_is_caught(version: Path) -> None:
    table = pd.read_csv(version / PREDICTIONS)
    table["score"] = table["score"].sample(frac=1, random_state=0).to_numpy()
    table.to_csv(version / PREDICTIONS, index=False)
    assert any(row.differs for row in check(version))


def test_a_value_that_the_predictions_cannot_show_is_a_difference(version: Path) -> None:
    pd.read_csv(version / PREDICTIONS).drop(columns="split").to_csv(
        version / PREDICTIONS, index=False
    )
    assert all(row.differs for row in check(version) if row.metric.type == "pearson")


def test_a_metric_that_is_no_function_of_the_predictions_is_left_open(version: Path) -> None:
    change_card(version, 0, type="a_metric_of_its_own")
    row = check(version)[0]
    assert (row.recomputed, row.differs) == (None, False)


@pytest.mark.parametrize("name", [CARD, PREDICTIONS])
def test_a_folder_without_card_or_predictions_is_named(
    version: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (version / name).unlink()
    with pytest.raises(ContractMismatch, match=name):
        check(version)
    assert run(str(version)) == 1
    assert name in capsys.readouterr().err


def test_predictions_without_ratings_are_refused(version: Path) -> None:
    pd.read_csv(version / PREDICTIONS).drop(columns="rating").to_csv(
        version / PREDICTIONS, index=False
    )
    with pytest.raises(ContractMismatch, match="no column rating"):
        check(version)


def test_an_auditor_needs_nothing_that_trains_or_serves(version: Path) -> None:
    script = (
        "import sys\n"
        "from data import console\n"
        "from evaluation.__main__ import app\n"
        "try:\n"
        f"    console.run(app, ['recompute', {str(version)!r}])\n"
        "finally:\n"
        "    print('LOADED', sorted({m.split('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = done.stdout.rsplit("LOADED", maxsplit=1)[1]
    for heavy in ("torch", "mlflow", "bentoml", "onnxruntime", "optuna", "mediapipe", "av"):
        assert f"'{heavy}'" not in loaded
