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
    values = yaml.safe_load((FOLDER / f"{noun}.yaml").read_text(encoding="utf-8")) or {}
    return model.model_validate({**values, **overrides})
