"""The running service gives the numbers that the scorer gives, for the sample and over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from data.contract import ScoreRequest
from evaluation.card import Card

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "sample.mp4"
FORM = {"job": "relationship_manager", "question": "unhappy_customer", "language": "en"}
READY_S = 120


@pytest.fixture(scope="module")
def client(starter_state: Path, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client with a scorer's key of the real service, which is ready."""
    environment = {**os.environ, "INTERVIEW_STATE": str(starter_state), "MLFLOW_TRACKING_URI": ""}
    key = subprocess.run(
        [sys.executable, "-m", "serving", "key", "create", "--role", "scorer"],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("service") / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "serve", "--port", str(port)],
            cwd=ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90
        ) as connected:
            try:
                _wait_until_ready(connected, process, log)
                yield connected
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the service did not become ready:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def answered(client: httpx.Client) -> dict[str, object]:
    with SAMPLE.open("rb") as stream:
        response = client.post(
            "/v1/score",
            data=FORM,
            files={"recording": ("sample.mp4", stream, "video/mp4")},
            headers={"Prefer": "wait=60"},
        )
    body = response.json()
    deadline = time.monotonic() + 120
    while body["status"] in {"queued", "running"} and time.monotonic() < deadline:
        time.sleep(0.5)
        body = client.get(f"/v1/scores/{body['id']}").json()
    assert body["status"] == "completed", body
    return body


def test_the_service_gives_the_scorers_numbers(answered, scorer):
    card = answered["scorecard"]
    alone = scorer.score(SAMPLE, ScoreRequest(**FORM)).scorecard.model_dump(mode="json")
    for part in ("scores", "not_scored", "total", "measures", "input_sha256", "versions"):
        assert card[part] == alone[part], part
    assert {score["name"] for score in card["scores"]} >= {"fluency", "customer_focus"}


def test_the_scorecard_is_kept_and_its_report_is_a_page(client, answered):
    kept = client.get(f"/v1/scores/{answered['id']}")
    assert kept.json()["scorecard"] == answered["scorecard"]
    page = client.get(f"/v1/scores/{answered['id']}/report")
    assert page.headers["content-type"].startswith("text/html")
    assert answered["scorecard"]["input_sha256"] in page.text


def test_every_version_of_the_scorecard_has_a_card_in_three_forms(client, answered):
    for version in answered["scorecard"]["versions"]:
        card = client.get(version["card_url"], headers={"Accept": "application/json"})
        assert Card.model_validate(card.json()).identity.name == version["name"]
        markdown = client.get(version["card_url"], headers={"Accept": "text/markdown"})
        assert markdown.text.startswith("---")
        page = client.get(version["card_url"], headers={"Accept": "text/html"})
        assert "<html" in page.text


def test_a_text_file_named_mp4_abstains_and_says_why(client, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a recording")
    with path.open("rb") as stream:
        response = client.post(
            "/v1/score", data=FORM, files={"recording": stream}, headers={"Prefer": "wait=60"}
        )
    body = response.json()
    assert body["status"] == "abstained"
    assert body["problem"]["code"] == "not_media"
    assert body["scorecard"] is None


def test_the_openapi_page_loads_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    assert "https://" not in page
    assert "/v1/score" in client.get("/openapi.json").text
