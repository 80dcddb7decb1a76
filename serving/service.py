"""The BentoML service: one process, our FastAPI application in front of BentoML's routes.

`bentoml serve serving.service:service`. Probes answer first; /readyz turns 200 when the
models are loaded. BentoML imports this file twice, in the process that supervises and in
the one that serves, so what only serving needs is imported when that one starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bentoml

from serving.settings import ServingConfig, load_config

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from serving.runtime import Models, Runtime

SPARE_S = 30
"""BentoML's timer answers with JSON of its own, so it must end after our own limits."""


class Mounted:
    """The ASGI application of this process, there once the service has started."""

    def __init__(self) -> None:
        """BentoML wants the application while this file is imported; it comes later."""
        self.application: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert self.application is not None, "BentoML starts the service before it listens"
        await self.application(scope, receive, send)


class OursFirst:
    """ASGI middleware that answers every HTTP request with the mounted application.

    BentoML's `/`, `/docs.json`, `/healthz`, `/readyz` and `/metrics` would come before it,
    and its front page loads a tag manager.
    """

    def __init__(self, app: ASGIApp, mounted: Mounted) -> None:
        """`app` is BentoML's own application; it keeps starting and stopping the service."""
        self._app = app
        self._mounted = mounted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on a start or a stop."""
        chosen = self._mounted if scope["type"] == "http" else self._app
        await chosen(scope, receive, send)


def registered() -> Models:
    """The models of the registry."""
    from serving.runtime import registered

    return registered()


def create(
    models: Callable[[], Models] = registered,
    config: Callable[[], ServingConfig] = load_config,
) -> Any:
    """The BentoML service. `models` and `config` are called when a process starts."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    mounted = Mounted()
    limits = config().limits

    @bentoml.service(
        name="interview-scoring",
        workers=1,
        traffic={"timeout": limits.upload_timeout_s + limits.wait_s + SPARE_S},
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
    )
    @bentoml.asgi_app(mounted, path="/")
    class InterviewScoring:
        """One process: it answers, and scores what is in line."""

        def __init__(self) -> None:
            self.runtime = _start(mounted, config(), models)

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        @staticmethod
        def refuse_newer_database() -> None:
            """Once, before any process starts. Raises ContractMismatch."""
            from serving.store import Store

            Store.open(config()).close()

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        def leave(self) -> None:
            """Stop scoring; what is not finished stays in line."""
            self.runtime.stop()

    service: Any = InterviewScoring
    service.add_asgi_middleware(OursFirst, mounted=mounted)
    return service


def _start(mounted: Mounted, config: ServingConfig, models: Callable[[], Models]) -> Runtime:
    from serving.application import application
    from serving.gate import Gate
    from serving.log import configure
    from serving.runtime import Runtime

    configure()
    runtime = Runtime(config, models)
    mounted.application = Gate(application(runtime), runtime)
    runtime.start()
    return runtime


service = create()
