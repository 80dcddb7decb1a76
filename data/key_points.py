"""Which key points of a question an answer makes, and in which words.

Each point is compared with every sentence and clause by meaning (cosine) and by wording (share
of its units). What is near enough was `found`; what is far was `not_found` in these words,
which does not say that it was not meant; what lies between, or is denied where the point
affirms, is `unclear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

import configs
from data.content import parts
from data.contract import Record
from data.embedding import embed
from data.structure import NEGATION
from data.text import clauses, ngrams, normalised, units

Status = Literal["found", "unclear", "not_found"]


class KeyPointConfig(Record):
    """configs/key_points.yaml. Nearness is cosine + wording_weight · share of the point's units."""

    wording_weight: float = Field(ge=0)
    found: float
    not_found: float

    @model_validator(mode="after")
    def _in_order(self) -> KeyPointConfig:
        if self.not_found >= self.found:
            raise ValueError("not_found must lie below found")
        return self


@dataclass(frozen=True)
class Made:
    """One key point. quote : the sentence nearest to it, as it is judged; empty: none said"""

    point: str
    status: Status
    nearness: float
    quote: str


def key_points_made(
    answer: str, points: Sequence[str], config: KeyPointConfig | None = None
) -> tuple[Made, ...]:
    """Of each key point, in order, whether the answer makes it."""
    config = config or configs.load("key_points", KeyPointConfig)
    said = [sentence for sentence, kept in parts(answer) if kept]
    pieces = [(piece, said[i]) for i in range(len(said)) for piece in _pieces(said, i)]
    if not pieces:
        return tuple(Made(point, "not_found", 0.0, "") for point in points)
    read = [normalised(point) for point in points]
    cosine = embed(read) @ embed([piece for piece, _ in pieces]).T
    wording = np.array([[_share(point, piece) for piece, _ in pieces] for point in read])
    near = cosine + config.wording_weight * wording
    return tuple(
        _made(point, pieces[int(row.argmax())], float(row.max()), config)
        for point, row in zip(points, near, strict=True)
    )


def _made(point: str, piece: tuple[str, str], nearness: float, config: KeyPointConfig) -> Made:
    status: Status = "unclear"
    if nearness < config.not_found:
        status = "not_found"
    elif nearness >= config.found and _denies(piece[0]) == _denies(normalised(point)):
        status = "found"
    return Made(point, status, round(nearness, 4), piece[1])


def _pieces(said: Sequence[str], i: int) -> list[str]:
    """A sentence, its clauses, and it with the next one: a point may be made in either."""
    own = clauses(said[i])
    together = [" ".join(said[i : i + 2])] if i + 1 < len(said) else []
    return list(dict.fromkeys([said[i], *own, *together]))


def _share(point: str, piece: str) -> float:
    ours, theirs = (ngrams(units(text), 1) for text in (piece, point))
    return (ours & theirs).total() / max(theirs.total(), 1)


def _denies(text: str) -> bool:
    return len(NEGATION.findall(text)) % 2 == 1
