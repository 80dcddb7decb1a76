"""python -m serving, as it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data import console
from data.contract import Score, Scorecard, ScoreRequest
from data.recording import open_recording
from serving.__main__ import app, differences, expected, listing
from serving.settings import ServingConfig
from serving.store import Interview, KeyRow, Store

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
ASKED = ("--question", "unhappy_customer", "--language", "en")


def serving(*arguments: str | Path) -> int:
    """Exit code of `python -m serving` with these arguments."""
    with pytest.raises(SystemExit) as left:
        console.run(app, [str(argument) for argument in arguments], expected=expected)
    return int(left.value.code or 0)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What it told, without the boxes and line breaks of the console."""
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_media) -> Path:
    """Two answers of eight seconds, a text and a link to nowhere, by name: a, b, c, d."""
    found = open_recording(SAMPLE).waveform
    assert found is not None
    folder = tmp_path_factory.mktemp("answers")
    (folder / "a.mp4").write_text("no recording")
    write_media(folder / "b.wav", found[: 8 * 16_000])
    (folder / "c.wav").symlink_to(folder / "nowhere.wav")
    (folder / "sub").mkdir()
    write_media(folder / "sub" / "d.wav", found[8 * 16_000 : 16 * 16_000])
    return folder


@pytest.mark.usefixtures("starters")
def test_a_folder_is_scored_past_what_cannot_be(
    folder: Path, tmp_path: Path, scorer, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scores.json"
    code = serving("score", folder, "--out", out, *ASKED)
    entries = {entry["file"]: entry for entry in json.loads(out.read_text(encoding="utf-8"))}
    assert list(entries) == ["a.mp4", "b.wav", "c.wav", "sub/d.wav"]
    assert entries["a.mp4"]["code"] == "not_media"
    assert "code" in entries["c.wav"]
    assert "2 scored, 2 not" in said(capsys)
    assert code == int(entries["c.wav"]["code"] == "scoring_failed")
    request = ScoreRequest(job="relationship_manager", question=ASKED[1], language="en")
    alone = scorer.score(folder / "b.wav", request).scorecard.model_dump(mode="json")
    for part in ("scores", "not_scored", "total", "input_sha256", "request"):
        assert entries["b.wav"][part] == alone[part], part


def test_one_candidates_consent_is_not_taken_for_a_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scores.json"
    assert serving("score", folder, "--out", out, "--face-consent", "c-7") != 0
    shown = capsys.readouterr()
    assert "one recording" in shown.out + shown.err
    assert not out.exists()


@pytest.fixture(scope="module")
def receipt(folder: Path, scorer, tmp_path_factory) -> Path:
    request = ScoreRequest(job="relationship_manager", question=ASKED[1], language="en")
    path: Path = tmp_path_factory.mktemp("receipt") / "scorecard.json"
    path.write_text(scorer.score(folder / "b.wav", request).scorecard.model_dump_json())
    return path


@pytest.mark.usefixtures("starters")
def test_a_kept_score_comes_out_the_same_again(
    receipt: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    served = tmp_path / "answer.json"  # as GET /v1/scores/{id} gives it
    served.write_text(json.dumps({"id": "1", "scorecard": json.loads(receipt.read_text())}))
    assert serving("replay", served, folder / "b.wav") == 0
    assert "come out the same" in said(capsys)


@pytest.mark.usefixtures("starters")
def test_a_scorecard_that_was_changed_does_not_pass_for_what_was_scored(
    receipt: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    kept = json.loads(receipt.read_text())
    kept["scores"][0]["score"] += 1
    kept["versions"][0]["sha256"] = "0" * 64
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(kept))
    assert serving("replay", changed, folder / "b.wav") == 1
    told = said(capsys)
    assert f"{kept['scores'][0]['name']}: {kept['scores'][0]['score']}" in told
    assert f"sha256 {'0' * 64} was used" in told


def test_another_recording_or_no_scorecard_is_not_replayed(
    receipt: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert serving("replay", receipt, folder / "sub" / "d.wav") == 2
    assert "sha256" in said(capsys)
    for content in ("[1]", "{}", "no JSON"):
        (tmp_path / "none.json").write_text(content)
        assert serving("replay", tmp_path / "none.json", folder / "b.wav") == 2
        assert "holds no scorecard" in said(capsys)


@pytest.mark.usefixtures("starters")
def test_the_demo_writes_the_samples_scorecard_and_its_report(
    starters: Path, capsys: pytest.CaptureFixture[str]
):
    assert serving("demo") == 0
    written = (starters / "demo" / "scorecard.json").read_text(encoding="utf-8")
    card = Scorecard.model_validate_json(written)
    assert {"fluency", "prosody", "customer_focus"} <= {score.name for score in card.scores}
    page = (starters / "demo" / "report.html").read_text(encoding="utf-8")
    assert card.input_sha256 in page
    told = said(capsys)
    fluency = next(score for score in card.scores if score.name == "fluency")
    assert f"fluency {fluency.score / 10:.1f}/10" in told
    assert "serving serve" in told


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_a_folder_that_is_not_there_is_told_before_anything_is_scored(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = {"--out": tmp_path / "scores.json", "--report": tmp_path / "report.html"}
    given[option] = tmp_path / "missing" / "file"
    pairs = [part for pair in given.items() for part in pair]
    assert serving("score", SAMPLE, *pairs) == 2
    assert "does not exist" in said(capsys)
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.usefixtures("starters")
def test_an_unknown_question_is_one_line_and_leaves_earlier_results_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scores.json"
    out.write_text("earlier")
    assert serving("score", SAMPLE, "--out", out, "--question", "[bold]moon") == 1
    told = said(capsys)
    assert "'[bold]moon'" in told
    assert "Traceback" not in told
    assert out.read_text() == "earlier"


def test_a_key_of_another_vault_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path))
    monkeypatch.setenv("INTERVIEW_VAULT_KEY", "too short")
    assert serving("key", "list") == 1
    assert "Traceback" not in said(capsys)


def test_a_key_that_was_made_is_listed_and_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("INTERVIEW_STATE", str(tmp_path))
    assert serving("key", "create", "--role", "reader", "--label", "[HR]") == 0
    key_id = capsys.readouterr().out.split("_")[1]
    assert serving("key", "list") == 0
    assert f"{key_id} reader in use [HR]" in said(capsys)
    assert serving("key", "revoke", key_id) == 0
    assert serving("key", "revoke", key_id) == 2
    assert serving("key", "create", "--role", "king") == 2


def test_failed_interviews_are_put_back_in_line_and_one_without_its_recording_is_named(
    config: ServingConfig, store: Store, capsys: pytest.CaptureFixture[str]
):
    store.add_key(KeyRow("owner", "scorer", "", b"salt", b"digest", revoked=False))
    ids = []
    for number in range(3):
        with store.vault.new() as writer:
            writer.write(b"voice")
        request = ScoreRequest(job="teller")
        ids.append(store.accept(Interview("owner", request, "", writer.name, ".wav")))
        if number:
            store.fail(ids[-1], "scoring_failed", "Scoring broke off.")
    store.vault.delete(writer.name)
    waits, failed, gone = ids
    assert serving("retry", waits) == 1
    assert f"{waits} not retried: only a failed score is tried again, and it is queued" in said(
        capsys
    )
    assert serving("retry", "--failed") == 1
    told = said(capsys)
    assert f"{failed} back in line" in told
    assert f"{gone} not retried: its recording is gone" in told
    assert "1 back in line, 1 not" in told
    assert [store.status(score_id) for score_id in ids] == ["queued", "queued", "failed"]
    assert serving("retry") == serving("retry", failed, "--failed") == 2


def test_the_list_is_whole_after_each_entry_and_when_it_breaks_off(tmp_path: Path):
    out = tmp_path / "scores.json"
    entries: list[dict[str, Any]] = [{"file": f"{i}", "text": "声" * i} for i in range(3)]

    def write_and_break_off() -> None:
        with listing(out, single=False) as add:
            assert json.loads(out.read_text()) == []
            for i, entry in enumerate(entries):
                add(entry)
                assert json.loads(out.read_text()) == entries[: i + 1]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_break_off()
    assert json.loads(out.read_text()) == entries


def test_a_difference_is_told_for_a_score_that_moved_went_or_came_and_for_the_total(receipt: Path):
    kept = Scorecard.model_validate_json(receipt.read_text())
    assert list(differences(kept, kept)) == []
    first, second, *others = kept.scores
    moved = first.model_copy(update={"high": first.high - 1})
    new = Score(part="speech", name="new", score=1, low=0, high=2, provisional=False, version="1")
    again = kept.model_copy(update={"scores": (moved, *others, new), "total": 50.0})
    told = list(differences(kept, again))
    assert [line.split(":")[0] for line in told] == [
        f"{first.part} {first.name}",
        f"{second.part} {second.name}",
        "speech new",
        "total",
    ]
