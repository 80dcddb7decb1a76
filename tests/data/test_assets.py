"""A file is what has the right sha256; every source tried is named when none does."""

from __future__ import annotations

import hashlib
import http.server
import socketserver
import threading

import pytest

from data.assets import AssetFile, AssetsConfig, AssetUnavailable, Source, fetch

CONTENT = b"weights" * 1000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERVIEW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "model.bin").write_bytes(CONTENT)
    (folder / "wrong.bin").write_bytes(b"other")

    served: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            served.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", served
        server.shutdown()


def config(*sources: str, name: str = "model") -> AssetsConfig:
    file = AssetFile(
        name="model.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        sources=tuple(Source(url=url) for url in sources),
    )
    return AssetsConfig(hub_timeout_s=2, wheel_timeout_s=30, assets={name: (file,)})


def test_the_first_source_with_the_right_content_is_kept_and_fetched_once(cache, hub):
    address, served = hub
    wanted = config(f"{address}/none.bin", f"{address}/wrong.bin", f"{address}/model.bin")
    assert fetch("model", config=wanted).read_bytes() == CONTENT
    before = len(served)
    assert fetch("model", config=wanted).read_bytes() == CONTENT
    assert len(served) == before


def test_a_damaged_file_in_the_cache_is_fetched_anew(cache, hub):
    address, _ = hub
    path = fetch("model", config=config(f"{address}/model.bin"))
    path.write_bytes(b"damaged")
    assert fetch("model", config=config(f"{address}/model.bin")).read_bytes() == CONTENT


def test_wrong_content_everywhere_names_every_source_and_leaves_nothing(cache, hub):
    address, _ = hub
    with pytest.raises(AssetUnavailable) as caught:
        fetch("model", config=config(f"{address}/none.bin", f"{address}/wrong.bin"))
    message = str(caught.value)
    assert "none.bin" in message
    assert "wrong.bin" in message
    assert hashlib.sha256(b"other").hexdigest() in message
    assert not list(cache.rglob("model.bin"))


@pytest.fixture
def proxy():
    """Answers every request with a page and no status line, as some proxies do."""

    class Page(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(b"<html><body>Please log in</body></html>\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_proxys_page_is_passed_over_for_the_next_source(cache, hub, proxy):
    wanted = config(f"{proxy}/model.bin", f"{hub[0]}/model.bin")
    assert fetch("model", config=wanted).read_bytes() == CONTENT
    with pytest.raises(AssetUnavailable, match="BadStatusLine"):
        fetch("other", config=config(f"{proxy}/model.bin", name="other"))


def test_an_unknown_asset_names_the_known_ones(cache):
    with pytest.raises(KeyError, match="model"):
        fetch("nothing", config=config())
