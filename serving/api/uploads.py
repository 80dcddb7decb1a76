"""A request to score, received: the recording goes to the vault while it arrives."""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import Message
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from anyio import fail_after
from anyio.to_thread import run_sync
from pydantic import ValidationError
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from data.contract import ScoreRequest
from serving.api.problems import Problem, invalid
from serving.settings import Limits, ServingConfig
from serving.vault import SealedWriter, Vault

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from python_multipart.multipart import MultipartCallbacks

RECORDING = "recording"
ENVELOPE = ("consent", "supersedes")
"""Fields beside the request: they are about the interview, not about how it is scored."""

BATCH_BYTES = 1_048_576
PARTS = 32
"""Most parts of a form: every field there is, and each accommodation, twice over."""

UNCLEAR = re.compile(r"%(2e|2f|5c|25)|[?#\\\x00-\x1f\x7f]", re.IGNORECASE)
"""What a server may read otherwise than it stands in an address: dots, slashes, a query."""

SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,7}")


@dataclass(frozen=True)
class Submission:
    """A recording in the vault, and what the caller says about it."""

    request: ScoreRequest
    media: str
    sha256: str
    suffix: str
    consent: str
    supersedes: str | None


@dataclass
class Draft:
    """What has arrived so far."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    writer: SealedWriter | None = None
    suffix: str = ""


async def receive(request: Request, config: ServingConfig, vault: Vault) -> Submission:
    """The submission of a multipart or JSON body. Raises Problem; then nothing is kept."""
    content_type = _content_type(request.headers.get("content-type", ""))
    readers = {"multipart/form-data": _multipart, "application/json": _json}
    reader = readers.get(content_type.get_content_type())
    if reader is None:
        raise Problem(415, "media_type", f"Send one of: {', '.join(readers)}.")
    stack = ExitStack()
    try:
        try:
            with fail_after(config.limits.upload_timeout_s):
                draft = await reader(
                    request, config, content_type, lambda: stack.enter_context(vault.new())
                )
        except TimeoutError as error:
            raise Problem(408, "upload_timeout", "The upload took too long.") from error
        submission = _submission(draft, config.limits)
        # Sealing the last chunk forces the file to disk, which may take a while.
        await run_sync(stack.close)
    except BaseException:
        stack.__exit__(*sys.exc_info())
        raise
    return submission


def _submission(draft: Draft, limits: Limits) -> Submission:
    given = {name: values[-1] for name, values in draft.fields.items() if name in ENVELOPE}
    request = _request(draft.fields, limits)
    if draft.writer is None:
        raise Problem(422, "recording_missing", f"Send the file as form field {RECORDING!r}.")
    return Submission(
        request=request,
        media=draft.writer.name,
        sha256=draft.writer.sha256,
        suffix=draft.suffix,
        consent=given.get("consent", ""),
        supersedes=given.get("supersedes") or None,
    )


def _request(fields: dict[str, list[str]], limits: Limits) -> ScoreRequest:
    """What is asked for, once it is known to be of a size that can be scored."""
    request = _parsed(fields)
    length, most = len(request.transcript or ""), limits.transcript_characters
    if length > most:
        detail = f"The transcript has {length} characters; at most {most} can be scored."
        raise Problem(422, "transcript_too_long", detail)
    return request


def _parsed(fields: dict[str, list[str]]) -> ScoreRequest:
    """From the field `request` (JSON), or from one form field for each of its fields."""
    single = {name: values for name, values in fields.items() if name not in ENVELOPE}
    try:
        if "request" in single:
            if len(single) > 1:
                others = ", ".join(sorted(set(single) - {"request"}))
                raise Problem(422, "invalid_request", f"Beside `request` there is: {others}.")
            return ScoreRequest.model_validate_json(single["request"][-1])
        lists = {"accommodations": single.pop("accommodations", [])}
        values: dict[str, Any] = {name: given[-1] for name, given in single.items()}
        return ScoreRequest.model_validate({**values, **lists})
    except ValidationError as error:
        raise invalid(error) from error


# --- multipart ---------------------------------------------------------------


async def _multipart(
    request: Request,
    config: ServingConfig,
    content_type: Message,
    keep: Callable[[], SealedWriter],
) -> Draft:
    boundary = content_type.get_param("boundary")
    if not isinstance(boundary, str):
        raise Problem(400, "malformed_body", "multipart/form-data needs a boundary.")
    try:
        form = Form(boundary, config.limits, keep)
        batch = bytearray()
        async for chunk in request.stream():
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await run_sync(form.feed, bytes(batch))
                batch.clear()
        await run_sync(form.feed, bytes(batch))
    except (MultipartParseError, FormParserError) as error:
        raise Problem(400, "malformed_body", "The multipart body is malformed.") from error
    if not form.ended:
        raise Problem(400, "malformed_body", "The multipart body ends in the middle.")
    return form.draft


class Form:
    """Parts of a multipart body: the recording to the vault, small fields to memory."""

    def __init__(self, boundary: str, limits: Limits, keep: Callable[[], SealedWriter]) -> None:
        """`keep` opens the writer of the recording."""
        self.draft = Draft()
        self.ended = False
        self._limits = limits
        self._keep = keep
        self._name = ""
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._value = bytearray()
        self._parts = 0
        self._fields_bytes = 0
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._more_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._more_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises Problem or the parser's error."""
        self._parser.write(data)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            detail = f"A form may have {PARTS} parts here."
            raise Problem(413, "too_many_parts", detail, headers={"Connection": "close"})
        self._headers, self._header, self._value = {}, [b"", b""], bytearray()

    def _more_header(self, side: int, data: bytes) -> None:
        self._count(data)
        self._header[side] += data

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _open(self) -> None:
        described = Message()
        # Browsers send file names as raw UTF-8, which this header parser takes as it is.
        text = self._headers.get(b"content-disposition", b"").decode("utf-8", "replace")
        described["content-disposition"] = text.replace("\r", "").replace("\n", "")
        name = described.get_param("name", header="content-disposition")
        self._name = name if isinstance(name, str) else ""
        if self._name != RECORDING:
            return
        if self.draft.writer is not None:
            raise Problem(422, "invalid_request", "Send one recording at a time.")
        self.draft.suffix = _suffix(described.get_filename() or "")
        self.draft.writer = self._keep()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = memoryview(data)[start:end]
        if self._name == RECORDING:
            assert self.draft.writer is not None
            if self.draft.writer.size_bytes + len(part) > self._limits.upload_bytes:
                raise too_large(self._limits.upload_bytes)
            self.draft.writer.write(part)
            return
        self._count(part)
        self._value += part

    def _count(self, part: bytes | memoryview) -> None:
        """Names and other headers of parts are held in memory as values are."""
        self._fields_bytes += len(part)
        if self._fields_bytes > self._limits.request_bytes:
            raise body_too_large(self._limits.request_bytes)

    def _end(self) -> None:
        if self._name == RECORDING:
            return
        try:
            value = self._value.decode()
        except UnicodeDecodeError as error:
            raise Problem(422, "invalid_request", "A form field is not UTF-8.") from error
        self.draft.fields.setdefault(self._name, []).append(value)

    def _finish(self) -> None:
        self.ended = True


