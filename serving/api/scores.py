"""Score a recording, read the scorecard, draw the report, erase it all."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from anyio import CancelScope, sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import HTMLResponse, JSONResponse, Response

from data.contract import ConsentReference, Scorecard, ScoreRequest
from data.jobs import Job, UnknownQuestion
from serving.api.access import Caller
from serving.api.problems import TYPE, Problem, ProblemDetail, invalid, problems
from serving.api.state import SCORE_ID, Eraser, Here, Reader, Scorer
from serving.api.uploads import RECORDING, Submission, receive
from serving.log import log, trace_id
from serving.report import render_report
from serving.runtime import Runtime
from serving.store import OPEN, Conflict, Event, Interview, ScoreRow, Status

router = APIRouter(prefix="/v1/scores", tags=["scores"])
accepting = APIRouter(prefix="/v1", tags=["scores"])

RETRY_AFTER_S = 2
POLL_S = 0.1
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)


class ScoreResource(BaseModel):
    """One interview on its way to a scorecard, and the scorecard when it is there."""

    id: str
    status: Status
    created_at: str
    updated_at: str
    input_sha256: str = Field(description="of the recording as it was sent")
    receipt_sha256: str | None = Field(
        description="of `scorecard`, here or kept by anyone, as Python's `json.dumps(scorecard, "
        'sort_keys=True, separators=(",", ":"), ensure_ascii=False)` in UTF-8'
    )
    scorecard: Scorecard | None = None
    problem: ProblemDetail | None = Field(None, description="why there are no scores")
    superseded_by: str | None = None
    erased_at: str | None = None
    links: dict[str, str]


class Accepted(BaseModel):
    """The interview is kept and in line; ask at `links.self`."""

    id: str
    status: str = "queued"
    links: dict[str, str]


class Envelope(BaseModel):
    """What is said about the interview, and not about how it is scored."""

    consent: ConsentReference = Field("", description="reference of the candidate's consent")
    supersedes: str | None = Field(
        None, pattern=SCORE_ID, description="id of a score that this one replaces"
    )


MULTIPART: dict[str, Any] = {
    "type": "object",
    "required": [RECORDING],
    "properties": {
        RECORDING: {
            "type": "string",
            "format": "binary",
            "description": "mp4, webm, mov, m4a, mp3, wav, flac, ogg, amr or silk",
        },
        "request": {
            "type": "string",
            "description": "ScoreRequest as JSON; or send each of its fields as a form field",
        },
        **ScoreRequest.model_json_schema()["properties"],
        **Envelope.model_json_schema()["properties"],
    },
}

FROM_URL: dict[str, Any] = {
    "type": "object",
    "required": ["url", "request"],
    "additionalProperties": False,
    "properties": {
        "url": {"type": "string", "description": "under one of the configured `allowed_urls`"},
        "request": ScoreRequest.model_json_schema(),
        **Envelope.model_json_schema()["properties"],
    },
}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": MULTIPART},
            "application/json": {"schema": FROM_URL},
        },
    }
}


@accepting.post(
    "/score",
    status_code=202,
    response_model=Accepted,
    responses={
        200: {"model": ScoreResource, "description": "ended within `Prefer: wait`"},
        **problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=BODY,
)
async def score(
    request: Request,
    here: Here,
    caller: Scorer,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    prefer: Annotated[str | None, Header(description="`wait=N`: wait up to N seconds")] = None,
) -> Response:
    """Accept a recording to be scored. From the 202 on it is not lost.

    The same `Idempotency-Key` with the same body gives the same answer; with another body
    422, while the first is being received 409.
    """
    if problem := here.unready():
        raise problem
    if idempotency_key is None:
        score_id = await _accept(request, here, caller, None)
    else:
        score_id = await _accept_once(request, here, caller, idempotency_key)
    asked = WAIT.search(prefer or "")
    if asked is None:
        return _accepted(score_id)
    return await _waited(here, score_id, min(float(asked[1]), here.config.limits.wait_s))


async def _accept_once(request: Request, here: Runtime, caller: Caller, key: str) -> str:
    hours = here.config.idempotency_hours
    try:
        token = await run_sync(here.store.reserve, caller.id, key, hours)
    except Conflict as conflict:
        raise _conflict(conflict) from conflict
    try:
        return await _accept(request, here, caller, token)
    except BaseException:
        # Only a reservation that led to no score is released.
        with CancelScope(shield=True):
            await run_sync(here.store.release, token)
        raise


async def _accept(request: Request, here: Runtime, caller: Caller, token: str | None) -> str:
    submission = await receive(request, here.config, here.store.vault)
    # A cancelled request leaves this thread to its end; so the thread itself tidies up.
    return await run_sync(_keep, here, caller, submission, token)


def _keep(here: Runtime, caller: Caller, submission: Submission, token: str | None) -> str:
    """Id of the score, new or of the earlier request with this key."""
    try:
        check(submission, here, caller)
        interview = Interview(
            owner=caller.id,
            request=submission.request,
            input_sha256=submission.sha256,
            media=submission.media,
            suffix=submission.suffix,
            consent=submission.consent,
            supersedes=submission.supersedes,
            trace_id=trace_id.get(),
        )
        if token is None:
            score_id, new = here.store.accept(interview), True
        else:
            score_id, new = here.store.accept_once(interview, token)
    except Conflict as conflict:
        raise _conflict(conflict) from conflict
    finally:
        # The recording stays where a score names it, whatever broke after that was written.
        here.store.discard(submission.media)
    if new:
        _put(here, score_id)
    return score_id


def _put(here: Runtime, score_id: str) -> None:
    try:
        here.queue.put(score_id)
    except Exception as error:
        # It is accepted all the same: the worker's sweep finds it.
        log.error("not put in line", extra={"score": score_id, "error": type(error).__name__})


def check(submission: Submission, here: Runtime, caller: Caller) -> None:
    """Raises Problem 422 for what no worker could score, naming what there is."""
    request = submission.request
    try:
        envelope = Envelope(consent=submission.consent, supersedes=submission.supersedes)
    except ValidationError as error:
        raise invalid(error) from error
    _check_job(request, here.jobs)
    policy = here.config.policies.get(request.policy_region)
    if policy is None:
        known = ", ".join(here.config.policies)
        detail = f"Unknown policy region {request.policy_region!r}; there are: {known}."
        raise Problem(422, "unknown_policy_region", detail)
    if policy.requires_consent and not envelope.consent:
        detail = (
            f"In {request.policy_region} the candidate must have consented: send the reference "
            "of that consent in the field `consent`."
        )
        raise Problem(422, "consent_missing", detail)
    if submission.supersedes is not None:
        old = here.store.get(submission.supersedes)
        if old is None or not caller.may_see(old.owner):
            detail = f"There is no score {submission.supersedes!r} to supersede."
            raise Problem(422, "unknown_score", detail)


def _check_job(request: ScoreRequest, jobs: dict[str, Job]) -> None:
    job = jobs.get(request.job)
    if job is None:
        detail = f"Unknown job {request.job!r}; there are: {', '.join(sorted(jobs))}."
        raise Problem(422, "unknown_job", detail)
    if request.question is None:
        return
    try:
        job.question(request.question)
    except UnknownQuestion as error:
        text = str(error)
        raise Problem(422, "unknown_question", f"{text[0].upper()}{text[1:]}.") from error


def _conflict(conflict: Conflict) -> Problem:
    if conflict.code == "in_flight":
        detail = "A request with this Idempotency-Key is still being received; try again."
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return Problem(409, "idempotency_key_in_flight", detail, headers=headers)
    if conflict.code == "was_superseded":
        detail = "That score was superseded already; supersede the one that took its place."
        return Problem(409, "was_superseded", detail)
    detail = "This Idempotency-Key was used with another body; use a new key."
    return Problem(422, "idempotency_key_reused", detail)


def _accepted(score_id: str) -> Response:
    body = Accepted(id=score_id, links=_links(score_id)).model_dump()
    headers = {"Location": f"/v1/scores/{score_id}", "Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse(body, 202, headers)


async def _waited(here: Runtime, score_id: str, wait_s: float) -> Response:
    deadline = time.monotonic() + wait_s
    while await run_sync(here.store.status, score_id) in OPEN:
        if time.monotonic() >= deadline:
            return _accepted(score_id)
        await sleep(POLL_S)
    row = await run_sync(here.store.get, score_id)
    assert row is not None
    headers = {
        "Preference-Applied": "wait",
        "Content-Location": f"/v1/scores/{score_id}",
        "Cache-Control": "no-store",
    }
    return JSONResponse(resource(row), 200, headers)


# --- reading and erasing -----------------------------------------------------


@router.get("/{score_id}", response_model=ScoreResource, responses=problems(401, 403, 404))
def read(score_id: str, here: Here, caller: Reader) -> Response:
    """Status, and the scorecard when there is one."""
    row = _visible(here, caller, score_id)
    here.store.record(Event(caller.id, "score.read", score_id, trace_id=trace_id.get()))
    headers = {"Cache-Control": "no-store"}
    if row.status in OPEN:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(resource(row), 200, headers)


@router.get(
    "/{score_id}/report",
    response_class=HTMLResponse,
    responses=problems(401, 403, 404, 409, 410),
)
def report(score_id: str, here: Here, caller: Reader) -> Response:
    """The report: one HTML page that stands alone, Chinese and English."""
    row = _visible(here, caller, score_id)
    drawn = here.store.exhibit(score_id)
    if row.erased_at is not None:
        raise Problem(410, "score_erased", "This score was erased; only its receipt is left.")
    if drawn is None:
        detail = f"There is no report: the score is {row.status}."
        headers = {"Retry-After": str(RETRY_AFTER_S)} if row.status in OPEN else {}
        raise Problem(409, "no_scorecard", detail, headers=headers)
    here.store.record(Event(caller.id, "report.read", score_id, trace_id=trace_id.get()))
    scorecard, exhibit = drawn
    page = render_report(scorecard, exhibit)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.delete("/{score_id}", response_model=ScoreResource, responses=problems(401, 403, 404))
def erase(score_id: str, here: Here, caller: Eraser) -> Response:
    """Cancel what runs; remove recording, transcript, scorecard and exhibit for good.

    The row stays with its two hashes, so a receipt can still be recognised.
    """
    _visible(here, caller, score_id)
    erased = here.store.erase(score_id)
    outcome = "ok" if erased else "was_erased"
    here.store.record(Event(caller.id, "score.erase", score_id, outcome, trace_id.get()))
    row = here.store.get(score_id)
    assert row is not None
    return JSONResponse(resource(row), 200, {"Cache-Control": "no-store"})


def _visible(here: Runtime, caller: Caller, score_id: str) -> ScoreRow:
    row = here.store.get(score_id) if re.fullmatch(SCORE_ID, score_id) else None
    if row is None or not caller.may_see(row.owner):
        raise Problem(404, "unknown_score", "There is no such score.")
    return row


def resource(row: ScoreRow) -> dict[str, Any]:
    """The JSON of one score; the scorecard exactly as it was kept."""
    links = _links(row.id)
    if row.scorecard is not None:
        links["report"] = f"/v1/scores/{row.id}/report"
    return {
        "id": row.id,
        "status": row.status,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "input_sha256": row.input_sha256,
        "receipt_sha256": row.receipt_sha256,
        "scorecard": row.scorecard,
        "problem": _problem(row),
        "superseded_by": row.superseded_by,
        "erased_at": row.erased_at,
        "links": links,
    }


def _problem(row: ScoreRow) -> dict[str, Any] | None:
    if row.problem_code is None:
        return None
    ours = row.status == "failed"
    reason = (row.scorecard or {}).get("total_reason", "")
    return {
        "type": TYPE + row.problem_code,
        "title": "Scoring failed" if ours else "The recording could not be scored",
        "status": 500 if ours else 422,
        "detail": row.problem_detail or reason,
        "instance": f"/v1/scores/{row.id}",
        "code": row.problem_code,
        "trace_id": trace_id.get(),
    }


def _links(score_id: str) -> dict[str, str]:
    return {"self": f"/v1/scores/{score_id}"}
