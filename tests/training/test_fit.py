import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mlflow
import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from training.fit import centre, features, search, search_page
from training.publish import tracked

ROOT = Path(__file__).resolve().parents[2]

EXTRACTOR = '''
from pathlib import Path

import numpy as np


def length(path):
    """Size of the file; notes that it was read, and fails on a file that says so."""
    text = path.read_text()
    if text == "broken" and not Path("mended").exists():
        raise ValueError("cannot be read")
    with open("read.log", "a") as log:
        print(path.name, file=log)
    return {"rows": np.array([[len(text)]], np.float32)}
'''

SEARCH = """
import sys, time
from pathlib import Path
from training.fit import search

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    print(trial.number, x, flush=True)
    time.sleep(float(sys.argv[3]))
    return -x * x

study = search("parabola", objective, trials=int(sys.argv[2]), store=Path(sys.argv[1]))
print("best", study.best_value, len(study.trials))
"""


@pytest.fixture
def extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that worker processes can import, in the folder that is the current one."""
    (tmp_path / "tiny_extractor.py").write_text(EXTRACTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("tiny_extractor")
    sys.modules.pop("tiny_extractor")


def read(tmp_path: Path) -> list[str]:
    return (tmp_path / "read.log").read_text().split()


def files(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{i}.txt" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def extract(paths: list[Path], extractor: ModuleType, *, identity: str = "one") -> list[float]:
    store = paths[0].parent / "store"
    found = features(paths, extractor.length, store=store, identity=identity, label="test")
    return [float(arrays["rows"][0, 0]) for arrays in found]


def test_features_come_in_the_order_of_the_files(tmp_path: Path, extractor: ModuleType) -> None:
    assert extract(files(tmp_path, "ccc", "a", "bb"), extractor) == [3, 1, 2]


def test_a_second_run_extracts_only_what_is_new(tmp_path: Path, extractor: ModuleType) -> None:
    extract(files(tmp_path, "a", "bb"), extractor)
    assert extract(files(tmp_path, "a", "bb", "ccc"), extractor) == [1, 2, 3]
    assert sorted(read(tmp_path)) == ["0.txt", "1.txt", "2.txt"]


def test_the_cache_goes_by_content_and_not_by_name(tmp_path: Path, extractor: ModuleType) -> None:
    extract(files(tmp_path, "a", "bb"), extractor)
    assert extract(files(tmp_path, "bb", "a"), extractor) == [2, 1]
    assert extract(files(tmp_path, "bb", "changed"), extractor) == [2, 7]
    assert read(tmp_path)[2:] == ["1.txt"]


def test_files_of_the_same_content_are_extracted_once(
    tmp_path: Path, extractor: ModuleType
) -> None:
    assert extract(files(tmp_path, "same", "same", "same"), extractor) == [4, 4, 4]
    assert len(read(tmp_path)) == 1


def test_other_features_have_another_cache(tmp_path: Path, extractor: ModuleType) -> None:
    paths = files(tmp_path, "a")
    extract(paths, extractor)
    extract(paths, extractor, identity="two")
    assert read(tmp_path) == ["0.txt", "0.txt"]


def test_after_an_interruption_only_what_is_missing_is_extracted(
    tmp_path: Path, extractor: ModuleType
) -> None:
    paths = files(tmp_path, "a", "bb", "broken", "dddd")
    with pytest.raises(ValueError, match="cannot be read"):
        extract(paths, extractor)
    before = read(tmp_path)
    assert before[:2] == ["0.txt", "1.txt"]
    (tmp_path / "mended").touch()
    assert extract(paths, extractor) == [1, 2, 6, 4]
    after = read(tmp_path)[len(before) :]
    assert sorted(before + after) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_a_file_cut_off_while_it_was_written_is_not_taken_for_features(
    tmp_path: Path, extractor: ModuleType
) -> None:
    paths = files(tmp_path, "a")
    extract(paths, extractor)
    [kept] = (tmp_path / "store").rglob("*.npz")
    kept.with_suffix(".part.npz").write_bytes(kept.read_bytes()[:20])
    kept.unlink()
    assert extract(paths, extractor) == [1]


def parabola(trial: optuna.Trial) -> float:
    x: float = trial.suggest_float("x", -1, 1)
    return -x * x


def test_a_search_that_has_its_trials_tries_no_more(tmp_path: Path) -> None:
    first = search("parabola", parabola, trials=4, store=tmp_path)
    again = search("parabola", parabola, trials=4, store=tmp_path)
    assert len(again.trials) == 4
    assert again.best_value == first.best_value


def test_a_continued_search_tries_new_points(tmp_path: Path) -> None:
    search("parabola", parabola, trials=3, store=tmp_path)
    study = search("parabola", parabola, trials=6, store=tmp_path)
    tried = [trial.params["x"] for trial in study.trials]
    assert len(set(tried)) == 6


def test_searches_of_other_names_are_not_mixed(tmp_path: Path) -> None:
    search("parabola", parabola, trials=3, store=tmp_path)
    other = search("other data", lambda trial: 1 + parabola(trial), trials=2, store=tmp_path)
    assert len(other.trials) == 2
    assert other.best_value > 0


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    found = [
        search("parabola", parabola, trials=5, store=tmp_path / name, seed=3).best_params
        for name in ("a", "b")
    ]
    assert found[0] == found[1]


def test_a_search_killed_in_the_middle_goes_on_where_it_stopped(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(SEARCH)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path), "6"]
    process = subprocess.Popen(
        [*command, "30"], stdout=subprocess.PIPE, env=environment, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("0 ")
    process.send_signal(signal.SIGKILL)
    process.wait()
    search("parabola", parabola, trials=2, store=tmp_path)
    done = subprocess.run(
        [*command, "0"], capture_output=True, env=environment, text=True, cwd=tmp_path, check=True
    )
    numbers = [line.split()[0] for line in done.stdout.splitlines()]
    assert numbers == ["3", "4", "5", "6", "best"]  # 0 was killed; 1 and 2 were done here
    study = optuna.load_study(study_name="parabola", storage=journal(tmp_path))
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == 6


def journal(store: Path) -> optuna.storages.JournalStorage:
    backend = optuna.storages.journal.JournalFileBackend(str(store / "optuna.journal"))
    return optuna.storages.JournalStorage(backend)


def test_each_trial_is_a_nested_run_with_its_parameters_and_value(
    client: MlflowClient, tmp_path: Path
) -> None:
    with tracked("recipe") as parent:
        study = search("parabola", parabola, trials=3, store=tmp_path)
    experiment = parent.info.experiment_id
    nested = client.search_runs(
        [experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["start_time"]
    )
    assert [run.info.run_name for run in nested] == [f"parabola-{i}" for i in range(3)]
    logged = [(float(run.data.params["x"]), run.data.metrics["value"]) for run in nested]
    expected = [(trial.params["x"], trial.value) for trial in study.trials]
    assert np.allclose(logged, expected)


def test_a_trial_that_fails_ends_its_run_and_is_tried_again(
    client: MlflowClient, tmp_path: Path
) -> None:
    def failing(trial: optuna.Trial) -> float:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"), tracked("recipe") as parent:
        search("parabola", failing, trials=2, store=tmp_path)
    runs = client.search_runs([parent.info.experiment_id])
    assert {run.info.status for run in runs} == {"FAILED"}
    assert mlflow.active_run() is None
    study = search("parabola", parabola, trials=2, store=tmp_path)
    assert [trial.state for trial in study.trials].count(TrialState.COMPLETE) == 2


def test_no_run_is_made_where_none_is_active(client: MlflowClient, tmp_path: Path) -> None:
    started = time.time() * 1000
    search("parabola", parabola, trials=1, store=tmp_path)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert [run for run in runs if run.info.start_time >= started] == []


def test_a_search_inside_a_run_leaves_a_page_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with tracked("speech") as run:
        study = search("parabola", parabola, trials=4, store=tmp_path)
    [path] = (tmp_path / "state").rglob("parabola.html")
    assert run.info.run_id in path.parts
    page = path.read_text(encoding="utf-8")
    assert "4 trials" in page
    assert f"{study.best_value:.4f}" in page
    assert page.count("<svg") == 3
    assert not re.search(r"<link|<script|\bsrc=|@import|url\(http", page)


def test_a_search_of_one_value_has_a_page_without_what_it_turned_on(tmp_path: Path) -> None:
    flat = search("flat", lambda trial: 0 * parabola(trial), trials=2, store=tmp_path)
    assert search_page(flat).count("<svg") == 1


def test_the_centre_of_the_best_trials_is_their_geometric_mean():
    study = optuna.create_study(direction="maximize")
    space = {"noise": optuna.distributions.FloatDistribution(0.01, 10)}
    for noise, value in ((0.1, 0.8), (0.4, 0.9), (9.0, 0.1)):
        trial = optuna.trial.create_trial(params={"noise": noise}, distributions=space, value=value)
        study.add_trial(trial)
    assert centre(study, best=1) == pytest.approx({"noise": 0.4})
    assert centre(study, best=2) == pytest.approx({"noise": 0.2})
