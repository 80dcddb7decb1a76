"""python -m training: fit, publish, judge and promote versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import configs
from data import console as program
from data.console import console
from data.contract import ContractMismatch
from data.registry import NAMES, read_manifest, state_folder

if TYPE_CHECKING:
    from training.publish import Built, Judged

app = typer.Typer(
    help="Features and outcomes → registered versions.", no_args_is_help=True, add_completion=False
)
STARTER = Path(__file__).parent / "starter"


def _known(name: str) -> str:
    if name not in NAMES:
        raise typer.BadParameter(f"unknown name {name!r}; one of {', '.join(NAMES)}")
    return name


Name = Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.", callback=_known)]
DataFolder = Annotated[
    Path, typer.Option("--data", exists=True, file_okay=False, help="Folder of the corpus.")
]


@app.command()
def starter() -> None:
    """Register the versions that ship with the repository, and newer ones after an update.

    A champion that was trained or promoted here stays.
    """
    from training.publish import connect, register_starter

    client = connect()
    for name in NAMES:
        console.print(f"{name}: {register_starter(client, STARTER / name, name)}")


@app.command()
def fit(
    name: Name,
    data: DataFolder,
    change: Annotated[
        str, typer.Option(help="What differs from the last version: a sentence for its card.")
    ],
    store: Annotated[
        Path | None, typer.Option(help="Where features and trials are kept; a rerun resumes.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the version's folder here.")] = None,
) -> None:
    """Train one recipe on a folder and register the version."""
    from training.publish import champion, connect, publish, tracked

    recipe = _recipe(name)
    with tracked(name):
        built = recipe.run(data, store or state_folder() / "training" / name)
        version = publish(built, change=change, save=save)
    for metric, value in sorted(built.metrics.items()):
        console.print(f"{metric:32s} {value:.3f}")
    if champion(connect(), name) == version:
        console.print(f"{name} version {version} registered: the first, so it is the champion.")
    else:
        console.print(
            f"{name} version {version} registered. It is served after "
            f"`python -m training promote {name} {version}`."
        )


@app.command("test")
def judge(
    name: Name,
    corpus: Annotated[str, typer.Option(help="Form of the folder: that the recipe learns from.")],
    data: DataFolder,
    version: Annotated[str | None, typer.Option(help="Default: the champion.")] = None,
) -> None:
    """Judge a registered version on other people's data; the last line is JSON."""
    from training.publish import champion, connect, download

    recipe = _recipe(name)
    if corpus != recipe.corpus:
        raise typer.BadParameter(f"{name} learned from {recipe.corpus}; --corpus {recipe.corpus}")
    client = connect()
    number = version or champion(client, name)
    if number is None:
        raise ContractMismatch(f"{name} has no champion; run `python -m training starter`")
    folder = download(client, name, number)
    rows = recipe.judge(folder, data, state_folder() / "training" / name)
    console.print(
        f"{name} version {number} learned from {read_manifest(folder).learned_from}. On people it "
        "learned from it does better than on others."
    )
    for row in rows:
        console.print(
            f"{row.metric:24s} {row.target:16s} {row.people:10s} "
            f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f}), n {row.n}"
        )
    first = rows[0].model_dump()
    print(json.dumps({**first, "version": number, "all": [row.model_dump() for row in rows]}))


@app.command()
def promote(name: Name, version: Annotated[str, typer.Argument(help="Version number.")]) -> None:
    """Make VERSION the champion if it is no worse and no less fair; say why not otherwise."""
    from training.promote import promote as move

    verdict = move(name, version)
    for reason in verdict.reasons:
        console.print(f"- {reason}")
    if not verdict.promoted:
        console.print(f"{name} version {version} was NOT promoted.")
        raise typer.Exit(1)
    console.print(f"{name} version {version} is the champion.")


CsvFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a text.")]


@app.command("behaviour")
def behaviour_of(
    texts: CsvFile,
    label: Annotated[str, typer.Option(help="Column of 0 and 1.")],
    test: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Other texts to judge it on."),
    ] = None,
) -> None:
    """How far a labelled behaviour of texts is told from its wording; the last line is JSON."""
    from training import behaviour

    given = behaviour.read(texts, label)
    found = (
        behaviour.held_out(given)
        if test is None
        else behaviour.judged(given, behaviour.read(test, label))
    )
    of = "ten repeats of ten folds" if test is None else str(test)
    right = found.accuracy
    console.print(
        f"accuracy {right.value:.3f} ({right.low:.3f} to {right.high:.3f}), n {right.n}; always "
        f"the commoner label {found.majority:.3f}; {of}"
    )
    shown = {"accuracy": right.value, "low": right.low, "high": right.high, "n": right.n}
    print(json.dumps({**shown, "majority": found.majority}))


@app.command()
def encoder(
    model: Annotated[str, typer.Argument(help="Folder or hub name of a transformers encoder.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write.")],
    data: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Rated answers to tune it on first."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Before every text, as `query: ` of E5.")] = "",
) -> None:
    """Export a sentence encoder for the LANGUAGE features; tune it first where --data is given.

    Versions that learned from another encoder must be fitted again.
    """
    from training import competency, encoders

    config = configs.load("competency", competency.CompetencyRecipe).encoder
    loaded = encoders.Loaded.of(model)
    questions: tuple[str, ...] = ()
    if data is not None:
        rated = competency.rated_table(data)
        loss = encoders.tune(loaded, rated, config, prefix=prefix)
        questions = tuple(rated["question"].unique())
        console.print(
            f"tuned on {len(rated)} answers to {len(questions)} questions, loss {loss:.3f}"
        )
    known = encoders.export(loaded, out, config, prefix=prefix, tuned_on=questions)
    console.print("For configs/encoder.yaml:")
    print(f"name: {known.name}\nwidth: {known.width}\nfolder: {json.dumps(str(out.resolve()))}")


@dataclass(frozen=True)
class Recipe:
    """A recipe with its configuration read. corpus : form of the folder it learns from."""

    corpus: str
    run: Callable[[Path, Path], Built]
    judge: Callable[[Path, Path, Path], list[Judged]]


def _recipe(name: str) -> Recipe:
    """The recipe called `name`; only its own module is imported, since each costs seconds."""
    if name == "speech":
        from training import speech

        config = configs.load("speech", speech.SpeechRecipe)
        return Recipe("speechocean762", partial(speech.run, config), speech.judge)
    if name == "expression":
        from training import expression

        recipe = configs.load("expression", expression.ExpressionRecipe)
        return Recipe("behaviour_ratings", partial(expression.run, recipe), expression.judge)
    if name == "competency":
        from training import competency

        rated = configs.load("competency", competency.CompetencyRecipe)
        return Recipe("zh_short_answer", partial(competency.run, rated), competency.judge)
    from training import weights

    history = configs.load("weights", weights.WeightsRecipe)
    return Recipe("siop2020", partial(weights.run, history), weights.judge)


def main(arguments: list[str] | None = None) -> None:
    """The program; what is expected to go wrong ends in one line and exit code 1.

    arguments : those of the command line when None
    """
    program.run(app, arguments, expected=_expected)


def _expected() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException

    from training.publish import CardIncomplete

    return CardIncomplete, MlflowException


if __name__ == "__main__":
    main()
