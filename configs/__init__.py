"""The one reader of the YAML files in this folder."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

FOLDER = Path(__file__).parent

Model = TypeVar("Model", bound=BaseModel)


def load(noun: str, model: type[Model], **overrides: Any) -> Model:
    """`configs/<noun>.yaml` as a checked, frozen `model`.

    overrides : values that replace those of the file, by top-level key.
    Raises pydantic.ValidationError naming the file's wrong or unknown key.
    """
    return model.model_validate({**_values(FOLDER / f"{noun}.yaml"), **overrides})


def load_each(noun: str, model: type[Model]) -> dict[str, Model]:
    """Every `configs/<noun>/<key>.yaml` by its key, each checked as `load` does."""
    files = sorted((FOLDER / noun).glob("*.yaml"))
    return {file.stem: model.model_validate(_values(file)) for file in files}


def _values(file: Path) -> dict[str, Any]:
    # libyaml's loader: the question bank takes seconds without it
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), loader) or {}
