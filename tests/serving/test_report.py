import base64
import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import configs
from data.contract import (
    EXPRESSION,
    EXPRESSION_MEASURES,
    LANGUAGE_MEASURES,
    SPEECH_MEASURES,
    Curve,
    Evidence,
    Exhibit,
    KeyFrame,
    Measure,
    ModelVersion,
    Moment,
    NotScored,
    Quality,
    Score,
    Scorecard,
    ScoreRequest,
    Transcript,
    Word,
)
from serving.report import clock, number, render_report, ten
from serving.scoring import ScoringConfig
from serving.terms import MEANINGS_ZH, TERMS, sentence

CHROMIUM = Path("/usr/bin/chromium")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"

SPOKEN = (
    "去年 春天 有 一位 客户 来 网点 时 非常 着急 。 我 先 听 她 说完 没有 打断 。 "
    "然后 我 用 自己 的 话 重复 了 一遍 问题 确认 我 理解 了 。 核对 之后 发现 账号 错 了 一位 "
    "当天 下午 钱 就 到账 了 。"
)
TEXT = SPOKEN.split()

REASON_ZH = "模型学自课程考试答案，而非面试回答。"
REASON = "Learned from course-exam answers, not interviews."
NAMES = {
    "zh": {
        "relationship_manager": "客户经理",
        "unhappy_customer": "请讲一次您处理不满意客户的经历。",
        "customer_focus": "客户导向",
    },
    "en": {
        "relationship_manager": "Relationship manager",
        "unhappy_customer": "Tell us about a time you dealt with an unhappy customer.",
        "customer_focus": "Customer focus",
    },
}


def words() -> tuple[Word, ...]:
    at, spoken = 0.6, []
    for i, text in enumerate(TEXT):
        long_s = 0.16 * len(text) + 0.08
        probability = 0.41 if i % 13 == 6 else 0.93
        spoken.append(Word(text=text, start_s=at, end_s=at + long_s, probability=probability))
        at += long_s + (1.4 if text == "。" else 0.14)
    return tuple(spoken)


def quality() -> Quality:
    return Quality(
        duration_s=24.0,
        speech_s=17.2,
        clipping_ratio=0.0,
        snr_db=31.4,
        bandwidth_hz=7600.0,
        one_face_share=0.9,
        face_frames=120,
        brightness=0.46,
        width=None,
        height=None,
    )


def scorecard(transcript_words: tuple[Word, ...] | None = None) -> Scorecard:
    spoken = words() if transcript_words is None else transcript_words
    return Scorecard(
        id="sc_01K9Z3V7",
        created_at="2026-11-23T09:30:00+08:00",
        status="completed",
        request=ScoreRequest(job="relationship_manager", question="unhappy_customer"),
        language="zh",
        input_sha256="9f2c" * 16,
        quality=quality(),
        transcript=Transcript(
            text="".join(word.text for word in spoken),
            words=spoken,
            language="zh",
            language_probability=0.98,
            confidence=0.88,
            error_rate=0.12,
            source="recognised",
            recogniser="whisper-base int8",
        ),
        scores=(fluency(), prosody(), customer_focus(spoken)),
        not_scored=(
            *(
                NotScored(
                    part="competency",
                    name=name,
                    code="not_asked",
                    reason="Another question of the job asks for it.",
                )
                for name in ("communication", "learning")
            ),
            NotScored(
                part="expression",
                name="expression",
                code="no_head",
                reason="No learned head: there are no ratings to learn from, so there is no score.",
            ),
        ),
        total=None,
        total_reason="20 % of the weight the question asks for is scored; provisional and not "
        "accepted by the job's configuration: customer_focus; not scored: expression",
        measures=(
            Measure(
                part="speech",
                name="f0_range",
                value=5.1,
                unit="semitones",
                meaning="10th to 90th percentile of the fundamental frequency",
                reference_low=3.0,
                reference_high=8.0,
            ),
            Measure(
                part="speech",
                name="filled_pauses",
                value=None,
                unit="1/min",
                meaning="um, uh, 嗯, 呃 … recognised per minute",
            ),
        ),
        weights={"customer_focus": 0.8, "fluency": 0.1, "prosody": 0.1, "expression": 0.0},
        weights_version="chosen-1",
        versions=(
            ModelVersion(
                name="speech",
                version="1",
                sha256="ab12" * 16,
                feature_set="speech-1-0a1b2c3d",
                card_url="/v1/models/speech/1/card",
            ),
        ),
        human_review_required=True,
        human_review_reasons=("provisional scores: customer_focus, prosody",),
    )