# --- JSON with a URL ---------------------------------------------------------


async def _json(
    request: Request,
    config: ServingConfig,
    content_type: Message,
    keep: Callable[[], SealedWriter],
) -> Draft:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > config.limits.request_bytes:
            raise body_too_large(config.limits.request_bytes)
    try:
        given = json.loads(body)
        url, wanted = given["url"], given["request"]
        rest = {name: str(given[name]) for name in ENVELOPE if given.get(name) is not None}
        unknown = set(given) - {"url", "request", *ENVELOPE}
        fields = {"request": [json.dumps(wanted)], **{k: [v] for k, v in rest.items()}}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        detail = 'Send {"url": …, "request": {…}}; `consent` and `supersedes` may be beside them.'
        raise Problem(422, "invalid_request", detail) from error
    if unknown or not isinstance(url, str):
        raise Problem(422, "invalid_request", "The body has unknown fields, or url is no text.")
    draft = Draft(fields)
    _request(draft.fields, config.limits)
    source = allowed(url, config.allowed_urls)
    draft.suffix = _suffix(url)
    draft.writer = keep()
    await run_sync(_fetch, source, draft.writer, config.limits.upload_bytes, abandon_on_cancel=True)
    return draft


def allowed(url: str, prefixes: tuple[str, ...]) -> str:
    """`url` made canonical, if it lies under one of `prefixes`. Raises Problem 403."""
    scheme, separator, rest = url.rpartition("://")
    local = not separator or scheme == "file"
    clean = "::" not in url and "\0" not in url and (local or not UNCLEAR.search(rest))
    for prefix in prefixes if clean else ():
        prefix_scheme, _, prefix_rest = prefix.rpartition("://")
        if local and prefix_scheme in ("", "file"):
            # Links are followed before the comparison, so none leads out of the folder.
            path, folder = os.path.realpath(rest), os.path.realpath(prefix_rest)
            if os.path.commonpath([path, folder]) == folder and os.path.isabs(rest):
                return path
        elif not local and scheme == prefix_scheme:
            plain = posixpath.normpath(rest) == rest
            if plain and rest.startswith(prefix_rest.rstrip("/") + "/"):
                return url
    detail = "Recordings may not be fetched from there; `allowed_urls` in configs/serving.yaml."
    raise Problem(403, "url_not_allowed", detail)


