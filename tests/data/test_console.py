"""What is ordinarily wrong ends a command in one line and exit code 1, never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from data import console
from data.__main__ import app
from data.assets import AssetUnavailable
from data.outcomes import read_csv
from data.splits import folds


def ended(program: typer.Typer, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        console.run(program, list(arguments))
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--hire-share", "1.5"), ("--hire-share", "0"), ("--people", "9"), ("--noise", "-1")],
)
def test_a_number_out_of_its_range_is_a_wrong_option(option, value, tmp_path, capsys):
    assert ended(app, "simulate", "--out", str(tmp_path), option, value) == 2
    said = capsys.readouterr().err
    assert option in said
    assert "Traceback" not in said


def test_the_smallest_share_of_the_fewest_people_is_simulated(tmp_path):
    arguments = ["simulate", "--out", str(tmp_path), "--people", "10", "--hire-share", "0.01"]
    assert ended(app, *arguments) == 0


def test_a_recording_that_is_none_ends_in_one_line(tmp_path, capsys):
    path = tmp_path / "a.mp4"
    path.write_text("no recording")
    assert ended(app, "features", str(path)) == 1
    assert "not a recording that can be read" in capsys.readouterr().err


def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data.assets import AssetFile, AssetsConfig, Source, fetch

    monkeypatch.setenv("INTERVIEW_CACHE", str(tmp_path))
    file = AssetFile(name="a", sha256="0" * 64, sources=(Source(url="http://127.0.0.1:9/a"),))
    fetch("a", config=AssetsConfig(hub_timeout_s=1, wheel_timeout_s=1, assets={"a": (file,)}))


def too_few(_: Path, __: pytest.MonkeyPatch) -> None:
    list(folds(["a", "b"], n=5))


def empty_table(tmp_path: Path, _: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.csv").touch()
    read_csv(tmp_path / "empty.csv")


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (no_weights, "could not be had"),
        (too_few, "5 folds need at least 5 people, got 2"),
        (empty_table, "empty.csv: No columns"),
    ],
)
def test_what_is_expected_to_go_wrong_ends_in_one_line(work, says, tmp_path, monkeypatch, capsys):
    program = typer.Typer()
    program.command()(lambda: work(tmp_path, monkeypatch))
    assert ended(program) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_defect_of_ours_keeps_its_traceback():
    program = typer.Typer()

    @program.command()
    def broken() -> None:
        raise ZeroDivisionError

    assert AssetUnavailable in console.EXPECTED
    with pytest.raises(ZeroDivisionError):
        console.run(program, [])