def fluency() -> Score:
    return Score(
        part="speech",
        name="fluency",
        score=78.4,
        low=66.0,
        high=90.8,
        provisional=False,
        evidence=(
            Evidence(
                kind="measure",
                name="pause_ratio",
                value=0.22,
                unit="1",
                reference_low=0.08,
                reference_high=0.31,
            ),
            Evidence(kind="measure", name="longest_pause", value=1.4, unit="s"),
        ),
        version="1",
    )


def prosody() -> Score:
    return fluency().model_copy(update={"name": "prosody", "score": 71.0, "evidence": ()})


def customer_focus(spoken: tuple[Word, ...]) -> Score:
    return Score(
        part="competency",
        name="customer_focus",
        score=66.0,
        low=41.0,
        high=91.0,
        provisional=True,
        provisional_reason={"zh": REASON_ZH, "en": REASON},
        evidence=tuple(
            Evidence(
                kind="span",
                text="".join(word.text for word in piece),
                start_s=piece[0].start_s,
                end_s=piece[-1].end_s,
                effect=-4.2,
            )
            for piece in (spoken[12:17], spoken[19:30])
            if piece
        ),
        version="1",
    )


def exhibit() -> Exhibit:
    times = np.arange(0, 24, 0.2)
    smile = np.clip(0.3 + 0.25 * np.sin(times / 2), 0, 1)
    faces = [None if 9 < t < 11.4 else float(v) for t, v in zip(times, smile, strict=True)]
    yaw = [None if v is None else float(9 * np.sin(t)) for t, v in zip(times, faces, strict=True)]
    level = [float(-30 + 9 * np.sin(3 * t) * np.sin(t)) for t in times]
    at = tuple(float(t) for t in times)
    spoken = words()
    return Exhibit(
        speech_segments=((0.6, spoken[10].end_s), (spoken[11].start_s, 11.0), (12.4, 22.8)),
        level=Curve(name="level", unit="dBFS", meaning="level", times_s=at, values=tuple(level)),
        delivery=(
            Curve(
                name="fluency",
                unit="of 10",
                meaning="score",
                times_s=(0.6, 11.0, 12.4, 22.8),
                values=(7.5, 7.5, 4.0, 4.0),
            ),
        ),
        moments=(
            Moment(
                start_s=12.4,
                end_s=22.8,
                scores={"fluency": 40.0},
                difference=-17.5,
                measures=(
                    Measure(
                        part="speech",
                        name="articulation_rate",
                        value=1.5,
                        unit="syllables/s",
                        meaning="rate",
                        reference_low=2.3,
                        reference_high=4.2,
                    ),
                ),
            ),
        ),
        expression=(
            Curve(name="smile", unit="1", meaning="smile", times_s=at, values=tuple(faces)),
            Curve(name="head_yaw", unit="deg", meaning="turn", times_s=at, values=tuple(yaw)),
        ),
        key_frames=(
            KeyFrame(
                time_s=3.2,
                measure="smile",
                value=0.55,
                unit="1",
                jpeg=still(),
                outlines={"lips": ((0.4, 0.6), (0.6, 0.6), (0.5, 0.7)), "nose": ((0.5, 0.4),) * 2},
            ),
            KeyFrame(time_s=14.2, measure="head_yaw", value=8.9, unit="deg", jpeg=still()),
        ),
    )


def still() -> str:
    ramp = np.linspace(60, 200, 160, dtype=np.uint8)
    picture = Image.fromarray(np.dstack([np.tile(ramp, (120, 1))] * 3))
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(scorecard(), exhibit(), names=NAMES)


