"""Who did what, when, to which score."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from serving.api.problems import problems
from serving.api.state import SCORE_ID, Auditor, Here
from serving.log import trace_id
from serving.store import Event

LAST = 2**31 - 1
"""Largest number the trail may reach: PostgreSQL's INTEGER."""

ScoreId = Annotated[
    str | None, Query(pattern=SCORE_ID, description="only what was done to this score")
]
After = Annotated[int, Query(ge=0, le=LAST, description="number of the last line already seen")]

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class Line(BaseModel):
    """One act. actor: id of an API key, `worker` or `operator`."""

    number: int
    at: str
    actor: str
    action: str
    score: str | None
    outcome: str
    trace_id: str


class Trail(BaseModel):
    """Lines, oldest first; ask for what follows with `after`."""

    lines: list[Line]


@router.get("", responses=problems(401, 403, 422))
def trail(
    here: Here,
    caller: Auditor,
    score: ScoreId = None,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Trail:
    """The audit trail, which only grows; reading it is a line of it."""
    here.store.record(Event(caller.id, "audit.read", score, trace_id=trace_id.get()))
    lines = here.store.trail(score=score, after=after, limit=limit)
    return Trail(lines=[Line.model_validate(line) for line in lines])
