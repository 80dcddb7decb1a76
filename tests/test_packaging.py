"""What `pip install .` puts on a machine is all that the programs read."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("configs", "data", "evaluation", "serving", "training")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The files of a wheel, laid out as it installs them."""
    folder: Path = tmp_path_factory.mktemp("wheel")
    (folder / "info").mkdir()
    steps = ["egg_info", "--egg-base", str(folder / "info")]
    steps += ["build_py", "--build-lib", str(folder / "lib")]
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", *steps]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "lib"


def test_every_file_of_the_packages_is_installed(installed: Path):
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kept = [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    assert len(kept) > 100
    assert [name for name in kept if not (installed / name).is_file()] == []


def test_nothing_is_installed_that_is_not_kept(installed: Path):
    names = {path.name for path in installed.rglob("*")}
    assert "__pycache__" not in names
    assert "serving.db" not in names


def test_an_auditor_recomputes_a_card_from_what_was_installed(installed: Path, tmp_path: Path):
    result = subprocess.run(
        [sys.executable, "-m", "evaluation", "recompute", installed / "training/starter/weights"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_extra_that_make_installs_exists_and_bench_has_what_it_measures_with():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = [
        line.split("'.[")[1].split("]")[0].split(",")
        for line in makefile.splitlines()
        if "'.[" in line
    ]
    assert asked == [["serve"], ["serve", "train", "dev"], ["serve", "train", "dev", "bench"]]
    assert {name for names in asked for name in names} <= set(extras)
    assert "bench: $(VENV)/bench.stamp" in makefile
