"""API keys with roles. A key is shown once; the database holds only a salted digest.

A key is `iv_<id>_<secret>` with 256 random bits of secret, so a plain SHA-256 is enough:
there is nothing to guess, and a slow hash would only slow every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal, cast, get_args

from serving.api.problems import Problem
from serving.store import Event, KeyRow, Store

Role = Literal["scorer", "reader", "auditor", "admin"]
Right = Literal["score", "read", "erase", "audit"]

RIGHTS: dict[Role, frozenset[Right]] = {
    "scorer": frozenset({"score", "read", "erase"}),
    "reader": frozenset({"read"}),
    "auditor": frozenset({"read", "audit"}),
    "admin": frozenset({"score", "read", "erase", "audit"}),
}
"""What a role may do. A scorer reads and erases only what its own key sent."""

PREFIX = "iv"
NOBODY = KeyRow("", "reader", "", b"\0" * 16, b"\0" * 32, revoked=True)


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    id: str
    role: Role

    def may_see(self, owner: str) -> bool:
        """Whether scores of `owner` exist for this caller."""
        return self.role != "scorer" or owner == self.id


def create_key(store: Store, role: str, label: str = "") -> str:
    """A new API key, to be shown once. Raises ValueError for an unknown role."""
    if role not in get_args(Role):
        raise ValueError(f"unknown role {role!r}; there are: {', '.join(get_args(Role))}")
    key_id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_bytes(16)
    store.add_key(KeyRow(key_id, role, label, salt, _digest(salt, secret), revoked=False))
    store.record(Event("operator", "key.create", outcome=f"{role}:{key_id}"))
    return f"{PREFIX}_{key_id}_{secret}"


def revoke_key(store: Store, key_id: str) -> bool:
    """Refuse the key with this id from now on; False where there is none in use."""
    revoked = store.revoke_key(key_id)
    if revoked:
        store.record(Event("operator", "key.revoke", outcome=key_id))
    return revoked


def identify(store: Store, authorization: str | None) -> Caller:
    """The caller behind an `Authorization: Bearer` header. Raises Problem 401."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise _unauthorized("key_missing", "Send an API key: Authorization: Bearer iv_…", "")
    prefix, _, rest = key.strip().partition("_")
    key_id, _, secret = rest.partition("_")
    # An unknown id is compared too, so that time does not tell which ids exist.
    row = store.key(key_id) or NOBODY
    matches = hmac.compare_digest(row.digest, _digest(row.salt, secret))
    if prefix != PREFIX or not matches or row.revoked:
        detail = "This API key is not known, or was revoked."
        raise _unauthorized("key_unknown", detail, ', error="invalid_token"')
    return Caller(row.id, cast(Role, row.role))


def require(caller: Caller, right: Right) -> None:
    """Raises Problem 403 unless the caller's role has the right."""
    if right not in RIGHTS[caller.role]:
        having = ", ".join(role for role, rights in RIGHTS.items() if right in rights)
        raise Problem(
            403,
            "role_insufficient",
            f"The role {caller.role} may not do this; these may: {having}.",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )


def _unauthorized(code: str, detail: str, error: str) -> Problem:
    challenge = f'Bearer realm="interview scoring"{error}'
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
