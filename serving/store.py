"""What the service remembers: scores, keys, idempotency, audit trail.

What is personal (request, scorecard, exhibit) is sealed by the vault before it is
written, so a stolen database says nothing about a candidate without the vault's key.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from data.contract import ContractMismatch, Exhibit, Scorecard, Scored, ScoreRequest
from serving.database import (
    WRITES,
    api_keys,
    audit_trail,
    create_engine,
    idempotency,
    insert_once,
    migrate,
    scores,
    vault_mark,
)
from serving.settings import Policy, ServingConfig
from serving.vault import MARK, Vault, VaultError

Status = Literal["queued", "running", "completed", "abstained", "failed", "cancelled", "superseded"]
OPEN: tuple[Status, ...] = ("queued", "running")
"""Statuses that still change by themselves."""

DATABASE_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
"""The database does not answer, or has no room; it may in a moment."""

DAYS_TO_LOOK = 30
"""A failed interview is kept this long, for a person to find out why."""


class Conflict(Exception):
    """What was sent meets what came before it.

    `code` says how: the first request with its idempotency key is in_flight, or had an
    other_body; the score it supersedes was_superseded by another.
    """

    def __init__(self, code: Literal["in_flight", "other_body", "was_superseded"]) -> None:
        """`code` is what the caller is told."""
        super().__init__(code)
        self.code = code


class NotRetried(Exception):
    """A score that cannot be put back in line, and why."""


@dataclass(frozen=True)
class Interview:
    """What is known when a recording is accepted.

    supersedes : id of the score that this one replaces
    """

    owner: str
    request: ScoreRequest
    input_sha256: str
    media: str
    suffix: str
    consent: str = ""
    supersedes: str | None = None
    trace_id: str = ""

    @property
    def body(self) -> str:
        """All that the caller sent: the same for the same request sent again."""
        request = self.request.model_dump_json()
        return json.dumps([self.input_sha256, self.suffix, request, self.consent, self.supersedes])


@dataclass(frozen=True)
class Attempt:
    """One try at scoring; `number` counts from 1 and guards what it writes."""

    score_id: str
    number: int
    sealed_request: bytes
    media: str
    suffix: str
    policy_region: str


@dataclass(frozen=True)
class ScoreRow:
    """A score as callers may see it; scorecard is its JSON, None until there is one."""

    id: str
    owner: str
    status: Status
    created_at: str
    updated_at: str
    scorecard: dict[str, Any] | None
    problem_code: str | None
    problem_detail: str | None
    input_sha256: str
    receipt_sha256: str | None
    superseded_by: str | None
    erased_at: str | None


@dataclass(frozen=True)
class KeyRow:
    """A stored API key: never the key itself."""

    id: str
    role: str
    label: str
    salt: bytes
    digest: bytes
    revoked: bool


@dataclass(frozen=True)
class Event:
    """One line of the audit trail: who did what to which score, and how it ended."""

    actor: str
    action: str
    score: str | None = None
    outcome: str = "ok"
    trace_id: str = ""


class Store:
    """The tables of one database, and the vault that seals what is personal in them."""

    def __init__(self, engine: sa.Engine, vault: Vault, policies: Mapping[str, Policy]) -> None:
        """`policies` sets how long media and records of each region are kept."""
        self.vault = vault
        self._engine = engine
        self._policies = policies

    @classmethod
    def open(cls, config: ServingConfig) -> Store:
        """The migrated store and its vault.

        Raises ContractMismatch if newer code has written the database, or if it belongs to
        another vault key or another folder of recordings than this process has.
        """
        engine = create_engine(config.database_url)
        migrate(engine, config.folder)
        with engine.connect() as connection:
            new = connection.scalar(sa.select(vault_mark.c.number)) is None
        try:
            vault = Vault.open(config, new=new)
        except VaultError as error:
            raise ContractMismatch(str(error)) from error
        store = cls(engine, vault, config.policies)
        store._check_vault()
        return store

    def _check_vault(self) -> None:
        """Raises ContractMismatch unless database, key and recordings belong together."""
        mark = secrets.token_hex(16)
        with self._write() as connection:
            values = {"number": 1, "sealed": self._sealed(mark, MARK)}
            insert_once(connection, vault_mark, values)
            sealed = connection.scalar(sa.select(vault_mark.c.sealed))
            assert sealed is not None
            kept = self._kept_mark(sealed)
            if kept != mark:
                self._check_folder(kept)
            elif self.vault.names():
                raise ContractMismatch(
                    f"{self.vault.media} holds recordings and the database is new: restore the "
                    "database they belong to, or remove them"
                )
            else:
                self.vault.set_mark(mark)

    def _kept_mark(self, sealed: bytes) -> str:
        try:
            return self._opened(sealed, MARK).decode()
        except VaultError as error:
            raise ContractMismatch(
                "the vault's key is not the one this database was sealed with: restore that key"
            ) from error

    def _check_folder(self, mark: str) -> None:
        if self.vault.mark != mark:
            raise ContractMismatch(
                f"{self.vault.media} is not where the recordings of this database are: mount "
                "that folder there, or name it in vault.folder of configs/serving.yaml"
            )

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as plain:
            connection = plain.execution_options(**WRITES)
            with connection.begin():
                yield connection

    # --- accepting -----------------------------------------------------------

    def accept(self, interview: Interview) -> str:
        """Id of the queued score. From here on the interview is not lost.

        Raises Conflict("was_superseded").
        """
        with self._write() as connection:
            return self._accept(connection, interview)

    def reserve(self, owner: str, key: str, hours: float) -> str:
        """A token for `accept_once`: the same one for `hours`, for each owner and key.

        Raises Conflict("in_flight") while the first request is still being received.
        """
        digest, token = _sha256(key), secrets.token_hex(16)
        mine = (idempotency.c.owner == owner) & (idempotency.c.key_sha256 == digest)
        # A process that died while it received leaves its reservation behind.
        abandoned = idempotency.c.score.is_(None) & (idempotency.c.created_at < _ago(minutes=15))
        past = idempotency.c.created_at < _ago(hours=hours)
        values = {"owner": owner, "key_sha256": digest, "token": token, "created_at": _now()}
        with self._write() as connection:
            connection.execute(sa.delete(idempotency).where(mine & (past | abandoned)))
            insert_once(connection, idempotency, values)
            row = connection.execute(sa.select(idempotency).where(mine)).one_or_none()
        # Gone again: the first request was refused, and has just let go of its key.
        if row is None or (row.score is None and row.token != token):
            raise Conflict("in_flight")
        return str(row.token)

    def release(self, token: str) -> None:
        """Forget a reservation whose request was refused, so a corrected one may use the key."""
        with self._write() as connection:
            connection.execute(
                sa.delete(idempotency).where(
                    (idempotency.c.token == token) & idempotency.c.score.is_(None)
                )
            )

    def accept_once(self, interview: Interview, token: str) -> tuple[str, bool]:
        """(score id, True if it is new).

        Raises Conflict: other_body; was_superseded; in_flight where the token was let go or
        ran out meanwhile.
        """
        mine = idempotency.c.token == token
        body = self.vault.fingerprint(interview.body.encode())
        with self._write() as connection:
            # Locked, so that `release` cannot take away what this is about to fill.
            row = connection.execute(
                sa.select(idempotency).where(mine).with_for_update()
            ).one_or_none()
            if row is None:
                raise Conflict("in_flight")
            if row.score is not None:
                if row.body_fingerprint != body:
                    raise Conflict("other_body")
                return str(row.score), False
            score_id = self._accept(connection, interview)
            values = {"score": score_id, "body_fingerprint": body}
            connection.execute(sa.update(idempotency).where(mine).values(values))
            return score_id, True

    def _accept(self, connection: sa.Connection, interview: Interview) -> str:
        score_id, now = secrets.token_hex(16), _now()
        request = interview.request
        connection.execute(
            sa.insert(scores).values(
                id=score_id,
                owner=interview.owner,
                status="queued",
                created_at=now,
                updated_at=now,
                job=request.job,
                question=request.question,
                policy_region=request.policy_region,
                consent=interview.consent,
                sealed_request=self._sealed(request.model_dump_json(), score_id),
                input_sha256=interview.input_sha256,
                media=interview.media,
                suffix=interview.suffix,
                attempts=0,
            )
        )
        trace_id = interview.trace_id
        _record(connection, Event(interview.owner, "score.create", score_id, trace_id=trace_id))
        if interview.supersedes is not None:
            self._supersede(connection, interview, score_id)
        return score_id

    def _supersede(self, connection: sa.Connection, interview: Interview, new: str) -> None:
        """What was erased stays cancelled; everything else ends and is kept as its policy says."""
        old = interview.supersedes
        assert old is not None
        query = sa.select(scores.c.policy_region).where(scores.c.id == old)
        policy = self._policy(connection.scalars(query).one())
        changed = connection.execute(
            sa.update(scores)
            .where((scores.c.id == old) & scores.c.superseded_by.is_(None))
            .values(
                status=sa.case((scores.c.erased_at.is_(None), "superseded"), else_="cancelled"),
                superseded_by=new,
                updated_at=_now(),
                media_until=_now(),
                record_until=sa.func.coalesce(
                    scores.c.record_until, _ahead(days=policy.record_days)
                ),
            )
        )
        if not changed.rowcount:
            raise Conflict("was_superseded")
        _record(
            connection,
            Event(interview.owner, "score.supersede", old, f"by:{new}", interview.trace_id),
        )

    def discard(self, media: str) -> None:
        """Remove a recording, unless a score names it."""
        if not self._ids(scores.c.media == media):
            self.vault.delete(media)

    # --- scoring -------------------------------------------------------------

    def begin(self, score_id: str) -> Attempt | None:
        """The next try at this score, now running; None where nothing is left to do."""
        mine = (scores.c.id == score_id) & scores.c.status.in_(OPEN)
        with self._write() as connection:
            connection.execute(
                sa.update(scores)
                .where(mine)
                .values(status="running", attempts=scores.c.attempts + 1, updated_at=_now())
            )
            row = connection.execute(sa.select(scores).where(mine)).one_or_none()
        if row is None:
            return None
        return Attempt(
            score_id, row.attempts, row.sealed_request, row.media, row.suffix, row.policy_region
        )

    def request(self, attempt: Attempt) -> ScoreRequest:
        """What the caller asked for. Raises VaultError, or ValidationError for an older shape."""
        opened = self._opened(attempt.sealed_request, attempt.score_id)
        return ScoreRequest.model_validate_json(opened)

    def finish(self, attempt: Attempt, scored: Scored) -> bool:
        """Keep the scorecard under this score's id; False if it was cancelled meanwhile."""
        scorecard = scored.scorecard.model_copy(update={"id": attempt.score_id})
        text = scorecard.model_dump_json()
        code = scorecard.not_scored[0].code if scorecard.not_scored else "nothing_scored"
        return self._end(
            attempt,
            scorecard.status,
            sealed_scorecard=self._sealed(text, attempt.score_id),
            receipt_sha256=receipt(text),
            problem_code=code if scorecard.status == "abstained" else None,
            **self._kept_exhibit(attempt, scored.exhibit),
        )

    def _kept_exhibit(self, attempt: Attempt, exhibit: Exhibit) -> dict[str, Any]:
        """Columns of the exhibit: its stills apart, since they show a face and go earlier."""
        stills = Exhibit(key_frames=exhibit.key_frames)
        rest = exhibit.model_copy(update={"key_frames": ()})
        columns: dict[str, Any] = {
            "sealed_exhibit": self._sealed(rest.model_dump_json(), attempt.score_id)
        }
        days = self._policy(attempt.policy_region).key_frame_days
        if stills.key_frames and days:
            columns["sealed_stills"] = self._sealed(stills.model_dump_json(), attempt.score_id)
            columns["stills_until"] = _ahead(days=days)
        return columns

    def abstain(self, attempt: Attempt, code: str, detail: str) -> bool:
        """The recording cannot be scored; `detail` tells the candidate what to do."""
        return self._end(attempt, "abstained", problem_code=code, problem_detail=detail)

    def fail(self, score_id: str, code: str, detail: str) -> bool:
        """Our fault, after every retry; the recording is kept for a person to look at."""
        mine = (scores.c.id == score_id) & scores.c.status.in_(OPEN)
        values = {"status": "failed", "problem_code": code, "problem_detail": detail}
        with self._write() as connection:
            changed = connection.execute(
                sa.update(scores)
                .where(mine)
                .values(**values, updated_at=_now(), record_until=_ahead(days=DAYS_TO_LOOK))
            )
            if changed.rowcount:
                _record(connection, Event("worker", "score.end", score_id, f"failed:{code}"))
            return bool(changed.rowcount)

    def _end(self, attempt: Attempt, status: str, **values: Any) -> bool:
        policy = self._policy(attempt.policy_region)
        dates = {
            "updated_at": _now(),
            "media_until": _ahead(days=policy.media_days),
            "record_until": _ahead(days=policy.record_days),
        }
        with self._write() as connection:
            changed = connection.execute(
                sa.update(scores).where(_held(attempt)).values(status=status, **dates, **values)
            )
            if changed.rowcount:
                outcome = ":".join(filter(None, (status, values.get("problem_code"))))
                _record(connection, Event("worker", "score.end", attempt.score_id, outcome))
            return bool(changed.rowcount)

    def hand_back(self, attempt: Attempt) -> None:
        """Put the score back in line as if this try had not been: what it needed was away."""
        values = {"status": "queued", "attempts": attempt.number - 1, "updated_at": _now()}
        with self._write() as connection:
            connection.execute(sa.update(scores).where(_held(attempt)).values(values))

    def retry(self, score_id: str) -> None:
        """Put a failed score back in line, its tries counted anew. Raises NotRetried."""
        mine = scores.c.id == score_id
        fresh = {"status": "queued", "attempts": 0, "updated_at": _now(), "record_until": None}
        with self._write() as connection:
            row = connection.execute(
                sa.select(scores.c.status, scores.c.media).where(mine).with_for_update()
            ).one_or_none()
            if row is None or row.status != "failed":
                found = "there is none" if row is None else f"it is {row.status}"
                raise NotRetried(f"only a failed score is tried again, and {found}")
            if row.media is None or not self.vault.holds(row.media):
                raise NotRetried("its recording is gone; ask the candidate for another")
            connection.execute(
                sa.update(scores)
                .where(mine)
                .values(**fresh, problem_code=None, problem_detail=None)
            )
            _record(connection, Event("operator", "score.retry", score_id))

    def failed(self) -> list[str]:
        """Ids of every score that ended by a fault of ours, oldest first."""
        return self._ids(scores.c.status == "failed")

    def waiting(self) -> list[str]:
        """Ids of every score that is accepted and not ended, oldest first."""
        return self._ids(scores.c.status.in_(OPEN))

    # --- reading -------------------------------------------------------------

    def get(self, score_id: str) -> ScoreRow | None:
        """The score, with its scorecard opened; None where there is no such id."""
        with self._read() as connection:
            row = connection.execute(sa.select(scores).where(scores.c.id == score_id)).one_or_none()
        if row is None:
            return None
        scorecard = None
        if row.sealed_scorecard is not None:
            scorecard = json.loads(self._opened(row.sealed_scorecard, score_id))
        fields = {
            name: getattr(row, name)
            for name in ScoreRow.__dataclass_fields__
            if name in row._fields
        }
        return ScoreRow(**fields, scorecard=scorecard)

    def status(self, score_id: str) -> Status | None:
        """Only the status: what a waiting caller polls."""
        query = sa.select(scores.c.status).where(scores.c.id == score_id)
        with self._read() as connection:
            return connection.scalar(query)

    def exhibit(self, score_id: str) -> tuple[Scorecard, Exhibit] | None:
        """What the report is drawn from; None where there is no scorecard (any more)."""
        query = sa.select(
            scores.c.sealed_scorecard, scores.c.sealed_exhibit, scores.c.sealed_stills
        )
        with self._read() as connection:
            row = connection.execute(query.where(scores.c.id == score_id)).one_or_none()
        if row is None or row.sealed_scorecard is None:
            return None
        scorecard = Scorecard.model_validate_json(self._opened(row.sealed_scorecard, score_id))
        exhibit = Exhibit.model_validate_json(self._opened(row.sealed_exhibit, score_id))
        if row.sealed_stills is not None:
            stills = Exhibit.model_validate_json(self._opened(row.sealed_stills, score_id))
            exhibit = exhibit.model_copy(update={"key_frames": stills.key_frames})
        return scorecard, exhibit

    def counts(self) -> dict[tuple[str, str], int]:
        """(status, problem code or "") -> number of scores."""
        query = sa.select(scores.c.status, scores.c.problem_code, sa.func.count())
        with self._read() as connection:
            rows = connection.execute(query.group_by(scores.c.status, scores.c.problem_code))
            return {(status, code or ""): count for status, code, count in rows}

    # --- erasing -------------------------------------------------------------

    def erase(self, score_id: str) -> bool:
        """Remove recording, request, transcript, scorecard and exhibit; True if there were any.

        The row stays, cancelled, with the sha256 of the recording and of the scorecard,
        so that a receipt the candidate kept can still be recognised.
        """
        with self._write() as connection:
            row = connection.execute(
                sa.select(scores.c.media, scores.c.erased_at).where(scores.c.id == score_id)
            ).one_or_none()
            if row is None or row.erased_at is not None:
                return False
            connection.execute(
                sa.update(scores)
                .where(scores.c.id == score_id)
                .values(
                    status="cancelled",
                    sealed_request=None,
                    sealed_scorecard=None,
                    sealed_exhibit=None,
                    sealed_stills=None,
                    problem_detail=None,
                    media=None,
                    consent="",
                    erased_at=_now(),
                    updated_at=_now(),
                )
            )
            # The file goes before the commit: a row that points to nothing can be erased
            # again, a recording that no row points to would stay.
            if row.media is not None:
                self.vault.delete(row.media)
        return True

    def delete_media(self, score_id: str) -> None:
        """Remove the recording if its date has come; the scorecard stays."""
        due = (scores.c.id == score_id) & (scores.c.media_until <= _now())
        with self._write() as connection:
            media = connection.scalar(sa.select(scores.c.media).where(due))
            if media is None:
                return
            self.vault.delete(media)
            connection.execute(sa.update(scores).where(due).values(media=None))

    def sweep(self, idempotency_hours: float) -> dict[str, int]:
        """Remove what its date has passed: how many recordings, stills, records, stray files."""
        media = self._ids(scores.c.media.is_not(None) & (scores.c.media_until <= _now()))
        records = self._ids(scores.c.erased_at.is_(None) & (scores.c.record_until <= _now()))
        with self._write() as connection:
            old = idempotency.c.created_at < _ago(hours=idempotency_hours)
            connection.execute(sa.delete(idempotency).where(old))
            shown = scores.c.sealed_stills.is_not(None) & (scores.c.stills_until <= _now())
            stills = connection.execute(sa.update(scores).where(shown).values(sealed_stills=None))
        for score_id in media:
            self.delete_media(score_id)
        for score_id in records:
            self.erase(score_id)
            self.record(Event("worker", "score.erase", score_id, "retention"))
        return {
            "media": len(media),
            "stills": stills.rowcount,
            "records": len(records),
            "strays": self._clear_strays(),
        }

    def _ids(self, condition: sa.ColumnElement[bool]) -> list[str]:
        query = sa.select(scores.c.id).where(condition).order_by(scores.c.created_at)
        with self._read() as connection:
            return list(connection.scalars(query))

    def _clear_strays(self) -> int:
        """Remove media no row knows: uploads that broke off with their process, a day ago."""
        with self._read() as connection:
            known = set(connection.scalars(sa.select(scores.c.media)))
        day_ago = (datetime.now(UTC) - timedelta(days=1)).timestamp()
        strays = [n for n, changed in self.vault.names() if n not in known and changed < day_ago]
        for name in strays:
            self.vault.delete(name)
        return len(strays) + self.vault.clear_plain()

    # --- keys and audit --------------------------------------------------------

    def add_key(self, row: KeyRow) -> None:
        """Keep a new API key."""
        values = {name: getattr(row, name) for name in ("id", "role", "label", "salt", "digest")}
        with self._write() as connection:
            connection.execute(sa.insert(api_keys).values(**values, created_at=_now()))

    def key(self, key_id: str) -> KeyRow | None:
        """The stored key of this id, revoked ones too."""
        with self._read() as connection:
            row = connection.execute(
                sa.select(api_keys).where(api_keys.c.id == key_id)
            ).one_or_none()
        return None if row is None else _key(row)

    def keys(self) -> list[KeyRow]:
        """Every stored key, oldest first."""
        with self._read() as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at))
            return [_key(row) for row in rows]

    def revoke_key(self, key_id: str) -> bool:
        """Refuse the key from now on; False where there is none such."""
        mine = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
        with self._write() as connection:
            changed = connection.execute(sa.update(api_keys).where(mine).values(revoked_at=_now()))
            return bool(changed.rowcount)

    def record(self, entry: Event) -> None:
        """Append to the audit trail."""
        with self._write() as connection:
            _record(connection, entry)

    def trail(
        self, *, score: str | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[dict[str, Any]]:
        """Lines of the audit trail, oldest first, after line number `after`."""
        query = sa.select(audit_trail).where(audit_trail.c.number > after)
        if score is not None:
            query = query.where(audit_trail.c.score == score)
        with self._read() as connection:
            rows = connection.execute(query.order_by(audit_trail.c.number).limit(limit))
            return [dict(row._mapping) for row in rows]

    def _policy(self, region: str) -> Policy:
        return self._policies.get(region) or self._policies["default"]

    def _sealed(self, text: str, score_id: str) -> bytes:
        return self.vault.seal(text.encode(), score_id)

    def _opened(self, sealed: bytes, score_id: str) -> bytes:
        return self.vault.unseal(sealed, score_id)


def _held(attempt: Attempt) -> sa.ColumnElement[bool]:
    """The score of this try, unless it ended or another try overtook this one."""
    return (
        (scores.c.id == attempt.score_id)
        & (scores.c.status == "running")
        & (scores.c.attempts == attempt.number)
    )


def _record(connection: sa.Connection, entry: Event) -> None:
    values = {name: getattr(entry, name) for name in Event.__dataclass_fields__}
    connection.execute(sa.insert(audit_trail).values(**values, at=_now()))


def _key(row: Any) -> KeyRow:
    return KeyRow(row.id, row.role, row.label, row.salt, row.digest, row.revoked_at is not None)


def receipt(scorecard: str) -> str:
    """sha256 of a scorecard's JSON in its canonical form, so that its spelling does not count.

    Keys sorted, no spaces, UTF-8, numbers as Python's `json` writes them.
    """
    parsed = json.loads(scorecard)
    return _sha256(json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now() -> str:
    return _stamp(timedelta())


def _ahead(*, days: float) -> str:
    return _stamp(timedelta(days=days))


def _ago(**span: float) -> str:
    return _stamp(-timedelta(**span))


def _stamp(offset: timedelta) -> str:
    return (datetime.now(UTC) + offset).isoformat(timespec="microseconds").replace("+00:00", "Z")
