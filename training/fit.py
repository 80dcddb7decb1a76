"""What recipes share: cached features, folds of people, a resumable search."""

from __future__ import annotations

import hashlib
import html
import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import numpy as np
import numpy.typing as npt
import optuna
import optuna.visualization.matplotlib as plots
from matplotlib import pyplot
from optuna.exceptions import ExperimentalWarning
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.assets import file_sha256
from data.console import console

Matrix = npt.NDArray[np.floating[Any]]


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call once a step done, beneath a progress bar with the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


Item = TypeVar("Item", Path, tuple[Path, ...])


def features(
    items: Sequence[Item],
    extract: Callable[[Item], dict[str, Matrix]],
    *,
    store: Path,
    identity: str,
    label: str,
    workers: int = 1,
) -> list[dict[str, Matrix]]:
    """`extract(item)` for every file, or every tuple of files, in order, cached by content.

    A killed run goes on where it stopped: each file's arrays are written when they are
    ready. identity : names what the arrays depend on (feature set, encoder); another
    one is another cache.
    """
    folder = store / "features" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{_content(item)}.npz" for item in items]
    # By target: two files of one content are extracted once.
    waiting = {t: item for item, t in zip(items, targets, strict=True) if not t.exists()}
    if waiting:
        with progress(label, len(waiting)) as done, ProcessPoolExecutor(workers) as pool:
            one = partial(_extract_one, extract)
            for _ in pool.map(one, waiting.values(), waiting.keys(), chunksize=4):
                done()
    return [_load(target) for target in targets]


def _content(item: Path | tuple[Path, ...]) -> str:
    if isinstance(item, Path):
        return file_sha256(item)
    return hashlib.sha256(" ".join(map(file_sha256, item)).encode()).hexdigest()


def digest(plan: object, *arrays: npt.NDArray[Any]) -> str:
    """Name of what was made by `plan` (JSON) from these arrays: other content, another name."""
    found = hashlib.sha256(json.dumps(plan).encode())
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def _extract_one(extract: Callable[[Item], dict[str, Matrix]], item: Item, target: Path) -> None:
    arrays = extract(item)
    scratch = target.with_suffix(".part.npz")
    np.savez(scratch, **arrays)  # type: ignore[arg-type]  # numpy's stub takes bool for allow_pickle
    scratch.replace(target)


def _load(path: Path) -> dict[str, Matrix]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def search(
    name: str,
    objective: Callable[[optuna.Trial], float],
    *,
    trials: int,
    store: Path,
    seed: int = 0,
) -> optuna.Study:
    """A study that maximises `objective`, continued from the journal in `store`.

    Each trial is a nested MLflow run of the active one. name : changes whenever the
    data or the space does, so that unlike trials are never mixed.
    """
    store.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(store / "optuna.journal"))),
        direction="maximize",
        load_if_exists=True,
    )
    # A sampler starts its random numbers anew: the same seed would propose the same trials again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    finished = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
    if finished < trials:
        with progress(f"search {name}", trials - finished) as done:
            study.optimize(
                lambda trial: _logged(name, objective, trial),
                n_trials=trials - finished,
                callbacks=[lambda *_: done()],
            )
    if mlflow.active_run() is not None:
        mlflow.log_text(search_page(study), f"search/{name}.html")
    return study


def centre(study: optuna.Study, *, best: int) -> dict[str, float]:
    """Geometric mean of each parameter over the best trials; all must be above zero.

    Where many choices are nearly as good as the best one, which of them wins is chance.
    """
    tried = [trial for trial in study.trials if trial.value is not None]
    chosen = sorted(tried, key=lambda trial: trial.value or 0.0, reverse=True)[:best]
    return {
        name: float(np.exp(np.mean([np.log(trial.params[name]) for trial in chosen])))
        for name in study.best_params
    }


def search_page(study: optuna.Study) -> str:
    """One HTML file that stands alone: the course of a search, and what it turned on."""
    found = study.best_trial
    chosen = "".join(
        f"<tr><td>{html.escape(name)}<td>{value:.4g}" for name, value in found.params.items()
    )
    pictures: list[tuple[str, Callable[[optuna.Study], Any]]] = [
        ("How the best value grew", plots.plot_optimization_history)
    ]
    if len({trial.value for trial in study.trials if trial.value is not None}) > 1:
        pictures += [
            ("What the value turned on", plots.plot_param_importances),
            ("Value against each parameter", plots.plot_slice),
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        drawn = "".join(f"<h2>{title}</h2>{_drawn(plot, study)}" for title, plot in pictures)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{study.study_name}</title>'
        "<style>body{font:16px/1.5 system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "svg{max-width:100%;height:auto}td{padding:.1rem 1rem .1rem 0}</style>"
        f"<h1>{html.escape(study.study_name)}</h1><p>{len(study.trials)} trials; the best, number "
        f"{found.number}, has {found.value:.4f}.</p><table>{chosen}</table>{drawn}"
    )


def _drawn(plot: Callable[[optuna.Study], Any], study: optuna.Study) -> str:
    """The plot as SVG. optuna gives one axis, or an array of them."""
    axes = plot(study)
    figure = np.ravel(axes)[0].figure
    figure.set_size_inches(11, 4)
    with io.StringIO() as stream:
        figure.savefig(stream, format="svg", bbox_inches="tight")
        picture = stream.getvalue()
    pyplot.close(figure)
    return picture[picture.index("<svg") :]


def _logged(name: str, objective: Callable[[optuna.Trial], float], trial: optuna.Trial) -> float:
    if mlflow.active_run() is None:
        return objective(trial)
    with mlflow.start_run(nested=True, run_name=f"{name}-{trial.number}"):
        value = objective(trial)
        mlflow.log_params(trial.params)
        mlflow.log_metric("value", value)
    return value
