import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

import data.__main__ as data_program
import training.__main__ as training_program
from data import console, outcomes
from data.registry import NAMES, read_manifest
from evaluation.card import read_card
from training.__main__ import STARTER, main
from training.publish import Built, champion, download, publish, register

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "Said"]

pytestmark = pytest.mark.usefixtures("state")


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def error(self) -> str:
        """The one line on stderr."""
        [line] = [line for line in self.err.splitlines() if line.strip()]
        return line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str, program: Callable[[list[str]], None] = main) -> Said:
        capsys.readouterr()
        try:
            program(list(arguments))
        except SystemExit as ended:
            return Said(int(ended.code or 0), *capsys.readouterr())
        return Said(0, *capsys.readouterr())

    return command


def data_main(arguments: list[str]) -> None:
    console.run(data_program.app, arguments)


@pytest.fixture
def history(tmp_path: Path, run: Run) -> Path:
    """Tables of simulated hires, made by the command."""
    folder = tmp_path / "history"
    said = run("simulate", "--out", str(folder), "--people", "300", program=data_main)
    assert said.code == 0
    assert "performance.csv" in said.err
    assert "customer_focus 0.35" in said.err
    return folder


def test_simulated_tables_are_those_that_were_asked_for(history: Path) -> None:
    tables = outcomes.read(history)
    assert tables.scores["person"].nunique() == 300
    assert sorted(path.stem for path in history.glob("*.csv")) == sorted(outcomes.SCHEMAS)


def test_another_seed_gives_other_people(history: Path, run: Run, tmp_path: Path) -> None:
    for name, seed in (("same", "0"), ("other", "1")):
        run(
            *("simulate", "--out", str(tmp_path / name), "--people", "300", "--seed", seed),
            program=data_main,
        )
    first, same, other = (
        pd.read_csv(tmp_path / name / "scores.csv") for name in ("history", "same", "other")
    )
    assert first.equals(same)
    assert not first.equals(other)


def test_starter_versions_are_registered_once(client: MlflowClient, run: Run) -> None:
    shipped = [name for name in NAMES if (STARTER / name / "version.json").is_file()]
    assert set(shipped) == set(NAMES)
    assert run("starter").code == 0
    assert {name: champion(client, name) for name in NAMES} == dict.fromkeys(NAMES, "1")
    again = run("starter")
    assert again.code == 0
    assert again.err.count("is the champion already") == len(NAMES)
    assert len(client.search_model_versions("name='weights'")) == 1


def test_a_recipe_is_fitted_judged_and_promoted_by_commands(
    client: MlflowClient, run: Run, history: Path, tmp_path: Path
) -> None:
    register(STARTER / "weights")
    fitted = run(
        *("fit", "weights", "--data", str(history), "--save", str(tmp_path / "saved")),
        *("--change", "learned from our hires"),
    )
    assert fitted.code == 0
    assert "weights version 2 registered" in fitted.err
    assert "python -m training promote weights 2" in fitted.err
    learned = download(client, "weights", "2")
    assert read_manifest(tmp_path / "saved") == read_manifest(learned)
    card = read_card(learned)
    assert card.identity.change_since_last == "learned from our hires"
    shipped = read_card(STARTER / "weights").change_log
    assert card.change_log[1:] == shipped
    assert card.data.consent_basis == "unknown: the folder states nothing"

    judged = run(
        *("test", "weights", "--corpus", "siop2020", "--data", str(history), "--version", "2")
    )
    assert judged.code == 0
    [line] = judged.out.splitlines()
    found = json.loads(line)
    assert {"metric", "value", "low", "high", "n"} <= set(found)
    assert found["metric"] == "selection_score"
    assert found["low"] <= found["value"] <= found["high"]
    assert found["version"] == "2"
    assert 100 < found["n"] < 150  # half of the applicants, less those who declared no group

    promoted = run("promote", "weights", "2")
    assert promoted.code == 0
    assert "the champion has no predictions to compare with" in promoted.err
    assert champion(client, "weights") == "2"


def test_a_refused_promotion_says_why_and_ends_with_one(
    client: MlflowClient, run: Run, build: Callable[..., Built]
) -> None:
    people = [f"p{i}" for i in range(40)]
    rated = pd.DataFrame({"person": people, "item": "x", "target": "fluency"})
    publish(build(rated.assign(rating=range(40), score=range(40))), change="x")
    worse = build(rated.assign(rating=range(40), score=range(40, 0, -1)))
    version = publish(worse, change="y")
    said = run("promote", "speech", version)
    assert said.code == 1
    assert "r changes by -2.000" in said.err
    assert "speech version 2 was NOT promoted" in said.err
    assert champion(client, "speech") == "1"


