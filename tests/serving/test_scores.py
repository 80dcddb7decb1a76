"""Accepting a recording, in this process: what happens when a request is broken off."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.requests import Request
from starlette.types import Message

from serving.api import scores
from serving.api.access import Caller
from serving.database import WRITES, create_engine
from serving.runtime import Runtime
from serving.settings import ServingConfig
from serving.store import KeyRow, Store

PATIENCE_S = 20
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\nvoice'
    b'\r\n--b\r\nContent-Disposition: form-data; name="job"\r\n\r\nteller\r\n--b--\r\n'
)


@pytest.fixture
def here(config: ServingConfig, tiny: ModuleType) -> Iterator[Runtime]:
    """A runtime that has not been started: it accepts, and nobody scores."""
    runtime = Runtime(config, tiny.models)
    runtime.store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))
    yield runtime
    runtime.queue.close()
    runtime.store.close()


def post() -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


async def cancelled(here: Runtime, accepting: Coroutine[Any, Any, str]) -> None:
    """Cancel the request while the database makes it wait, its recording already written."""
    task = asyncio.create_task(accepting)
    while not here.store.vault.names():
        await asyncio.sleep(0.001)
    engine = create_engine(here.config.database_url)
    with engine.connect() as other, other.execution_options(**WRITES).begin():
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(0.2)
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_request_cancelled_while_it_is_accepted_loses_neither_row_nor_recording(
    here: Runtime,
) -> None:
    accepting = scores._accept(post(), here, Caller("owner", "scorer"), None)
    asyncio.run(cancelled(here, accepting))
    until(lambda: here.store.waiting() != [])
    (score_id,) = here.store.waiting()
    attempt = here.store.begin(score_id)
    assert attempt is not None
    with here.store.vault.open_plain(attempt.media) as path:
        assert path.read_bytes() == b"voice"


def test_a_request_cancelled_with_a_key_is_either_accepted_or_may_be_sent_again(
    here: Runtime,
) -> None:
    caller = Caller("owner", "scorer")
    asyncio.run(cancelled(here, scores._accept_once(post(), here, caller, "key-1")))
    until(lambda: len(here.store.waiting()) == len(here.store.vault.names()))
    again = asyncio.run(scores._accept_once(post(), here, caller, "key-1"))
    assert here.store.waiting() == [again]
    assert len(here.store.vault.names()) == 1


def test_a_request_that_breaks_while_it_is_accepted_leaves_no_recording(
    here: Runtime, store: Store, config: ServingConfig
) -> None:
    with create_engine(config.database_url).begin() as connection:
        connection.execute(sa.text("DROP TABLE audit_trail"))
    with pytest.raises(sa.exc.OperationalError):
        asyncio.run(scores._accept(post(), here, Caller("owner", "scorer"), None))
    assert store.waiting() == []
    assert store.vault.names() == []
