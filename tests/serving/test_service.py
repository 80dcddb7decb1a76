"""The real BentoML service in a process of its own, asked over HTTP."""

import hashlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from serving.settings import load_config
from serving.store import Store
from serving.vault import MARK

JOB, QUESTION = "teller", "t1"
PATIENCE_S = 60
Headers = dict[str, str]


@pytest.fixture(scope="module")
def scorer(served: Any) -> Headers:
    return served.key("scorer")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def client(served: Any, scorer: Headers) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, headers=scorer, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture
def wav(tiny: ModuleType, tmp_path: Path) -> bytes:
    """A quarter of it sounds, so it scores 25."""
    path: Path = tiny.recording(tmp_path / "answer.wav", sounding=0.25)
    return path.read_bytes()


def send(client: httpx.Client, plain: bytes, headers: Headers | None = None, **fields: Any) -> Any:
    form = {"request": json.dumps({"job": JOB, **fields})}
    return client.post(
        "/v1/score", files={"recording": ("a.wav", plain)}, data=form, headers=headers or {}
    )


def ended(client: httpx.Client, plain: bytes, **fields: Any) -> Any:
    answer = send(client, plain, {"Prefer": f"respond-async, wait={PATIENCE_S}"}, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def recordings(served: Any) -> list[Path]:
    """What is kept of uploads; the mark of the database lies beside them."""
    return [path for path in (served.state / "media").iterdir() if path.name != MARK]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "trace_id"} <= set(body)
    assert body["status"] == status
    assert body["type"].endswith(code)
    assert body["trace_id"] == answer.headers["x-trace-id"]
    return body


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


# --- the main job ------------------------------------------------------------


def test_a_recording_is_accepted_and_its_scorecard_is_found_where_the_answer_says(
    client: httpx.Client, wav: bytes
) -> None:
    accepted = send(client, wav, question=None)
    assert accepted.status_code == 202
    assert accepted.headers["location"] == accepted.json()["links"]["self"]
    assert int(accepted.headers["retry-after"]) > 0
    where = accepted.headers["location"]
    until(lambda: client.get(where).json()["status"] == "completed")
    found = client.get(where).json()
    assert found["scorecard"]["total"] == 25
    assert found["scorecard"]["id"] == found["id"] == accepted.json()["id"]
    assert found["input_sha256"] == hashlib.sha256(wav).hexdigest()
    assert found["scorecard"]["input_sha256"] == found["input_sha256"]


