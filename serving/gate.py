"""What every request passes first: trace id, size limit, faults, numbers, log line."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.problems import Problem, respond, unexpected
from serving.api.uploads import body_too_large, too_large
from serving.log import log, trace_id
from serving.runtime import Runtime

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
QUIET = ("/healthz", "/readyz", "/metrics")
"""Probes are counted and not logged."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Counted by name; a caller may send any other word, and each would be a series of its own."""

CLIENT_LEFT = 499
"""Counted, never sent: the caller hung up first."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Gate:
    """ASGI application around `application`; BentoML itself reads bodies of any size."""

    def __init__(self, application: ASGIApp, runtime: Runtime) -> None:
        """`runtime` holds the limits and the counters."""
        self._application = application
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        trace_id.set(_trace_id(Headers(scope=scope)))
        visit = Visit(send)
        began = time.perf_counter()
        try:
            limited = self._limited(scope, receive)
            await self._application(scope, limited, visit.send)
        except ClientDisconnect:
            visit.status = CLIENT_LEFT
        except Exception as error:
            # FastAPI answers its own faults as problems and raises them once more.
            if not visit.begun:
                problem = error if isinstance(error, Problem) else unexpected(error)
                await respond(problem, scope["path"])(scope, receive, visit.send)
        self._note(scope, visit.status, time.perf_counter() - began)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that raises Problem 413 at the limit, and asks for nothing beyond it."""
        limits = self._runtime.config.limits
        limit, beyond = limits.request_bytes, body_too_large(limits.request_bytes)
        if scope["path"] == "/v1/score":
            limit, beyond = limit + limits.upload_bytes, too_large(limits.upload_bytes)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise beyond
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise beyond
            return message

        return limited

    def _note(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._runtime.metrics.count(method, route, status, duration_s)
        if route not in QUIET:
            fields = {"method": method, "route": route, "status": status}
            log.info("answered", extra={**fields, "duration_ms": round(1000 * duration_s, 1)})


class Visit:
    """What was sent back so far, with the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        """Nothing yet; 500 unless something else is sent."""
        self._send = send
        self.status = 500
        self.begun = False

    async def send(self, message: Message) -> None:
        """Pass `message` on."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Trace-Id"] = trace_id.get()
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _trace_id(headers: Headers) -> str:
    match = TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return match[1] if match else secrets.token_hex(16)
