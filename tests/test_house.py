"""The house stands: layers, a serving process without torch, the README's tree and commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def test_training_and_serving_never_import_each_other_and_auditors_need_only_tables():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_serving_process_imports_no_torch():
    code = (
        "import sys, serving.scorer, serving.runtime, serving.report, serving.models\n"
        "assert not {'torch', 'torchaudio', 'transformers'} & set(sys.modules), 'torch'"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_top_level_is_the_one_agreed():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    fixed = {"training", "serving", "data", "configs", "evaluation", "tests"}
    assert fixed | {"pyproject.toml", "README.md"} <= top
    assert top <= fixed | {
        "pyproject.toml", "README.md", "bench", "Makefile", ".ci", ".gitignore"
    }  # fmt: skip


def test_every_path_of_the_readmes_tree_exists():
    tree = README.read_text(encoding="utf-8").split("```")[3]
    named = [line.split()[0] for line in tree.splitlines() if line and not line.startswith(" ")]
    assert len(named) > 5
    for folder in named:
        assert (ROOT / folder).exists(), folder
    within, missing = "", []
    for line in tree.splitlines():
        if line and not line.startswith(" "):
            within = line.split()[0]
        for name in re.findall(r"^  (?:[\w./]+ )+", line):
            missing += [n for n in name.split() if not (ROOT / within / n).exists()]
    assert not missing


def commands(program: str) -> list[list[str]]:
    """The arguments of every command of the README that begins with `program`."""
    found = re.findall(rf"`{program} ([^`]+)`", README.read_text(encoding="utf-8"))
    return [shlex.split(arguments) for arguments in found]


def refusal(app: typer.Typer, arguments: list[str]) -> str:
    """Why the program would not take the arguments; empty where it would."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    try:
        given, beyond, _ = command.make_parser(typer.Context(command)).parse_args(list(arguments))
    except Exception as error:
        return str(error)
    missing = [
        entry.name for entry in command.params if entry.required and not given.get(entry.name)
    ]
    return " ".join([*beyond, *(f"{name} is missing" for name in missing)])


def test_every_command_of_the_readme_is_one_that_its_program_takes():
    found = commands("python -m")
    assert {arguments[0] for arguments in found} == {"data", "evaluation", "serving", "training"}
    for folder, *arguments in found:
        app = import_module(f"{folder}.__main__").app
        assert not refusal(app, arguments), f"python -m {folder} {shlex.join(arguments)}"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["score", "FOLDER", "--out", "FILE"], ""),
        (["judge", "FOLDER", "--out", "FILE"], "no command judge"),
        (["score", "FOLDER", "--into", "FILE"], "--into"),
        (["score", "FOLDER"], "out is missing"),
        (["score", "FOLDER", "FILE", "--out", "FILE"], "FILE"),
    ],
)
def test_a_renamed_command_or_option_would_be_found(arguments: list[str], reason: str):
    found = refusal(import_module("serving.__main__").app, arguments)
    assert reason in found
    assert bool(reason) == bool(found)


def test_every_make_of_the_readme_is_a_target_and_ci_runs_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = commands("make")
    assert {arguments[0] for arguments in found} >= {"demo", "test", "bench"}
    for target, *variables in [*found, ["help"]]:
        assert re.search(rf"^{target}:", makefile, re.M), target
        assert all(f"$({variable.split('=')[0]})" in makefile for variable in variables)
    assert re.search(r"`RECORDING=[^`]+`", README.read_text(encoding="utf-8"))
    assert "$(RECORDING)" in makefile
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