def test_who_prefers_to_wait_gets_the_scorecard_at_once(client: httpx.Client, wav: bytes) -> None:
    answer = client.post(
        "/v1/score",
        files={"recording": ("回答.WAV", wav)},
        data={"job": JOB, "accommodations": ["no_expression", "no_speech"], "transcript": "你好"},
        headers={"Prefer": "wait=30"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["preference-applied"] == "wait"
    assert answer.json()["scorecard"]["total"] == 25


def test_who_waits_too_short_a_time_is_told_where_to_ask(client: httpx.Client, wav: bytes) -> None:
    answer = send(client, wav, {"Prefer": "wait=0"})
    assert answer.status_code == 202
    assert "location" in answer.headers


def test_the_receipt_is_the_hash_of_the_scorecard_as_it_is_answered(
    client: httpx.Client, tiny: ModuleType, tmp_path: Path
) -> None:
    one_in_32000 = tiny.recording(tmp_path / "a.wav", sounding=1 / 32_000, duration_s=2)
    answer = ended(client, one_in_32000.read_bytes(), candidate="工号 4711")
    assert answer["scorecard"]["total"] == 100 / 32_000
    canonical = json.dumps(
        answer["scorecard"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert "工号" in canonical
    assert answer["receipt_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    later = client.get(answer["links"]["self"]).json()
    assert later["receipt_sha256"] == answer["receipt_sha256"]
    assert later["scorecard"] == answer["scorecard"]


def test_the_report_is_one_page(client: httpx.Client, wav: bytes) -> None:
    answer = client.get(ended(client, wav)["links"]["report"])
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "柜员" in answer.text or "teller" in answer.text.lower()
    assert answer.headers["cache-control"] == "no-store"


def test_a_recording_may_be_named_by_an_address_that_is_allowed(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    file = served.state.parent / "answers" / "answer.wav"
    file.write_bytes(wav)
    body = {"url": str(file), "request": {"job": JOB}}
    answer = client.post("/v1/score", json=body, headers={"Prefer": "wait=30"})
    assert answer.json()["scorecard"]["total"] == 25
    outside = client.post("/v1/score", json={**body, "url": "/etc/passwd"})
    problem(outside, 403, "url_not_allowed")
    missing = client.post("/v1/score", json={**body, "url": str(file) + "x"})
    problem(missing, 422, "url_unreadable")


def test_a_text_file_abstains_and_says_so(client: httpx.Client) -> None:
    answer = ended(client, b"this is not a recording")
    assert answer["status"] == "abstained"
    assert answer["scorecard"] is None
    assert answer["problem"]["code"] == "not_media"
    assert "record again" in answer["problem"]["detail"]
    waiting = client.get(answer["links"]["self"] + "/report")
    problem(waiting, 409, "no_scorecard")
    assert "retry-after" not in waiting.headers, "it will not change any more"


def test_nothing_of_an_interview_lies_open_on_disk(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    ended(client, wav, transcript="我叫王芳", candidate="candidate-4711")
    secret = {"transcript": "我叫王芳", "candidate": "candidate-4711"}
    kept = send(client, wav, {"Idempotency-Key": "open", "Prefer": "wait=30"}, **secret)
    assert kept.status_code == 200
    until(lambda: not recordings(served))
    assert list((served.state / "plain").iterdir()) == []
    for path in [served.log, *served.state.glob("*.db*")]:
        written = path.read_bytes()
        assert "王芳".encode() not in written, path
        assert b"candidate-4711" not in written, path
        assert b"fluency" not in written, path


def test_erasing_leaves_only_the_receipt(client: httpx.Client, wav: bytes) -> None:
    before = ended(client, wav)
    where = before["links"]["self"]
    erased = client.delete(where)
    assert erased.status_code == 200
    after = client.get(where).json()
    assert after["status"] == "cancelled"
    assert after["erased_at"]
    assert after["scorecard"] is None
    assert after["receipt_sha256"] == before["receipt_sha256"]
    problem(client.get(where + "/report"), 410, "score_erased")
    assert client.delete(where).status_code == 200, "erasing twice is no error"


def test_a_newer_answer_supersedes_the_older(client: httpx.Client, wav: bytes) -> None:
    old = ended(client, wav)
    form = {"job": JOB, "supersedes": old["id"]}
    new = client.post("/v1/score", files={"recording": wav}, data=form).json()
    found = client.get(old["links"]["self"]).json()
    assert (found["status"], found["superseded_by"]) == ("superseded", new["id"])
    form["supersedes"] = "0" * 32
    wrong = client.post("/v1/score", files={"recording": wav}, data=form)
    problem(wrong, 422, "unknown_score")


def test_a_score_is_superseded_once_also_with_a_key(client: httpx.Client, wav: bytes) -> None:
    old = ended(client, wav)
    form = {"job": JOB, "supersedes": old["id"]}

    def supersede(key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return client.post("/v1/score", files={"recording": wav}, data=form, headers=headers)

    first, again = supersede("newer"), supersede("newer")
    assert (first.status_code, first.json()) == (202, again.json())
    assert client.get(old["links"]["self"]).json()["superseded_by"] == first.json()["id"]
    problem(supersede("another"), 409, "was_superseded")
    form["consent"] = "consent-2026-17"
    problem(supersede("newer"), 422, "idempotency_key_reused")


# --- refused at the door -----------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"job": "astronaut"}, "unknown_job", "teller"),
        ({"question": "Moon"}, "unknown_question", "Unknown question 'Moon'; job 'teller' has"),
        ({"policy_region": "mars"}, "unknown_policy_region", "us-nyc"),
        ({"policy_region": "cn"}, "consent_missing", "consent"),
        ({"accommodations": ["no_sleep"]}, "invalid_request", "wrong fields"),
        ({"language": "Chinese"}, "invalid_request", "wrong fields"),
        ({"name": "Wang Fang"}, "invalid_request", "wrong fields"),
    ],
)
def test_what_no_worker_could_score_is_refused_at_the_door(
    client: httpx.Client, served: Any, wav: bytes, fields: dict[str, Any], code: str, named: str
) -> None:
    body = problem(send(client, wav, **fields), 422, code)
    assert named in body["detail"]
    assert "Wang" not in json.dumps(body)
    until(lambda: not recordings(served))


def test_a_stated_consent_opens_a_region_that_requires_it(client: httpx.Client, wav: bytes) -> None:
    form = {"job": JOB, "policy_region": "cn", "consent": "consent-2026-17"}
    assert client.post("/v1/score", files={"recording": wav}, data=form).status_code == 202


@pytest.mark.parametrize("reference", ["true", " No ", "0", "是"])
@pytest.mark.parametrize("field", ["consent", "face_consent"])
def test_a_word_that_names_no_consent_is_refused(
    client: httpx.Client, served: Any, wav: bytes, field: str, reference: str
) -> None:
    form = {"job": JOB, "policy_region": "cn", "consent": "c-1", field: reference}
    answer = client.post("/v1/score", files={"recording": wav}, data=form)
    assert answer.status_code == 422
    assert field in answer.text
    until(lambda: not recordings(served))


def test_a_blank_consent_is_none(client: httpx.Client, served: Any, wav: bytes) -> None:
    form = {"job": JOB, "policy_region": "cn", "consent": "  "}
    answer = client.post("/v1/score", files={"recording": wav}, data=form)
    assert (answer.status_code, answer.json()["code"]) == (422, "consent_missing")
    until(lambda: not recordings(served))


def test_a_consent_too_long_to_keep_is_refused_and_not_cut(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    form = {"job": JOB, "policy_region": "cn", "consent": "c" * 201}
    answer = client.post("/v1/score", files={"recording": wav}, data=form)
    body = problem(answer, 422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == ["consent"]
    until(lambda: not recordings(served))


@pytest.mark.parametrize(
    ("content_type", "content", "status", "code"),
    [
        ("text/plain", b"hello", 415, "media_type"),
        ("", b"", 415, "media_type"),
        ("application/json", b"{", 422, "invalid_request"),
        ("application/json", b"[]", 422, "invalid_request"),
        ("application/json", b'{"url": "/a"}', 422, "invalid_request"),
        ("multipart/form-data", b"x", 400, "malformed_body"),
        ("multipart/form-data; boundary=b", b"", 400, "malformed_body"),
        ("multipart/form-data; boundary=b", b"garbage", 400, "malformed_body"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a"\r\n\r\nxx',
            400,
            "malformed_body",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="job"\r\n\r\nteller\r\n--b--\r\n',
            422,
            "recording_missing",
        ),
    ],
)
def test_a_body_that_is_none_of_ours_is_refused(
    client: httpx.Client, content_type: str, content: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type}
    problem(client.post("/v1/score", content=content, headers=headers), status, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/scores/nobody", 404, "unknown_score"),
        ("GET", "/v1/scores/nobody/report", 404, "unknown_score"),
        ("DELETE", "/v1/scores/nobody", 404, "unknown_score"),
        ("PUT", "/v1/score", 405, "method_not_allowed"),
        ("GET", "/v1/audit", 403, "role_insufficient"),
        ("GET", "/v1/models/speech/99/card", 404, "unknown_version"),
        ("GET", "/v1/models/nobody/1/card", 404, "unknown_version"),
        ("GET", "/v1/models/speech/1/card?format=pdf", 422, "invalid_request"),
    ],
)
def test_every_error_is_a_problem(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    problem(client.request(method, path), status, code)


def test_without_a_key_nothing_about_people_is_told(served: Any, wav: bytes) -> None:
    with httpx.Client(base_url=served.url) as stranger:
        body = send(stranger, wav)
        problem(body, 401, "key_missing")
        assert body.headers["www-authenticate"].startswith("Bearer")
        problem(stranger.get("/v1/scores/any"), 401, "key_missing")
        stranger.headers["Authorization"] = "Bearer iv_x_y"
        problem(stranger.get("/v1/audit"), 401, "key_unknown")


def test_roles_see_what_they_may(client: httpx.Client, served: Any, wav: bytes) -> None:
    where = ended(client, wav)["links"]["self"]
    status = {
        role: httpx.get(served.url + where, headers=served.key(role)).status_code
        for role in ("scorer", "reader", "auditor", "admin")
    }
    assert status == {"scorer": 404, "reader": 200, "auditor": 200, "admin": 200}
    reader = served.key("reader")
    assert httpx.delete(served.url + where, headers=reader).status_code == 403
    trail = httpx.get(
        served.url + "/v1/audit",
        params={"score": where.rsplit("/", 1)[1]},
        headers=served.key("auditor"),
    )
    acts = [line["action"] for line in trail.json()["lines"]]
    assert acts[:2] == ["score.create", "score.end"]
    assert acts.count("score.read") == 3


# --- idempotency -------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_answer(client: httpx.Client, wav: bytes) -> None:
    first = send(client, wav, {"Idempotency-Key": "k1"})
    again = send(client, wav, {"Idempotency-Key": "k1"})
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.headers["location"] == again.headers["location"]
    other = send(client, wav + b"x", {"Idempotency-Key": "k1"})
    problem(other, 422, "idempotency_key_reused")
    problem(
        send(client, wav, {"Idempotency-Key": "k1"}, candidate="b"), 422, "idempotency_key_reused"
    )
    assert send(client, wav, {"Idempotency-Key": "k2"}).json() != first.json()


def test_a_refused_request_does_not_use_up_its_key(client: httpx.Client, wav: bytes) -> None:
    key = {"Idempotency-Key": "k3"}
    problem(send(client, wav, key, job="astronaut"), 422, "unknown_job")
    assert send(client, wav, key).status_code == 202


def test_a_second_request_while_the_first_arrives_is_told_to_wait(
    client: httpx.Client, served: Any, scorer: Headers, wav: bytes
) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\n'
    tail = b'\r\n--b\r\nContent-Disposition: form-data; name="job"\r\n\r\nteller\r\n--b--\r\n'
    with connection(served, scorer, len(head) + len(wav) + len(tail)) as first:
        first.sendall(head)
        time.sleep(0.5)
        answer = send(client, wav, {"Idempotency-Key": "slow"})
        problem(answer, 409, "idempotency_key_in_flight")
        assert answer.headers["retry-after"]
        first.sendall(wav + tail)
        assert first.recv(1000).startswith(b"HTTP/1.1 202")


def test_an_upload_that_breaks_off_leaves_nothing_and_frees_its_key(
    client: httpx.Client, served: Any, scorer: Headers, wav: bytes
) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\n'
    with connection(served, scorer, 10_000_000) as first:
        first.sendall(head + wav)
    until(lambda: send(client, wav, {"Idempotency-Key": "slow2"}).status_code == 202)
    until(lambda: not recordings(served))


def connection(served: Any, scorer: Headers, length: int) -> socket.socket:
    address = urlsplit(served.url)
    opened = socket.create_connection((address.hostname or "", address.port or 0), PATIENCE_S)
    key = "slow" if length < 10_000_000 else "slow2"
    lines = [
        "POST /v1/score HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: {scorer['Authorization']}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {length}",
        f"Idempotency-Key: {key}",
    ]
    opened.sendall("\r\n".join([*lines, "", ""]).encode())
    return opened


# --- limits and load ---------------------------------------------------------


def memory_mb(served: Any) -> float:
    parent = psutil.Process(served.process.pid)
    return max(
        float(process.memory_info().rss) / 1e6
        for process in (parent, *parent.children(recursive=True))
    )


def test_a_declared_size_beyond_the_limit_is_refused_unread(served: Any, scorer: Headers) -> None:
    with connection(served, scorer, 2_000_000_000) as opened:
        answer = b"".join(iter(lambda: opened.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"recording_too_large" in answer


def test_an_endless_body_is_cut_at_the_limit_and_held_in_bounded_memory(
    served: Any, scorer: Headers
) -> None:
    sent, peak = 0, 0.0

    def body() -> Iterator[bytes]:
        nonlocal sent, peak
        yield b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a"\r\n\r\n'
        block = os.urandom(1_000_000)
        for number in range(300):
            if number % 20 == 0:
                peak = max(peak, memory_mb(served))
            yield block
            sent += len(block)
        yield b"\r\n--b--\r\n"

    headers = {**scorer, "Content-Type": "multipart/form-data; boundary=b"}
    answer = httpx.post(
        served.url + "/v1/score", content=body(), headers=headers, timeout=PATIENCE_S
    )
    problem(answer, 413, "recording_too_large")
    assert 200_000_000 <= sent < 240_000_000, "the rest was not read"
    assert peak < 1_500
    until(lambda: not recordings(served))


def test_fifty_probes_are_answered_while_interviews_are_scored(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    accepted = [send(client, wav).json()["links"]["self"] for _ in range(5)]
    with ThreadPoolExecutor(50) as pool:
        statuses = list(
            pool.map(lambda _: httpx.get(served.url + "/healthz").status_code, range(50))
        )
    assert statuses == [200] * 50
    until(lambda: all(client.get(where).json()["status"] == "completed" for where in accepted))


# --- models, health, documentation -------------------------------------------


def test_cards_come_as_data_text_or_page_and_need_no_key(served: Any) -> None:
    (model,) = httpx.get(served.url + "/v1/models").json()["models"]
    assert (model["name"], model["version"]) == ("speech", "1")
    where = served.url + model["links"]["card"]
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answers = {
        "application/json": [httpx.get(where), httpx.get(where + "?format=json", headers=browser)],
        "text/markdown": [
            httpx.get(where + "?format=markdown"),
            httpx.get(where, headers={"Accept": "text/markdown"}),
        ],
        "text/html": [httpx.get(where, headers=browser), httpx.get(where + "?format=html")],
    }
    for media_type, pair in answers.items():
        assert pair[0].text == pair[1].text
        assert all(answer.headers["content-type"].startswith(media_type) for answer in pair)
    problem(httpx.get(where, headers={"Accept": "image/png"}), 406, "not_acceptable")


def test_metrics_count_requests_scores_and_the_queue_and_name_nobody(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    score_id = ended(client, wav)["id"]
    text = httpx.get(served.url + "/metrics").text
    assert 'route="/v1/score",status="200"' in text
    assert re.search(r'interview_scores{code="",status="completed"} [1-9]', text)
    assert "interview_queue_depth" in text
    assert "interview_request_seconds_bucket" in text
    assert score_id not in text


def test_the_documentation_loads_nothing_from_elsewhere(served: Any) -> None:
    for path in ("/docs", "/"):
        page = httpx.get(served.url + path, follow_redirects=True)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert re.findall(r"""(?:src|href)=["'](?!/openapi.json)""", page.text) == []
        assert "<script" not in page.text
        assert "/v1/scores/{score_id}/report" in page.text


def test_the_openapi_document_is_whole(served: Any) -> None:
    document = httpx.get(served.url + "/openapi.json").json()
    known = document["components"]["schemas"]
    wanted = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert wanted <= set(known)
    post = document["paths"]["/v1/score"]["post"]
    bodies = post["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json"}
    assert {"recording", "request", "job"} <= set(
        bodies["multipart/form-data"]["schema"]["properties"]
    )
    assert {"202", "200", "409", "413", "415", "422"} <= set(post["responses"])
    assert "#/$defs" not in json.dumps(document), "every shape is reachable in this document"


def test_the_trace_of_the_caller_is_kept_and_the_log_is_json(
    client: httpx.Client, served: Any
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = client.get("/healthz", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.headers["x-trace-id"] == trace
    asked = client.get("/v1/models").headers["x-trace-id"]

    def logged() -> list[dict[str, Any]]:
        lines = [line for line in served.log.read_text().splitlines(True) if line[0] == "{"]
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in found if line.get("trace_id") == asked]

    until(lambda: logged() != [])  # the line may come after the answer
    (line,) = logged()
    assert (line["route"], line["status"]) == ("/v1/models", 200)


# --- starting, stopping, breaking --------------------------------------------


def test_a_service_killed_in_the_middle_finishes_every_accepted_interview_when_it_is_back(
    client: httpx.Client, served: Any, wav: bytes
) -> None:
    journal = served.state.parent / "journal"
    before = journal.read_text().count("begin")
    accepted = [send(client, wav).json()["links"]["self"] for _ in range(8)]
    until(lambda: journal.read_text().count("begin") >= before + 2)
    (serving,) = [
        child
        for child in psutil.Process(served.process.pid).children()
        if "_bentoml_impl.worker.service" in child.cmdline()
    ]
    serving.kill()
    serving.wait(PATIENCE_S)
    store = Store.open(served.config())
    assert store.waiting(), "some were not scored yet"
    until(lambda: store.waiting() == [])
    ids = [where.rsplit("/", 1)[1] for where in accepted]
    outcomes = [[line["outcome"] for line in store.trail(score=one)] for one in ids]
    store.close()
    assert outcomes == [["ok", "completed"]] * 8, "created once, ended once"
    until(lambda: answers(served.url + "/readyz"))
    assert {client.get(where).json()["scorecard"]["total"] for where in accepted} == {25}


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_a_service_does_not_start_on_a_database_of_newer_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path))
    Store.open(load_config()).close()
    with sqlite3.connect(tmp_path / "serving.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    command = [sys.executable, "-m", "bentoml", "serve", "tiny_service:service", "--port", "0"]
    here = Path(__file__).parent
    result = subprocess.run(
        [*command, "--working-dir", str(here)],
        env={**os.environ, "PYTHONPATH": str(here.parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode != 0
    assert "version 9999" in result.stderr + result.stdout
