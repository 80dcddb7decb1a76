import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from data import console
from data.contract import ContractMismatch
from data.registry import CARD, MANIFEST, PREDICTIONS
from evaluation.__main__ import app
from evaluation.audit import TOLERANCE, check

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "training" / "starter"
SHIPPED = sorted(path.parent.name for path in STARTER.glob("*/version.json"))


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A copy of a shipped version."""
    return Path(shutil.copytree(STARTER / "competency", tmp_path / "competency"))


def change_card(folder: Path, *path: str | int, **values: object) -> None:
    """Replace fields of the record at `path` of the card."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    record = card
    for step in path:
        record = record[step]
    record.update(values)
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def stated(folder: Path, *path: str | int) -> dict[str, object]:
    found = json.loads((folder / CARD).read_text(encoding="utf-8"))
    for step in path:
        found = found[step]
    return dict(found)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        console.run(app, ["recompute", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_every_shipped_version_follows_from_its_predictions(name: str) -> None:
    rows = check(STARTER / name)
    assert [row for row in rows if row.differences] == []
    unchecked = {row.name for row in rows if row.recomputed is None}
    assert unchecked <= {
        "selection_score",
        "accuracy",
        "impact_ratio",
        "selection_score_within_folds",
    }


def test_the_command_shows_the_cards_value_beside_the_recomputed_one(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(version)) == 0
    shown = capsys.readouterr()
    value = stated(version, "metrics", "rows", 0)["value"]
    assert shown.out.count(f"{value:.4f}") >= 2
    assert "0 differ. Not a function of predictions.csv: no row;" in shown.err


METRIC = ("metrics", "rows", 0)
TAMPERED = [
    ("competency", METRIC, "value", 0.01),
    ("competency", METRIC, "low", 0.05),
    ("competency", METRIC, "high", -0.05),
    ("competency", METRIC, "n", 100),
    ("competency", ("metrics", "length_adjusted", 0), "value", 0.01),
    ("competency", ("calibration", "half_width", 0), "value", -5),
    ("competency", ("calibration", "coverage", 0), "value", 0.02),
    ("competency", ("calibration", "coverage", 0), "low", 0.05),
    ("speech", METRIC, "human_ceiling", -0.1),
    ("speech", ("metrics", "rows", 1), "value", -1),
    ("speech", ("reliability", 0), "value", 0.1),
    ("speech", ("reliability", 0), "n", -1),
    ("weights", ("criterion_validity", 0), "value", 0.1),
    ("weights", ("criterion_validity", 2), "low", 0.1),
    ("weights", ("impact", 0), "ratio", 0.1),
    ("weights", ("impact", 0), "low", 0.1),
    ("weights", ("impact", 0), "selected", 10),
    ("weights", ("impact", 1), "n", 10),
]


@pytest.mark.parametrize(("name", "path", "field", "added"), TAMPERED)
def test_a_tampered_number_is_caught_and_named(
    name: str, path: tuple[str | int, ...], field: str, added: float, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(STARTER / name, tmp_path / name))
    keep_near(folder, path)
    near = stated(folder, *path)
    assert isinstance(near[field], (int, float))
    change_card(folder, *path, **{field: near[field] + added})
    changed = [row.differences for row in check(folder) if row.differences]
    assert field in changed[0]


def keep_near(folder: Path, path: tuple[str | int, ...]) -> None:
    """Drop the other tables of the card, so that checking takes no time."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    wanted = {"calibration"} if path[0] == "calibration" else {path[0]}
    if "metrics" not in wanted:
        card["metrics"] = {"rows": "left out", "length_adjusted": "left out"}
    elif path[1] == "rows":
        card["metrics"]["rows"] = card["metrics"]["rows"][:3]
    for section in ("reliability", "criterion_validity", "impact"):
        if section not in wanted:
            card[section] = "left out"
    if "calibration" not in wanted:
        card["calibration"] = {"level": "left out", "half_width": "", "coverage": ""}
        (folder / MANIFEST).unlink()
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def test_a_raised_baseline_is_caught(version: Path) -> None:
    keep_near(version, METRIC)
    baseline = stated(version, *METRIC)["baseline"]
    change_card(version, *METRIC, "baseline", tfidf=baseline["tfidf"] - 0.1)
    assert check(version)[0].differences == ["baseline tfidf"]


def test_what_no_formula_gives_is_not_compared_with_itself(version: Path) -> None:
    row = ("metrics", "length_adjusted", 0)
    change_card(version, *row, human_ceiling=0.5, baseline={"invented": 0.99})
    change_card(version, "calibration", "half_width", 0, low=0.1, high=99)
    changed = [found.differences for found in check(version) if found.differences]
    assert sorted(map(sorted, changed)) == [["baseline invented", "human_ceiling"], ["high", "low"]]


def test_a_group_left_out_of_an_impact_table_is_caught(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STARTER / "weights", tmp_path / "weights"))
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    gone = card["impact"].pop()
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    [row] = [row for row in check(folder) if row.differences]
    assert (row.name, row.where) == ("impact", {"group": gone["group"]})


def test_a_served_half_width_that_is_not_the_cards_is_caught(version: Path) -> None:
    manifest = json.loads((version / MANIFEST).read_text(encoding="utf-8"))
    manifest["targets"][0]["half_width"] -= 1
    (version / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert [row.name for row in check(version) if row.differences] == [f"half width in {MANIFEST}"]


def test_a_raised_value_ends_the_command_with_one_and_names_the_field(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_near(version, METRIC)
    change_card(version, *METRIC, value=0.99)
    assert run(str(version)) == 1
    shown = capsys.readouterr()
    assert "value" in shown.out
    assert "0.9900" in shown.out
    assert "1 differ" in shown.err


def test_a_last_digit_of_another_library_is_no_difference(version: Path) -> None:
    keep_near(version, METRIC)
    honest = stated(version, *METRIC)["value"]
    change_card(version, *METRIC, value=honest + 0.9 * TOLERANCE)
    assert not any(row.differences for row in check(version))


def test_a_changed_prediction_is_caught(version: Path) -> None:
    keep_near(version, METRIC)
    table = pd.read_csv(version / PREDICTIONS)
    table["score"] = table["score"].sample(frac=1, random_state=0).to_numpy()
    table.to_csv(version / PREDICTIONS, index=False)
    assert any(row.differences for row in check(version))


def test_a_value_that_the_predictions_cannot_show_is_a_difference(version: Path) -> None:
    keep_near(version, METRIC)
    pd.read_csv(version / PREDICTIONS).drop(columns="split").to_csv(
        version / PREDICTIONS, index=False
    )
    assert all(row.differences for row in check(version))


def test_a_metric_that_is_no_function_of_the_predictions_is_left_open_and_named(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_near(version, METRIC)
    change_card(version, *METRIC, type="a_metric_of_its_own")
    row = check(version)[0]
    assert (row.recomputed, row.differences) == (None, [])
    assert run(str(version)) == 0
    assert "Not a function of predictions.csv: a_metric_of_its_own;" in capsys.readouterr().err


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