def test_a_moment_says_where_it_is_how_far_off_and_what_was_unusual(html: str) -> None:
    section = html.split("Moments furthest from the whole answer")[1].split("Key frames")[0]
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", section)).split())
    for said in ("0:12", "拉低", "below", "1.8", "流利度", "4.0", "1.5", "2.3 – 4.2"):
        assert said.replace(" ", "") in text.replace(" ", "")


def test_scores_over_time_are_drawn_from_0_to_10(html: str) -> None:
    track = html.split("Fluency over time")[1].split("</svg>")[0]
    assert "M25.0,25.0L458.3,25.0L516.7,60.0L950.0,60.0" in track


def test_a_score_of_78_4_points_reads_7_8_of_ten() -> None:
    assert ten(78.4) == "7.8"


def test_a_share_reads_as_per_cent_and_75_4_seconds_as_a_minute_and_fifteen() -> None:
    assert (number(0.22, "1"), clock(75.4)) == ("22%", "1:15")


def test_every_measure_and_unit_has_words_in_both_languages() -> None:
    summaries = (*SPEECH_MEASURES, *EXPRESSION_MEASURES, *LANGUAGE_MEASURES)
    columns = (*summaries, *EXPRESSION.columns)
    assert {column.name for column in columns} <= TERMS.keys()
    assert {column.unit for column in columns} <= TERMS.keys()
    assert {column.name for column in summaries} <= MEANINGS_ZH.keys()


def test_the_report_names_nothing_outside_itself(html: str) -> None:
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", html)
    assert not re.search(r"@import|url\(", html)
    assert "default-src 'none'" in html


def test_a_script_in_a_transcript_is_inert_text() -> None:
    attack = "<script>window.stolen=1</script>"
    word = Word(text=attack, start_s=1.0, end_s=1.5, probability=0.9)
    page = render_report(scorecard((word,)), exhibit(), names=None)
    assert attack not in page
    assert "&lt;script&gt;window.stolen=1&lt;/script&gt;" in page
    assert page.count("<script>") == 1


def test_without_a_total_its_reason_stands_in_its_place(html: str) -> None:
    total = html[html.index('id="total"') : html.index('id="scores"')]
    assert "没有总分" in total
    assert "20 % of the weight the question asks for is scored" in total
    assert (
        "本题要求的权重中有 20% 可计入总分；暂定且该职位不采纳的：客户导向；未评分的：面部表现"
        in total
    )


def test_a_provisional_score_is_marked_and_says_why_in_both_languages(html: str) -> None:
    article = html[html.index('class="score provisional"') :]
    assert "暂定" in article
    assert "模型学自课程考试答案，而非面试回答。" in article
    assert REASON in article


def test_evidence_shows_the_score_without_its_words(html: str) -> None:
    assert "6.6 → 6.2" in html


def test_a_review_reason_names_the_scores_in_both_languages() -> None:
    reason = sentence("provisional scores: customer_focus, prosody", NAMES)
    assert reason.zh == "含暂定分数：客户导向、语调韵律"
    assert reason.en == "provisional scores: Customer focus, Prosody"


def test_an_unknown_sentence_is_shown_as_it_was_written() -> None:
    assert sentence("Fluency: see the card.") == (
        "Fluency: see the card.",
        "Fluency: see the card.",
    )


def test_what_other_questions_ask_is_one_line(html: str) -> None:
    assert html.count("由该职位的其他问题考察。") == 1


def test_evidence_that_all_scores_of_a_part_share_is_shown_once() -> None:
    fluent, prosodic = fluency(), prosody().model_copy(update={"evidence": fluency().evidence})
    page = render_report(
        scorecard().model_copy(update={"scores": (fluent, prosodic)}), exhibit(), names=NAMES
    )
    assert page.count(">停顿占比<") == 1


@pytest.mark.parametrize(
    "texts",
    [("我", "用", " machine", " learning", " 模型", "。"), (" I", " can't", " say.", " So", " be")],
)
def test_words_of_the_transcript_are_parted_as_they_were_recognised(texts: tuple[str, ...]) -> None:
    spoken = tuple(
        Word(text=text, start_s=i / 2, end_s=i / 2 + 0.4, probability=0.9)
        for i, text in enumerate(texts)
    )
    page = render_report(scorecard(spoken), exhibit(), names=NAMES)
    line = re.search(r"<p>(<span class=\"w.*?)</p>", page)
    assert line
    assert unescape(re.sub(r"<[^>]*>", "", line[1])) == "".join(texts).strip()


