"""The house stands: layers, a serving process without torch, the README's tree and commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def test_the_readmes_two_commands_are_targets_of_the_makefile():
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for command in ("demo", "test"):
        assert f"make {command}" in text
        assert command in targets
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
