"""What a route asks for by its parameters: the runtime, and a caller with a right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.api.access import Caller, Right, identify, require
from serving.runtime import Runtime

SCORE_ID = r"^[0-9a-f]{32}$"
"""A score's id; no other text is looked up in the database."""

BEARER = HTTPBearer(auto_error=False, description="an API key: iv_…")


def runtime(request: Request) -> Runtime:
    """The runtime of this process."""
    return cast(Runtime, request.app.state.runtime)


Here = Annotated[Runtime, Depends(runtime)]


def identified(
    request: Request,
    here: Here,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> Caller:
    """Whoever sent the request. Raises Problem 401."""
    return identify(here.store, request.headers.get("authorization"))


def _having(right: Right) -> Callable[[Caller], Caller]:
    def caller(identified: Annotated[Caller, Depends(identified)]) -> Caller:
        require(identified, right)
        return identified

    return caller


Scorer = Annotated[Caller, Depends(_having("score"))]
Reader = Annotated[Caller, Depends(_having("read"))]
Eraser = Annotated[Caller, Depends(_having("erase"))]
Auditor = Annotated[Caller, Depends(_having("audit"))]
