import sqlite3

import pytest

from serving.api.access import RIGHTS, Caller, Role, create_key, identify, require, revoke_key
from serving.api.problems import Problem
from serving.settings import ServingConfig
from serving.store import Store


def refused(store: Store, authorization: str | None) -> Problem:
    with pytest.raises(Problem) as problem:
        identify(store, authorization)
    assert problem.value.status == 401
    assert problem.value.headers["WWW-Authenticate"].startswith("Bearer")
    return problem.value


def test_a_key_names_its_caller_and_role(store: Store) -> None:
    key = create_key(store, "reader", "HR system")
    caller = identify(store, f"Bearer {key}")
    assert caller.role == "reader"
    assert caller.id in key


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        ("Basic aXY6", "key_missing"),
        ("Bearer", "key_missing"),
        ("Bearer nonsense", "key_unknown"),
        ("Bearer iv_000000000000_secret", "key_unknown"),
    ],
)
def test_what_is_not_a_key_is_refused(store: Store, authorization: str | None, code: str) -> None:
    assert refused(store, authorization).code == code


def test_a_key_with_another_secret_or_prefix_is_refused(store: Store) -> None:
    key = create_key(store, "admin")
    prefix, key_id, _ = key.split("_", 2)
    assert refused(store, f"Bearer {prefix}_{key_id}_{'A' * 43}").code == "key_unknown"
    assert refused(store, f"Bearer xx{key[2:]}").code == "key_unknown"
    assert refused(store, f"Bearer {key}x").code == "key_unknown"


def test_a_revoked_key_is_refused(store: Store) -> None:
    key = create_key(store, "admin")
    key_id = identify(store, f"Bearer {key}").id
    assert revoke_key(store, key_id)
    assert not revoke_key(store, key_id)
    assert refused(store, f"Bearer {key}").code == "key_unknown"


def test_the_secret_of_a_key_is_not_kept(store: Store, config: ServingConfig) -> None:
    secret = create_key(store, "admin").split("_", 2)[2]
    store.close()
    with sqlite3.connect(config.folder / "serving.db") as raw:
        assert secret not in "\n".join(raw.iterdump())


def test_an_unknown_role_is_refused_by_name(store: Store) -> None:
    with pytest.raises(ValueError, match="unknown role 'root'; there are: scorer"):
        create_key(store, "root")


@pytest.mark.parametrize(
    ("role", "right", "granted"),
    [
        ("scorer", "score", True),
        ("scorer", "audit", False),
        ("reader", "read", True),
        ("reader", "score", False),
        ("reader", "erase", False),
        ("auditor", "audit", True),
        ("auditor", "erase", False),
        ("admin", "erase", True),
    ],
)
def test_roles_have_their_rights(role: Role, right: str, granted: bool) -> None:
    caller = Caller("id", role)
    if granted:
        require(caller, right)  # type: ignore[arg-type]
        return
    with pytest.raises(Problem) as problem:
        require(caller, right)  # type: ignore[arg-type]
    assert problem.value.status == 403
    assert "insufficient_scope" in problem.value.headers["WWW-Authenticate"]


def test_an_admin_has_every_right() -> None:
    assert RIGHTS["admin"] == frozenset().union(*RIGHTS.values())


def test_a_scorer_sees_only_what_its_own_key_sent() -> None:
    assert Caller("a", "scorer").may_see("a")
    assert not Caller("a", "scorer").may_see("b")
    assert Caller("a", "auditor").may_see("b")


def test_making_a_key_is_a_line_of_the_audit_trail(store: Store) -> None:
    create_key(store, "auditor")
    (line,) = store.trail()
    assert (line["actor"], line["action"]) == ("operator", "key.create")
    assert line["outcome"].startswith("auditor:")
