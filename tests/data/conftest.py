"""Fixtures of the tests of data: the face model, and pictures made with a known change."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from data.face import FaceTracker

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def made(module_at: Callable[[Path], ModuleType]) -> ModuleType:
    """The module tests/data/made_faces.py."""
    return module_at(HERE / "made_faces.py")


@pytest.fixture(scope="session")
def tracker() -> Iterator[FaceTracker]:
    with FaceTracker() as opened:
        yield opened


@dataclass(frozen=True)
class Photo:
    """A photograph, (480, 640, 3), and the 478 landmarks of its face in pixels."""

    image: np.ndarray
    points: np.ndarray


@pytest.fixture(scope="session", params=["collins", "hopper"])
def photo(request: pytest.FixtureRequest, made: ModuleType, tracker: FaceTracker) -> Photo:
    """Each of two public-domain photographs: one smiles, one does not and wears glasses."""
    image = made.photo(request.param, tracker)
    return Photo(image, made.mesh(image, tracker))


@pytest.fixture(scope="session")
def collins(made: ModuleType, tracker: FaceTracker) -> Photo:
    """The smiling one."""
    image = made.photo("collins", tracker)
    return Photo(image, made.mesh(image, tracker))


@pytest.fixture(scope="session")
def hopper(made: ModuleType, tracker: FaceTracker) -> Photo:
    """The one that does not smile."""
    image = made.photo("hopper", tracker)
    return Photo(image, made.mesh(image, tracker))
