"""Whether the database answers, asked without hanging on it."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import sqlalchemy as sa

from serving.database import create_engine, scores


class Pulse:
    """Asks the database one cheap question at a time, on a connection of its own.

    The pool's connections may all be waiting; one that is new shows that others can be had.
    """

    def __init__(self, database_url: str) -> None:
        """Nothing is opened before the first question."""
        self._engine = create_engine(database_url, sa.NullPool)
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None

    def beats(self, *, within_s: float) -> bool:
        """Whether the database answers in that time; a question under way is not repeated."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                # A daemon: a connection that hangs for minutes must not keep the process.
                threading.Thread(target=self._ask, args=(self._asked,), daemon=True).start()
            asked = self._asked
        try:
            asked.result(within_s)
        except Exception:
            return False
        return True

    def _ask(self, asked: Future[None]) -> None:
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.select(scores.c.id).limit(1))
        except Exception as error:
            asked.set_exception(error)
        else:
            asked.set_result(None)
