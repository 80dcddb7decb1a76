"""The tables of the service, their migrations, and how the database is opened.

Times are UTC in ISO 8601, which sorts as text in SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from data.contract import ContractMismatch

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30
WRITES = {"interview_writes": True}
"""Execution option of a connection whose transaction takes SQLite's write lock at its start.

One that reads first and writes later can fail as busy at once; this one waits its turn.
"""

metadata = sa.MetaData()

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("revoked_at", sa.String(32)),
)

scores = sa.Table(
    "scores",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(16), sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("status", sa.String(12), nullable=False, index=True),
    sa.Column("created_at", sa.String(32), nullable=False, index=True),
    sa.Column("updated_at", sa.String(32), nullable=False),
    sa.Column("job", sa.String(100), nullable=False),
    sa.Column("question", sa.String(100)),
    sa.Column("policy_region", sa.String(40), nullable=False),
    sa.Column("consent", sa.String(200), nullable=False),
    sa.Column("sealed_request", sa.LargeBinary),
    sa.Column("input_sha256", sa.String(64), nullable=False),
    sa.Column("media", sa.String(64), unique=True),
    sa.Column("suffix", sa.String(8), nullable=False),
    sa.Column("media_until", sa.String(32), index=True),
    sa.Column("stills_until", sa.String(32), index=True),
    sa.Column("record_until", sa.String(32), index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sealed_scorecard", sa.LargeBinary),
    sa.Column("sealed_exhibit", sa.LargeBinary),
    sa.Column("sealed_stills", sa.LargeBinary),
    sa.Column("receipt_sha256", sa.String(64)),
    sa.Column("problem_code", sa.String(60)),
    sa.Column("problem_detail", sa.Text),
    sa.Column("superseded_by", sa.String(40)),
    sa.Column("erased_at", sa.String(32)),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("owner", sa.String(16), sa.ForeignKey("api_keys.id"), primary_key=True),
    sa.Column("key_sha256", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("body_fingerprint", sa.String(64)),
    sa.Column("score", sa.String(40), sa.ForeignKey("scores.id")),
)

vault_mark = sa.Table(
    "vault_mark",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
"""One row: a mark sealed with the vault's key; the folder of the recordings holds it open."""

audit_trail = sa.Table(
    "audit_trail",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False, index=True),
    sa.Column("actor", sa.String(40), nullable=False),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("score", sa.String(40), index=True),
    sa.Column("outcome", sa.String(60), nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
)


def create_engine(url: str, pool: type[sa.Pool] | None = None) -> sa.Engine:
    """An engine with what this service relies on: WAL, foreign keys, patience.

    pool : None for the usual one
    """
    # PostgreSQL is read through psycopg 3, whichever of its URL forms was given.
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if not parsed.drivername.startswith("sqlite"):
        return sa.create_engine(parsed, pool_pre_ping=True, poolclass=pool)
    engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def insert_once(
    connection: sa.Connection, table: sa.Table, values: dict[str, Any]
) -> sa.CursorResult[Any]:
    """Insert a row unless there is one of its key, also when two do it at the same moment.

    PostgreSQL waits for the other to commit; what is read afterwards is the row that won.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing())


def migrate(engine: sa.Engine, folder: Path) -> None:
    """Bring the tables to this code's version.

    folder : where processes of this machine agree whose turn it is
    Raises ContractMismatch if the database was written by newer code.
    """
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with _only_one(engine, folder), engine.connect() as connection:
        connection = connection.execution_options(**WRITES)
        with connection.begin():
            _refuse_newer(connection, ScriptDirectory.from_config(alembic))
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, "head")


def _refuse_newer(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise ContractMismatch(
            f"the score database is at version {current}, this code knows up to "
            f"{scripts.get_current_head()}: start the newer service, or restore a backup"
        )


@contextmanager
def _only_one(engine: sa.Engine, folder: Path) -> Iterator[None]:
    if engine.dialect.name == "postgresql":
        # Of the transaction, not of the session: a pooled session would keep it.
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7315260418)"))
            yield
        return
    with (folder / "migrate.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver must not begin transactions by itself: see _begin_sqlite.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("interview_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
