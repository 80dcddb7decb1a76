import base64
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from data.contract import ContractMismatch, Curve, Exhibit, KeyFrame, ScoreRequest
from serving.database import create_engine
from serving.settings import ServingConfig
from serving.store import Conflict, Event, Interview, KeyRow, NotRetried, Store
from serving.vault import KEY_VARIABLE

SECRET = "我叫王芳"
EXHIBIT = Exhibit(
    expression=(Curve(name="smile", unit="1", meaning="", times_s=(0,), values=(0.8,)),),
    key_frames=(KeyFrame(time_s=1, measure="smile", value=0.8, unit="1", jpeg="/9j/4AAQ"),),
)


@pytest.fixture
def owner(store: Store) -> str:
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))
    return "owner"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the store's clock a number of days ahead."""
    ahead = timedelta()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + ahead

    def set_ahead(days: float) -> None:
        nonlocal ahead
        ahead = timedelta(days=days)

    monkeypatch.setattr("serving.store.datetime", Clock)
    return set_ahead


def interview(
    store: Store, owner: str, plain: bytes = b"voice", region: str = "default", **fields: str
) -> Interview:
    with store.vault.new() as writer:
        writer.write(plain)
    request = ScoreRequest(job="teller", transcript=SECRET, policy_region=region)
    return Interview(owner, request, writer.sha256, writer.name, ".wav", **fields)


def finished(store: Store, owner: str, tiny: ModuleType, tmp_path: Path, **kwargs: str) -> str:
    path = tiny.recording(tmp_path / "a.wav", sounding=0.5)
    score_id = store.accept(interview(store, owner, path.read_bytes(), **kwargs))
    attempt = store.begin(score_id)
    assert attempt is not None
    scored = replace(tiny.score(path, store.request(attempt)), exhibit=EXHIBIT)
    assert store.finish(attempt, scored)
    return score_id


def test_an_accepted_interview_waits_and_its_request_comes_back(store: Store, owner: str) -> None:
    score_id = store.accept(interview(store, owner))
    assert store.waiting() == [score_id]
    assert store.status(score_id) == "queued"
    attempt = store.begin(score_id)
    assert attempt is not None
    assert attempt.number == 1
    assert store.request(attempt).transcript == SECRET
    assert store.status(score_id) == "running"


