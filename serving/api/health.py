"""Is it alive, can it score, what has it done."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from serving.api.problems import problems
from serving.api.state import Here

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses=problems(503))
def readyz(here: Here) -> Response:
    """The models are loaded and fit this code, and the database answers; 503 says what not."""
    if problem := here.unready() or here.cut_off():
        raise problem
    versions = {name: version.version for name, version in (here.champions or {}).items()}
    return JSONResponse({"status": "ready", "versions": versions})


@router.get("/metrics", response_class=Response)
def metrics(here: Here) -> Response:
    """Numbers for Prometheus."""
    return Response(here.metrics.text(), media_type=CONTENT_TYPE_LATEST)