def test_words_that_are_right_less_often_than_the_stated_share_are_marked(html: str) -> None:
    marked = html.count('class="w unsure" data-t')
    least = configs.load("scoring", ScoringConfig).low_confidence
    assert marked == sum(word.probability < least for word in words()) > 0
    assert "12%" in html.split("预计错字率")[1][:200]


def test_a_stretch_without_a_face_is_a_gap_in_each_expression_curve(html: str) -> None:
    assert html.count('class="gap"') == 2
    assert len(re.findall(r'<path d="M[^"]*M[^"]*"', html)) == 2


def test_a_recording_without_anything_but_a_duration_still_has_a_report() -> None:
    bare = scorecard(()).model_copy(
        update={
            "scores": (),
            "transcript": None,
            "measures": (),
            "request": ScoreRequest(job="a_job_since_removed"),
        }
    )
    page = render_report(bare, Exhibit(), names=None)
    assert "没有文字记录" in page
    assert "a job since removed" in page


def test_jobs_and_competencies_have_their_names_without_the_caller() -> None:
    page = render_report(scorecard(), exhibit())
    assert "客户经理" in page
    assert "Customer focus" in page


# --- in a browser ----------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not CHROMIUM.exists():
        pytest.skip("no browser at /usr/bin/chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-quic"]
        )
        yield chromium
        chromium.close()


def test_the_report_works_in_a_browser_and_asks_nothing_of_the_network(
    browser, html: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())

    heading = page.locator("h1")
    assert heading.inner_text() == "客户经理"
    page.click("[data-speak=en]")
    assert heading.inner_text() == "Relationship manager"
    assert page.evaluate("document.documentElement.lang") == "en"

    page.locator(".transcript .w").nth(14).click()
    at = float(page.evaluate("document.documentElement.style.getPropertyValue('--at')"))
    assert at == pytest.approx(words()[14].start_s / 24.0, abs=0.005)
    assert page.locator(".w.now").inner_text() == TEXT[14]

    lane = page.locator(".lane").first
    box = lane.bounding_box()
    lane.click(position={"x": box["width"] / 2, "y": 8})
    middle = float(page.evaluate("document.documentElement.style.getPropertyValue('--at')"))
    assert middle == pytest.approx(0.5, abs=0.01)

    page.set_input_files("#recording", SAMPLE)
    player = page.locator("#player")
    player.evaluate("p => p.readyState || new Promise(d => p.addEventListener('loadeddata', d))")
    assert player.evaluate("p => p.currentTime") == pytest.approx(12, abs=0.3)

    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
    page.close()


def test_landmarks_are_drawn_over_the_stills_when_asked_for(
    browser, html: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    lips = page.locator(".still svg polygon")
    assert not lips.is_visible()
    page.click("#landmarks")
    assert lips.is_visible()
    assert page.locator("#landmarks").get_attribute("aria-pressed") == "true"
    picture, drawn = page.locator(".still img").first.bounding_box(), lips.bounding_box()
    assert drawn["x"] == pytest.approx(picture["x"] + 0.4 * picture["width"], abs=2)
    assert drawn["width"] == pytest.approx(0.2 * picture["width"], abs=3)
    page.click("#landmarks")
    assert not lips.is_visible()
    page.close()


def test_a_report_whose_stills_have_no_landmarks_offers_none() -> None:
    bare = exhibit()
    stills = tuple(frame.model_copy(update={"outlines": {}}) for frame in bare.key_frames)
    page = render_report(scorecard(), bare.model_copy(update={"key_frames": stills}))
    assert 'id="landmarks"' not in page


def test_a_phone_shows_the_report_without_sideways_scrolling(
    browser, html: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(file.as_uri())
    for language in ("zh", "en"):
        page.click(f"[data-speak={language}]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