def test_an_unknown_version_ends_in_one_line(run: Run) -> None:
    said = run("promote", "speech", "9")
    assert said.code == 1
    assert "no speech version 9" in said.error


def test_judging_without_a_champion_says_how_to_get_one(run: Run, history: Path) -> None:
    said = run("test", "weights", "--corpus", "siop2020", "--data", str(history))
    assert said.code == 1
    assert said.out == ""
    assert "run `python -m training starter`" in said.error


def test_a_folder_without_the_corpus_ends_in_one_line_that_names_the_file(
    run: Run, tmp_path: Path
) -> None:
    register(STARTER / "weights")
    (tmp_path / "empty").mkdir()
    said = run("test", "weights", "--corpus", "siop2020", "--data", str(tmp_path / "empty"))
    assert said.code == 1
    assert "needed at least one of" in said.error
    assert "hires.csv" in said.error


def test_a_broken_table_ends_in_one_line_that_names_column_and_row(run: Run, history: Path) -> None:
    scores = pd.read_csv(history / "scores.csv")
    scores.loc[3, "score"] = 1000
    scores.to_csv(history / "scores.csv", index=False)
    said = run("fit", "weights", "--data", str(history), "--change", "x")
    assert said.code == 1
    assert "scores.csv: score" in said.error
    assert "row 5" in said.error


def test_too_few_hires_end_in_one_line_and_no_version(
    run: Run, tmp_path: Path, client: MlflowClient
) -> None:
    folder = tmp_path / "few"
    run("simulate", "--out", str(folder), "--people", "50", program=data_main)
    said = run("fit", "weights", "--data", str(folder), "--change", "x")
    assert said.code == 1
    assert "Weights need 100 hires" in said.error
    assert client.search_registered_models() == []


def test_an_incomplete_card_ends_in_one_line_that_names_the_field(
    client: MlflowClient, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(STARTER / "weights", tmp_path / "speech")
    path = tmp_path / "speech" / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**card, "oversight": ""}), encoding="utf-8")
    monkeypatch.setattr(training_program, "STARTER", tmp_path)
    said = run("starter")
    assert said.code == 1
    assert said.error.endswith("fill in: oversight")
    assert client.search_registered_models() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["promote", "posture", "1"], "speech, expression, competency, weights"),
        (["fit", "weights", "--data", "nowhere", "--change", "x"], "does not exist"),
        (["fit", "weights", "--data", "."], "Missing option '--change'"),
    ],
)
def test_a_wrong_argument_ends_with_the_usage(
    run: Run, arguments: list[str], complaint: str
) -> None:
    said = run(*arguments)
    assert said.code == 2
    assert "Usage" in said.err
    assert complaint in " ".join(said.err.replace("│", "").split())


def test_a_corpus_of_another_form_is_named(run: Run, tmp_path: Path) -> None:
    said = run("test", "weights", "--corpus", "speechocean762", "--data", str(tmp_path))
    assert said.code == 2
    assert "siop2020" in said.err


@pytest.mark.parametrize("program", ["training", "data", "evaluation"])
def test_help_names_every_command(program: str, run: Run) -> None:
    from evaluation.__main__ import app as evaluation_app

    mains = {
        "training": (main, ("starter", "fit", "test", "promote")),
        "data": (data_main, ("setup", "features", "simulate")),
        "evaluation": (lambda a: console.run(evaluation_app, a), ("recompute",)),
    }
    called, commands = mains[program]
    said = run("--help", program=called)
    assert said.code == 0
    assert all(command in said.out for command in commands)


def test_features_of_the_sample_are_one_json_document(run: Run) -> None:
    sample = ROOT / "data" / "sample" / "sample.mp4"
    said = run("features", str(sample), program=data_main)
    assert said.code == 0
    found = json.loads(said.out)
    assert found["quality"]["duration_s"] > 1
    assert found["quality"]["one_face_share"] > 0.5
    assert all(first < last for first, last in found["segments_s"])
    assert found["speech"]["articulation_rate"] > found["speech"]["speech_rate"] > 0
    assert found["expression"]["smile_intensity"] >= 0


def test_a_file_that_is_no_recording_ends_in_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a film")
    said = run("features", str(path), program=data_main)
    assert said.code == 1
    assert said.out == ""
    assert said.error


def test_as_a_program_the_error_is_one_line_without_a_traceback(
    state: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "promote", "speech", "9"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "INTERVIEW_STATE": str(state)},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("the registry has no speech version 9")