def test_a_finished_scorecard_is_read_back_under_the_id_of_its_score(
    store: Store, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    score_id = finished(store, owner, tiny, tmp_path)
    row = store.get(score_id)
    assert row is not None
    assert row.scorecard is not None
    assert (row.status, row.scorecard["id"], row.scorecard["total"]) == ("completed", score_id, 50)
    drawn = store.exhibit(score_id)
    assert drawn is not None
    assert drawn[0].id == score_id
    assert store.waiting() == []
    assert store.counts() == {("completed", ""): 1}


def test_a_try_that_is_handed_back_has_not_been(store: Store, owner: str) -> None:
    score_id = store.accept(interview(store, owner))
    first = store.begin(score_id)
    assert first is not None
    store.hand_back(first)
    assert store.status(score_id) == "queued"
    second = store.begin(score_id)
    assert second == first
    third = store.begin(score_id)
    assert third is not None
    store.hand_back(second)
    assert store.status(score_id) == "running", "it was overtaken, and is not its to give back"
    assert store.abstain(third, "silence", "Nothing was said.")


def test_a_failed_score_that_is_retried_waits_again_and_is_not_swept_away(
    store: Store, owner: str, clock: Callable[[float], None]
) -> None:
    score_id = store.accept(interview(store, owner))
    store.fail(score_id, "scoring_failed", "Scoring broke off.")
    assert store.failed() == [score_id]
    store.retry(score_id)
    assert (store.failed(), store.waiting()) == ([], [score_id])
    row = store.get(score_id)
    assert row is not None
    assert (row.status, row.problem_code, row.problem_detail) == ("queued", None, None)
    clock(31)
    store.sweep(24)
    attempt = store.begin(score_id)
    assert attempt is not None
    assert attempt.number == 1
    with store.vault.open_plain(attempt.media) as path:
        assert path.read_bytes() == b"voice"


def test_only_a_failed_score_with_its_recording_is_retried(store: Store, owner: str) -> None:
    gone, open_one = (store.accept(interview(store, owner)) for _ in range(2))
    attempt = store.begin(gone)
    assert attempt is not None
    store.fail(gone, "scoring_failed", "Scoring broke off.")
    store.vault.delete(attempt.media)
    for score_id, reason in (
        (gone, "recording is gone"),
        (open_one, "it is queued"),
        ("0" * 32, "there is none"),
    ):
        with pytest.raises(NotRetried, match=reason):
            store.retry(score_id)
    assert store.status(gone) == "failed"
    assert "score.retry" not in [line["action"] for line in store.trail()]


def test_a_try_that_was_overtaken_writes_nothing(
    store: Store, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    path = tiny.recording(tmp_path / "a.wav", sounding=0.5)
    score_id = store.accept(interview(store, owner))
    first, second = store.begin(score_id), store.begin(score_id)
    assert first is not None
    assert second is not None
    scored = tiny.score(path, store.request(first))
    assert not store.finish(first, scored)
    assert store.finish(second, scored)
    assert not store.abstain(second, "silence", "Nothing was said.")
    assert store.begin(score_id) is None
    assert [line["outcome"] for line in store.trail(score=score_id)] == ["ok", "completed"]


def test_the_database_file_says_nothing_about_the_candidate(
    store: Store, config: ServingConfig, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    finished(store, owner, tiny, tmp_path)
    store.close()
    written = b"".join(path.read_bytes() for path in config.folder.glob("serving.db*"))
    assert len(written) > 10_000
    assert SECRET.encode() not in written
    assert b"fluency" not in written


def test_media_goes_when_scored_and_the_scorecard_stays(
    store: Store, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    score_id = finished(store, owner, tiny, tmp_path)
    assert len(store.vault.names()) == 1
    store.delete_media(score_id)
    assert store.vault.names() == []
    assert store.exhibit(score_id) is not None


def test_erasing_leaves_the_receipt_and_nothing_else(
    store: Store, config: ServingConfig, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    score_id = finished(store, owner, tiny, tmp_path)
    before = store.get(score_id)
    assert before is not None
    assert store.erase(score_id)
    after = store.get(score_id)
    assert after is not None
    assert after.status == "cancelled"
    assert after.erased_at is not None
    assert after.scorecard is None
    assert (after.receipt_sha256, after.input_sha256) == (
        before.receipt_sha256,
        before.input_sha256,
    )
    assert store.exhibit(score_id) is None
    assert store.vault.names() == []
    assert not store.erase(score_id)
    with sqlite3.connect(config.folder / "serving.db") as raw:
        sealed = "sealed_request, sealed_scorecard, sealed_exhibit, sealed_stills"
        assert raw.execute(f"SELECT {sealed} FROM scores").fetchone() == (None,) * 4


def test_a_score_erased_while_it_runs_stays_erased(
    store: Store, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    path = tiny.recording(tmp_path / "a.wav", sounding=0.5)
    score_id = store.accept(interview(store, owner))
    attempt = store.begin(score_id)
    assert attempt is not None
    store.erase(score_id)
    assert not store.finish(attempt, tiny.score(path, store.request(attempt)))
    assert store.exhibit(score_id) is None


def test_the_sweep_removes_what_is_past_its_date_and_stray_uploads_of_yesterday(
    store: Store, config: ServingConfig, owner: str, tiny: ModuleType, tmp_path: Path
) -> None:
    import os

    kept = finished(store, owner, tiny, tmp_path, region="eu")
    past = finished(store, owner, tiny, tmp_path, region="eu")
    stray = interview(store, owner).media
    os.utime(store.vault.media / stray, (0, 0))
    with sqlite3.connect(config.folder / "serving.db") as raw:
        raw.execute("UPDATE scores SET record_until = '2026-01-01T00:00:00Z' WHERE id = ?", [past])
    assert store.sweep(24) == {"media": 2, "stills": 0, "records": 1, "strays": 1}
    assert store.vault.names() == []
    assert store.status(kept) == "completed"
    assert store.status(past) == "cancelled"
    assert store.sweep(24) == {"media": 0, "stills": 0, "records": 0, "strays": 0}


def shown(store: Store, score_id: str) -> tuple[int, int]:
    """Stills and curves of the report."""
    drawn = store.exhibit(score_id)
    assert drawn is not None
    return len(drawn[1].key_frames), len(drawn[1].expression)


def test_stills_of_the_face_go_before_the_record_and_at_once_where_none_are_kept(
    store: Store,
    config: ServingConfig,
    owner: str,
    tiny: ModuleType,
    tmp_path: Path,
    clock: Callable[[float], None],
) -> None:
    ids = {
        region: finished(store, owner, tiny, tmp_path, region=region) for region in config.policies
    }
    assert {region: shown(store, one) for region, one in ids.items()} == {
        "default": (1, 1),
        "cn": (1, 1),
        "eu": (0, 1),
        "us-nyc": (1, 1),
        "us-il": (1, 1),
    }
    clock(29)
    assert store.sweep(24)["stills"] == 0
    clock(31)
    assert store.sweep(24)["stills"] == 4
    assert {shown(store, one) for one in ids.values()} == {(0, 1)}
    assert store.sweep(24)["stills"] == 0


def test_the_same_key_and_body_give_the_same_score(store: Store, owner: str) -> None:
    token = store.reserve(owner, "key-1", 24)
    with pytest.raises(Conflict) as conflict:
        store.reserve(owner, "key-1", 24)
    assert conflict.value.code == "in_flight"
    first = store.accept_once(interview(store, owner), token)
    again = store.reserve(owner, "key-1", 24)
    assert store.accept_once(interview(store, owner), again) == (first[0], False)
    assert store.waiting() == [first[0]]


@pytest.mark.parametrize(
    "other",
    [{"plain": b"noise"}, {"region": "eu"}, {"consent": "c-2"}, {"supersedes": "0" * 32}],
)
def test_the_same_key_with_anything_else_in_the_body_is_told_so(
    store: Store, owner: str, other: dict[str, Any]
) -> None:
    store.accept_once(interview(store, owner, consent="c-1"), store.reserve(owner, "key-1", 24))
    again = store.reserve(owner, "key-1", 24)
    with pytest.raises(Conflict) as conflict:
        store.accept_once(interview(store, owner, **{"consent": "c-1", **other}), again)
    assert conflict.value.code == "other_body"
    assert len(store.waiting()) == 1


def test_a_refused_request_frees_its_key_and_keys_of_others_do_not_meet(
    store: Store, owner: str
) -> None:
    store.add_key(KeyRow("other", "scorer", "", b"salt", b"digest", revoked=False))
    token = store.reserve(owner, "key-1", 24)
    assert store.reserve("other", "key-1", 24) != token
    store.release(token)
    assert store.reserve(owner, "key-1", 24) != token
    with pytest.raises(Conflict) as conflict:
        store.accept_once(interview(store, owner), token)
    assert conflict.value.code == "in_flight"
    assert store.waiting() == []


def test_fifty_threads_with_one_key_make_one_score(store: Store, owner: str) -> None:
    def send(_: int) -> str:
        try:
            token = store.reserve(owner, "key-1", 24)
        except Conflict as conflict:
            return conflict.code
        return store.accept_once(interview(store, owner), token)[0]

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(send, range(50)))
    assert len(answers - {"in_flight"}) == 1
    assert len(store.waiting()) == 1


def test_a_newer_interview_supersedes_the_older(store: Store, owner: str) -> None:
    old = store.accept(interview(store, owner))
    new = store.accept(interview(store, owner, supersedes=old))
    row = store.get(old)
    assert row is not None
    assert (row.status, row.superseded_by) == ("superseded", new)
    assert store.begin(old) is None
    assert store.waiting() == [new]
    line = store.trail(score=old)[-1]
    assert (line["actor"], line["action"], line["outcome"]) == (
        owner,
        "score.supersede",
        f"by:{new}",
    )


def test_what_was_superseded_is_not_superseded_again(store: Store, owner: str) -> None:
    old = store.accept(interview(store, owner))
    new = store.accept(interview(store, owner, supersedes=old))
    for _ in range(2):
        with pytest.raises(Conflict) as conflict:
            store.accept(interview(store, owner, supersedes=old))
        assert conflict.value.code == "was_superseded"
        assert store.waiting() == [new]
        store.erase(old)


def test_a_superseded_interview_that_was_never_scored_goes_when_its_policy_says(
    store: Store, owner: str, clock: Callable[[float], None]
) -> None:
    old = store.accept(interview(store, owner, region="eu"))
    store.accept(interview(store, owner, supersedes=old))
    clock(729)
    assert store.sweep(24)["records"] == 0
    assert store.status(old) == "superseded"
    clock(731)
    assert store.sweep(24)["records"] == 1
    row = store.get(old)
    assert row is not None
    assert (row.status, row.erased_at is None) == ("cancelled", False)


def test_an_interview_is_accepted_with_its_line_in_the_audit_trail_or_not_at_all(
    store: Store, config: ServingConfig, owner: str
) -> None:
    with sqlite3.connect(config.folder / "serving.db") as raw:
        raw.execute(
            "CREATE TRIGGER full BEFORE INSERT ON audit_trail "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    sent = interview(store, owner)
    with pytest.raises(sa.exc.IntegrityError, match="full"):
        store.accept(sent)
    assert store.waiting() == []
    with sqlite3.connect(config.folder / "serving.db") as raw:
        raw.execute("DROP TRIGGER full")
    score_id = store.accept(sent)
    assert [line["action"] for line in store.trail(score=score_id)] == ["score.create"]


def test_a_recording_that_a_score_names_is_not_discarded(store: Store, owner: str) -> None:
    kept, dropped = interview(store, owner), interview(store, owner)
    store.accept(kept)
    store.discard(kept.media)
    store.discard(dropped.media)
    assert [name for name, _ in store.vault.names()] == [kept.media]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_trail SET actor = 'x'", "DELETE FROM audit_trail"]
)
def test_the_audit_trail_can_only_grow(store: Store, config: ServingConfig, statement: str) -> None:
    store.record(Event("owner", "score.read", "some-score", trace_id="t"))
    with (
        sqlite3.connect(config.folder / "serving.db") as raw,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        raw.execute(statement)
    assert [line["actor"] for line in store.trail()] == ["owner"]


def test_a_database_written_by_newer_code_is_refused(store: Store, config: ServingConfig) -> None:
    store.close()
    with sqlite3.connect(config.folder / "serving.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ContractMismatch, match="9999"):
        Store.open(config)


def test_a_store_opens_only_with_the_key_it_was_sealed_with(
    store: Store, config: ServingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    key_file = Path(config.vault.key_file)
    Store.open(config).close()
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(b"another key of thirty-two bytes.").decode())
    with pytest.raises(ContractMismatch, match="restore that key"):
        Store.open(config)
    monkeypatch.setenv(KEY_VARIABLE, key_file.read_text())
    Store.open(config).close()
    monkeypatch.delenv(KEY_VARIABLE)
    key_file.unlink()
    with pytest.raises(ContractMismatch, match="key is missing"):
        Store.open(config)
    assert not key_file.exists(), "a lost key is not replaced by another"


def test_a_store_opens_only_beside_its_recordings(
    store: Store, config: ServingConfig, owner: str, tmp_path: Path
) -> None:
    store.accept(interview(store, owner))
    store.close()
    elsewhere = config.vault.model_copy(update={"folder": str(tmp_path / "another machine")})
    with pytest.raises(ContractMismatch, match="another machine"):
        Store.open(config.model_copy(update={"vault": elsewhere}))
    new = config.model_copy(update={"database_url": f"sqlite:///{tmp_path}/new.db"})
    with pytest.raises(ContractMismatch, match="database is new"):
        Store.open(new)
    Store.open(config).close()


def test_two_machines_share_recordings_by_folder_and_key(
    store: Store, config: ServingConfig, owner: str, tmp_path: Path
) -> None:
    score_id = store.accept(interview(store, owner, b"voice"))
    other = Store.open(config.model_copy(update={"state": str(tmp_path / "machine b")}))
    attempt = other.begin(score_id)
    assert attempt is not None
    with other.vault.open_plain(attempt.media) as path:
        assert path.is_relative_to(tmp_path / "machine b")
        assert path.read_bytes() == b"voice"
    other.close()


def test_the_migrations_make_the_tables_the_code_expects(
    store: Store, config: ServingConfig
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from serving.database import metadata

    with create_engine(config.database_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_many_processes_may_start_at_once(config: ServingConfig) -> None:
    with ThreadPoolExecutor(8) as pool:
        for opened in pool.map(lambda _: Store.open(config), range(8)):
            assert opened.waiting() == []
            opened.close()


def test_sqlite_has_a_write_ahead_log_and_foreign_keys(store: Store, config: ServingConfig) -> None:
    with create_engine(config.database_url).connect() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
