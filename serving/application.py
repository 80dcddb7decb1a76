"""The FastAPI application: every route, and its errors as problem details."""

from __future__ import annotations

from fastapi import FastAPI

from serving.api import audit, docs, health, models, problems, scores
from serving.runtime import Runtime

DESCRIPTION = (
    "Scores recorded interview answers: speech, expression and competencies, each with an "
    "interval, its evidence, and the version that made it. What cannot be scored is said, "
    "never guessed. A score supports a person's decision and never replaces it."
)


def application(runtime: Runtime) -> FastAPI:
    """The application that answers with what `runtime` holds."""
    app = FastAPI(
        title="Interview scoring",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    problems.install(app)
    for router in (
        scores.accepting,
        scores.router,
        models.router,
        audit.router,
        health.router,
        docs.router,
    ):
        app.include_router(router)
    return app