def _fetch(source: str, writer: SealedWriter, limit: int) -> None:
    for chunk in _chunks(source):
        if writer.size_bytes + len(chunk) > limit:
            raise too_large(limit)
        writer.write(chunk)


def _chunks(source: str) -> Iterator[bytes]:
    """What lies at an allowed address. Raises Problem 422."""
    import fsspec

    http = {"get_client": _http_client} if source.startswith(("http://", "https://")) else {}
    try:
        with fsspec.open(source, "rb", **http) as file:
            while chunk := file.read(BATCH_BYTES):
                yield chunk
    except ImportError as error:
        detail = f"This service lacks what reads such addresses: {error}."
        raise Problem(422, "url_unreadable", detail) from error
    except Exception as error:  # each kind of storage has its own
        detail = f"The recording could not be fetched ({type(error).__name__})."
        raise Problem(422, "url_unreadable", detail) from error


async def _http_client(**options: Any) -> ClientSession:
    """A client that follows no redirect: it would lead to where nothing is allowed."""
    from aiohttp import ClientSession, TraceConfig

    async def refuse(*_: object) -> None:
        raise PermissionError("a redirect")

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    return ClientSession(trace_configs=[trace], **options)


def too_large(limit: int) -> Problem:
    """A recording beyond the limit; the rest of the body is not read."""
    detail = f"A recording may have {limit} bytes here. Send a smaller or a compressed one."
    return Problem(413, "recording_too_large", detail, headers={"Connection": "close"})


def body_too_large(limit: int) -> Problem:
    """What stands beside a recording, or alone, is beyond its limit."""
    detail = f"A body, not counting a recording, may have {limit} bytes here."
    return Problem(413, "request_too_large", detail, headers={"Connection": "close"})


def _suffix(name: str) -> str:
    """The file type a name ends in: all that is kept of it, names of files name people."""
    suffix = PurePosixPath(name.replace("\\", "/")).suffix
    return suffix.lower() if SUFFIX.fullmatch(suffix) else ""


def _content_type(text: str) -> Message:
    message = Message()
    message["content-type"] = text or "application/octet-stream"
    return message
