"""Every error as RFC 9457 `application/problem+json`, without personal data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from serving.log import log, place, trace_id
from serving.store import DATABASE_AWAY
from serving.vault import FULL

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:interview-scoring:problem:"


class ProblemDetail(BaseModel):
    """RFC 9457. `code` is stable and for machines, `detail` is for people."""

    type: str = Field(description="URN of the kind of problem")
    title: str
    status: int
    detail: str
    instance: str = Field(description="path that was asked for")
    code: str
    trace_id: str = Field(description="quote it when you ask for help")
    errors: list[dict[str, str]] | None = Field(None, description="wrong fields: where, what")


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """`detail` says what was needed, what came, and what to do next."""
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})
        self.errors = errors


def respond(problem: Problem, instance: str) -> Response:
    """The problem as a response to the request of path `instance`."""
    body: dict[str, Any] = {
        "type": TYPE + problem.code,
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "trace_id": trace_id.get(),
    }
    if problem.errors is not None:
        body["errors"] = [dict(error) for error in problem.errors]
    headers = {**problem.headers, "Cache-Control": "no-store"}
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def invalid(error: ValidationError | RequestValidationError) -> Problem:
    """The wrong fields by place and rule; the values stay out, they may be personal."""
    errors = [
        {"field": ".".join(str(part) for part in entry["loc"]), "problem": str(entry["msg"])}
        for entry in error.errors()
    ]
    return Problem(422, "invalid_request", "The request has wrong fields.", errors=errors)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these, for the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{ProblemDetail.__name__}"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return respond(error, request.url.path)

    async def wrong_fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(invalid(error), request.url.path)

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        headers = dict(error.headers or {})
        problem = Problem(error.status_code, code, f"{phrase}.", headers=headers)
        return respond(problem, request.url.path)

    async def fault(request: Request, error: Exception) -> Response:
        return respond(unexpected(error), request.url.path)

    app.add_exception_handler(Exception, fault)
    app.add_exception_handler(Problem, ours)
    app.add_exception_handler(RequestValidationError, wrong_fields)
    app.add_exception_handler(HTTPException, of_framework)


def unexpected(error: BaseException) -> Problem:
    """A fault of ours: logged by type and place, told by trace id only.

    503 where what is missing comes back (the database, room on the disk), else 500.
    """
    log.error("request broke off", extra={"error": type(error).__name__, "place": place(error)})
    if isinstance(error, DATABASE_AWAY):
        return _for_now("database_unreachable", "The database of the service does not answer")
    if isinstance(error, OSError) and error.errno in FULL:
        return _for_now("storage_full", "There is no room left to keep recordings")
    detail = "The service broke. Quote the trace id when you report it; retrying is safe."
    return Problem(500, "internal_error", detail)


def _for_now(code: str, what: str) -> Problem:
    detail = f"{what}. Send the same request again; with an Idempotency-Key it counts once."
    return Problem(503, code, detail, headers={"Retry-After": "60", "Connection": "close"})
