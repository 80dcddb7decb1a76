"""Structured logs: one JSON object a line, and no personal data in any.

What may be said is a fixed sentence plus ids, codes, counts and durations. Exceptions are
logged by type and place only: their messages and local values may quote a candidate.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("interview")

trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the request being answered; empty outside one."""

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One record as one JSON object; `extra` becomes fields of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the end of line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace_id.get():
            line["trace_id"] = trace_id.get()
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        return json.dumps(line, ensure_ascii=False, default=str)


def place(error: BaseException) -> str:
    """file:line that raised the error; empty where it was never raised."""
    deepest = error.__traceback__
    while deepest is not None and deepest.tb_next is not None:
        deepest = deepest.tb_next
    if deepest is None:
        return ""
    return f"{Path(deepest.tb_frame.f_code.co_filename).name}:{deepest.tb_lineno}"


def configure() -> None:
    """Send the logs of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("interview", logging.INFO), ("dbos", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
