import errno
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving.api.problems import Problem
from serving.api.uploads import PARTS, Form, _fetch, allowed
from serving.settings import ServingConfig
from serving.store import Store
from serving.vault import SealedWriter


def refused(url: str, *prefixes: str) -> bool:
    with pytest.raises(Problem) as problem:
        allowed(url, prefixes)
    return (problem.value.status, problem.value.code) == (403, "url_not_allowed")


def test_nothing_may_be_fetched_unless_configured() -> None:
    assert refused("/etc/passwd")
    assert refused("s3://bucket/answers/a.mp4")


def test_a_file_of_an_allowed_folder_may_be_fetched(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    assert allowed(str(file), (str(tmp_path),)) == str(file)
    assert allowed(f"file://{file}", (f"file://{tmp_path}",)) == str(file)


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "link", "../answers2/a"])
def test_no_path_leads_out_of_an_allowed_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    assert refused(f"{folder}/{path}", str(folder))


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/other/a.mp4",
        "s3://bucket/answers2/a.mp4",
        "s3://bucket/answers/../other/a.mp4",
        "s3://bucket/answers//../other/a.mp4",
        "gs://bucket/answers/a.mp4",
        "simplecache::s3://bucket/answers/a.mp4",
        "zip://x::s3://bucket/answers/a.zip",
        "http://169.254.169.254/latest",
        "answers/a.mp4",
    ],
)
def test_no_address_leads_out_of_an_allowed_prefix(url: str) -> None:
    assert refused(url, "s3://bucket/answers")
    assert refused(url, "s3://bucket/answers/")


@pytest.mark.parametrize(
    "rest",
    [
        "%2e%2e/secret",
        ".%2E/secret",
        "..%2fsecret",
        "..%5Csecret",
        "..\\secret",
        "%252e%252e/secret",
        ".\t./secret",
        "a.mp4?next=/secret",
        "a.mp4#/secret",
    ],
)
@pytest.mark.parametrize("prefix", ["https://h/answers/", "s3://bucket/answers"])
def test_no_spelling_of_an_address_leads_out_of_an_allowed_prefix(prefix: str, rest: str) -> None:
    assert refused(f"{prefix.rstrip('/')}/{rest}", prefix)


def test_an_object_under_an_allowed_prefix_may_be_fetched() -> None:
    url = "s3://bucket/answers/2026/a.mp4"
    assert allowed(url, ("s3://bucket/answers",)) == url
    url = "https://h/answers/%E5%9B%9E%E7%AD%94 1.mp4"
    assert allowed(url, ("https://h/answers/",)) == url


class Answers(BaseHTTPRequestHandler):
    """One recording, one redirect to what lies beside it, one that breaks off, one forbidden."""

    def do_HEAD(self) -> None:
        self.respond(b"")

    def do_GET(self) -> None:
        self.respond({"/answers/a.wav": b"voice", "/secret": b"secret"}.get(self.path, b"page"))

    def respond(self, body: bytes) -> None:
        known = {"/answers/moved.wav": 302, "/answers/forbidden.wav": 403, "/answers/gone.wav": 404}
        self.send_response(known.get(self.path, 200))
        if self.path == "/answers/moved.wav":
            self.send_header("Location", "/secret")
        if self.command == "GET" or self.path == "/answers/a.wav":
            cut = 1000 if self.path == "/answers/cut.wav" else 0
            self.send_header("Content-Length", str((len(body) or 5) + cut))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def remote() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/answers"
        server.shutdown()


def fetched(store: Store, url: str) -> bytes:
    with store.vault.new() as writer:
        _fetch(url, writer, 1000)
    with store.vault.open_plain(writer.name) as path:
        return path.read_bytes()


def test_a_recording_is_fetched_over_http(store: Store, remote: str) -> None:
    assert fetched(store, f"{remote}/a.wav") == b"voice"


@pytest.mark.parametrize("name", ["moved.wav", "forbidden.wav", "gone.wav", "cut.wav"])
def test_what_is_answered_otherwise_than_with_the_recording_is_unreadable(
    store: Store, remote: str, name: str
) -> None:
    with pytest.raises(Problem) as problem:
        fetched(store, f"{remote}/{name}")
    assert (problem.value.status, problem.value.code) == (422, "url_unreadable")
    assert store.vault.names() == []


def test_a_storage_whose_package_is_missing_is_said_to_be(store: Store) -> None:
    with pytest.raises(Problem, match="gcsfs") as problem:
        fetched(store, "gs://bucket/answers/a.mp4")
    assert (problem.value.status, problem.value.code) == (422, "url_unreadable")


def test_a_vault_without_room_is_no_fault_of_the_address(
    store: Store, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(writer: SealedWriter, plain: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SealedWriter, "write", write)
    with pytest.raises(OSError, match="No space left"):
        fetched(store, f"{remote}/a.wav")


def part(name: str, value: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def fed(store: Store, config: ServingConfig, body: bytes) -> Form:
    form = Form("b", config.limits, store.vault.new)
    form.feed(body)
    return form


def test_a_form_of_countless_empty_parts_is_refused(store: Store, config: ServingConfig) -> None:
    few = b"".join(part(f"field{number}") for number in range(PARTS))
    assert len(fed(store, config, few + b"--b--\r\n").draft.fields) == PARTS
    with pytest.raises(Problem) as problem:
        fed(store, config, few + part("one more"))
    assert (problem.value.status, problem.value.code) == (413, "too_many_parts")


def test_the_names_of_fields_count_as_their_values_do(store: Store, config: ServingConfig) -> None:
    limits = config.limits.model_copy(update={"request_bytes": 1000})
    small = config.model_copy(update={"limits": limits})
    fed(store, small, part("job", "v" * 900))
    for body in (part("n" * 1000), part("job", "v" * 1000)):
        with pytest.raises(Problem) as problem:
            fed(store, small, body)
        assert (problem.value.status, problem.value.code) == (413, "request_too_large")
