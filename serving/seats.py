"""Who is at work: one numbered seat for each living worker process.

DBOS asks for an executor id and takes up what that executor left unfinished. A seat is
such an id that is free again the moment its process dies, also by kill -9: a lock of the
operating system (SQLite) or of the server (PostgreSQL, over any number of machines).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from serving.database import create_engine
from serving.settings import ServingConfig

SEATS = 256
POSTGRESQL_LOCK = 7_315_260_500
"""First of `SEATS` advisory locks; an arbitrary number that nobody else uses."""


class Seats:
    """The seats of one database."""

    def __init__(self, config: ServingConfig) -> None:
        """Nothing is taken yet."""
        self._folder: Path | None = None
        self._engine: sa.Engine | None = None
        if config.workflow_database_url.startswith("sqlite"):
            self._folder = config.folder / "seats"
            self._folder.mkdir(exist_ok=True, mode=0o700)
        else:
            # A lock lives as long as its session, so sessions are not pooled.
            self._engine = create_engine(config.workflow_database_url, pool=NullPool)
        self._held: dict[int, int | sa.Connection] = {}

    def take(self) -> int:
        """The first free seat, held until the process ends or `close` is called."""
        for number in range(SEATS):
            if self._lock(number):
                return number
        raise RuntimeError(f"all {SEATS} worker seats are taken")

    @contextmanager
    def empty(self, among: Iterable[int]) -> Iterator[list[int]]:
        """Those of `among` nobody sits on; nobody can take one while the block runs."""
        others = sorted(set(among) - set(self._held))
        taken = [number for number in others if self._lock(number)]
        try:
            yield taken
        finally:
            for number in taken:
                self._unlock(number)

    def close(self) -> None:
        """Leave every seat."""
        for number in list(self._held):
            self._unlock(number)
        if self._engine is not None:
            self._engine.dispose()

    def _lock(self, number: int) -> bool:
        if self._folder is not None:
            return self._lock_file(self._folder / f"{number}.lock", number)
        assert self._engine is not None
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        query = sa.text("SELECT pg_try_advisory_lock(:key)")
        if connection.scalar(query, {"key": POSTGRESQL_LOCK + number}):
            self._held[number] = connection
            return True
        connection.close()
        return False

    def _lock_file(self, path: Path, number: int) -> bool:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held[number] = descriptor
        return True

    def _unlock(self, number: int) -> None:
        held = self._held.pop(number)
        if isinstance(held, int):
            os.close(held)
        else:
            held.close()


def executor_id(seat: int) -> str:
    """What DBOS calls the process on this seat."""
    return f"seat-{seat}"


def seat_number(executor: str | None) -> int | None:
    """The seat of an executor id; None for an id that is not one of ours."""
    prefix, _, number = (executor or "").partition("-")
    return int(number) if prefix == "seat" and number.isdigit() else None
