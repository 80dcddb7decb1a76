"""The report of one scorecard: one HTML file, Chinese and English, that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby, pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import configs
from data.contract import (
    Curve,
    Evidence,
    Exhibit,
    KeyFrame,
    Measure,
    NotScored,
    Part,
    Quality,
    Score,
    Scorecard,
    Word,
)
from data.jobs import LANGUAGES, competencies, jobs
from serving.scoring import ScoringConfig
from serving.terms import OF_TEN, Names, Term, meaning, sentence, term, why_not

PAGES = Path(__file__).parent / "pages"

PARTS: tuple[Part, ...] = ("competency", "speech", "expression")
"""In the order of the page."""

PHRASE_GAP_S = 0.6
"""A pause this long between words starts a new line of the transcript."""

PHRASE_WORDS = (5, 40)
"""A line of the transcript ends with a sentence after the first number of words, and is
cut after the second."""

LEVEL_DEPTH_DB = 50
"""From the loudest moment down to the bottom of the level curve."""

OPEN_OUTLINES = ("brow_a", "brow_b", "nose")
"""Parts of a face whose landmarks are a line; the others go around."""

CHART = (1000, 100)
"""Width and height of a chart in its own units; the page stretches it."""


def render_report(scorecard: Scorecard, exhibit: Exhibit, *, names: Names | None = None) -> str:
    """One HTML page that stands alone: works offline and sends nothing.

    names : language -> key or sentence -> text, over what configs/jobs.yaml calls jobs,
        questions and competencies
    """
    names = _with_job_names(names)
    duration_s = _duration_s(scorecard, exhibit)
    page = _pages().get_template("report.html")
    return page.render(
        card=scorecard,
        exhibit=exhibit,
        duration_s=duration_s,
        total=_total(scorecard),
        parts=_parts(scorecard),
        phrases=list(_phrases(scorecard)),
        tracks=_tracks(exhibit, duration_s),
        segments=[_span(start, end, duration_s) for start, end in exhibit.speech_segments],
        key_frames=sorted(exhibit.key_frames, key=_frame_time),
        outlined=any(frame.outlines for frame in exhibit.key_frames),
        measures=_other_measures(scorecard),
        quality=_quality_rows(scorecard.quality),
        ticks=_ticks(duration_s),
        refusals=_refusals(scorecard.not_scored),
        say=partial(term, names=names),
        sentence=partial(sentence, names=names),
        why_not=partial(why_not, names=names),
        script=_script(),
        script_hash=_script_hash(),
    )


@cache
def _pages() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"clock": clock, "ten": ten, "number": number, "place": _place}
    unsure = configs.load("scoring", ScoringConfig).low_confidence
    pages.globals |= {"UNSURE": unsure, "meaning": meaning, "OPEN_OUTLINES": OPEN_OUTLINES}
    return pages


@cache
def _script() -> Markup:
    """The page's own script, constant text of this repository: the only trusted markup."""
    return Markup((PAGES / "report.js").read_text(encoding="utf-8"))


@cache
def _script_hash() -> str:
    """For the content security policy: the browser runs this script and no other."""
    digest = hashlib.sha256(_script().encode("utf-8")).digest()
    return base64.b64encode(digest).decode("ascii")


@cache
def _job_names() -> Names:
    texts = {key: competency.name for key, competency in competencies().items()}
    for key, job in jobs().items():
        texts[key] = job.name
        texts |= {name: question.text for name, question in job.questions.items()}
    return {
        language: {key: text[language] for key, text in texts.items()} for language in LANGUAGES
    }


def _with_job_names(names: Names | None) -> Names:
    given = names or {}
    return {language: known | given.get(language, {}) for language, known in _job_names().items()}


# --- numbers as people read them -------------------------------------------------


def ten(points: float) -> str:
    """Points of 100 as a number out of ten with one decimal."""
    return f"{points / 10:.1f}"


def clock(time_s: float) -> str:
    """Minutes and seconds: 75.4 is 1:15."""
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02d}"


def number(value: float, unit: str = "") -> str:
    """A share as per cent; else two decimals below 10, one below 100, none above."""
    if unit == "1" and abs(value) <= 1:
        return f"{100 * value:.0f}%"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


# --- scores ----------------------------------------------------------------------


@dataclass(frozen=True)
class Total:
    """The total with its interval. All None: there is none, see `reason`."""

    score: float | None
    low: float | None
    high: float | None
    reason: str


def _total(scorecard: Scorecard) -> Total:
    return Total(scorecard.total, scorecard.total_low, scorecard.total_high, scorecard.total_reason)


@dataclass(frozen=True)
class PartScores:
    """The scores of one part. shared : evidence that all of them rest on, shown once."""

    part: str
    scores: tuple[Score, ...]
    shared: tuple[Evidence, ...]


def _parts(scorecard: Scorecard) -> list[PartScores]:
    """Scores by part, what was said before how it was said."""
    ranked = sorted(scorecard.scores, key=lambda score: PARTS.index(score.part))
    parts = []
    for part, group in groupby(ranked, key=lambda score: score.part):
        scores = tuple(group)
        same = len(scores) > 1 and len({score.evidence for score in scores}) == 1
        parts.append(PartScores(part, scores, scores[0].evidence if same else ()))
    return parts


@dataclass(frozen=True)
class Refusal:
    """Names of one part that have no score for one reason."""

    part: str
    names: tuple[str, ...]
    code: str
    reason: str


def _refusals(not_scored: tuple[NotScored, ...]) -> list[Refusal]:
    """What was not scored, a line a reason; what another question asks comes last."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for item in sorted(not_scored, key=lambda item: item.code == "not_asked"):
        grouped.setdefault((item.part, item.code, item.reason), []).append(item.name)
    return [
        Refusal(part, tuple(names), code, reason) for (part, code, reason), names in grouped.items()
    ]


def _other_measures(scorecard: Scorecard) -> list[tuple[str, list[Measure]]]:
    """Measures by part, without those that a score shows as its evidence already."""
    shown = {item.name for score in scorecard.scores for item in score.evidence}
    others = [measure for measure in scorecard.measures if measure.name not in shown]
    others.sort(key=lambda measure: PARTS.index(measure.part))
    return [(part, list(rows)) for part, rows in groupby(others, key=lambda row: row.part)]


@dataclass(frozen=True)
class Place:
    """Where a value stands beside its reference range, in per cent of the bar's width."""

    value: float
    low: float
    high: float


def _place(value: float, low: float, high: float) -> Place:
    """The bar shows the reference range in its middle half; a value beyond stays at the end."""
    width = max(high - low, 1e-9)
    position = 25 + 50 * (value - low) / width
    return Place(min(98.0, max(2.0, position)), 25.0, 75.0)


# --- transcript ------------------------------------------------------------------


@dataclass(frozen=True)
class Phrase:
    """Words between two pauses. One that a space parts from the word before begins with it."""

    start_s: float
    words: tuple[Word, ...]


def _phrases(scorecard: Scorecard) -> Iterator[Phrase]:
    """Lines of the transcript: cut at pauses, at sentences, and where one would grow too long."""
    words = scorecard.transcript.words if scorecard.transcript else ()
    line: list[Word] = []
    for word in words:
        if line and _ends(line, word):
            yield Phrase(line[0].start_s, tuple(line))
            line = []
        line.append(word)
    if line:
        yield Phrase(line[0].start_s, tuple(line))


def _ends(line: list[Word], following: Word) -> bool:
    shortest, longest = PHRASE_WORDS
    paused = following.start_s - line[-1].end_s >= PHRASE_GAP_S
    finished = line[-1].text.rstrip().endswith((".", "?", "!", "。", "？", "！"))
    return paused or len(line) >= longest or (finished and len(line) >= shortest)


# --- timeline --------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A stretch of time in per cent of the recording."""

    left: float
    width: float


@dataclass(frozen=True)
class Track:
    """A curve drawn in CHART units. low, high: the values at its bottom and top."""

    curve: Curve
    path: str
    gaps: tuple[Span, ...]
    low: float
    high: float


def _duration_s(scorecard: Scorecard, exhibit: Exhibit) -> float:
    """Time axis: the recording, or further where a measure says it is longer."""
    curves = (*exhibit.expression, *((exhibit.level,) if exhibit.level else ()))
    ends = [curve.times_s[-1] for curve in curves if curve.times_s]
    ends += [end for _, end in exhibit.speech_segments]
    longest: float = max(scorecard.quality.duration_s, 0.1, *ends)
    return longest


def _span(start_s: float, end_s: float, duration_s: float) -> Span:
    return Span(100 * start_s / duration_s, 100 * (end_s - start_s) / duration_s)


def _tracks(exhibit: Exhibit, duration_s: float) -> list[Track]:
    curves = [exhibit.level] if exhibit.level else []
    curves += [*exhibit.delivery, *exhibit.expression]
    return [_track(curve, duration_s) for curve in curves if curve.times_s]


def _track(curve: Curve, duration_s: float) -> Track:
    low, high = _range(curve)
    width, height = CHART

    def point(time_s: float, value: float) -> str:
        x = width * time_s / duration_s
        shown = min(max(value, low), high)
        return f"{x:.1f},{height * (1 - (shown - low) / (high - low)):.1f}"

    pieces = []
    for known, run in _runs(curve):
        if known:
            points = [point(time_s, value) for time_s, value in run if value is not None]
            points += points[-1:] if len(points) == 1 else []
            pieces.append("M" + "L".join(points))
    return Track(curve, "".join(pieces), tuple(_gaps(curve, duration_s)), low, high)


def _range(curve: Curve) -> tuple[float, float]:
    """Shares are drawn from 0 to 1, scores to 10; degrees around 0; the rest from least to most.

    Levels reach LEVEL_DEPTH_DB down: digital silence would flatten the speech.
    """
    values = [value for value in curve.values if value is not None]
    if curve.unit == "1":
        return 0.0, 1.0
    if curve.unit == OF_TEN:
        return 0.0, 10.0
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if curve.unit.startswith("dB"):
        low = max(low, high - LEVEL_DEPTH_DB)
    if low < 0 < high:
        reach = max(-low, high)
        return -reach, reach
    return (low, high) if high - low > 1e-9 else (low - 1, high + 1)


Run = list[tuple[float, float | None]]


def _runs(curve: Curve) -> Iterator[tuple[bool, Run]]:
    """Stretches in which the value is known, and those in which it is not."""
    pairs = zip(curve.times_s, curve.values, strict=True)
    known: Callable[[tuple[float, float | None]], bool] = lambda pair: pair[1] is not None  # noqa: E731
    for is_known, run in groupby(pairs, key=known):
        yield is_known, list(run)


def _gaps(curve: Curve, duration_s: float) -> Iterator[Span]:
    steps = [after - before for before, after in pairwise(curve.times_s)]
    step_s = sorted(steps)[len(steps) // 2] if steps else 0.0
    for known, run in _runs(curve):
        if not known:
            start, end = max(0.0, run[0][0] - step_s / 2), run[-1][0] + step_s / 2
            yield _span(start, min(end, duration_s), duration_s)


def _frame_time(frame: KeyFrame) -> float:
    return frame.time_s


def _ticks(duration_s: float) -> list[float]:
    """Times to write under the timeline: at most eight, on round seconds."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200)
    step = next((s for s in steps if duration_s <= 8 * s), 3600)
    return [float(t) for t in range(0, int(0.98 * duration_s) + 1, step)]


# --- quality ---------------------------------------------------------------------


@dataclass(frozen=True)
class QualityRow:
    """A measure of the recording; value None: that track is absent or was not looked at."""

    name: Term
    value: str | None
    unit: Term


def _quality_rows(quality: Quality) -> list[QualityRow]:
    rows: list[tuple[Term, float | None, str]] = [
        (Term("时长", "Duration"), quality.duration_s, "s"),
        (Term("说话时间", "Time speaking"), quality.speech_s, "s"),
        (Term("信噪比", "Signal to noise"), quality.snr_db, "dB"),
        (Term("频带宽度", "Bandwidth"), quality.bandwidth_hz, "Hz"),
        (Term("削波比例", "Clipped samples"), quality.clipping_ratio, "1"),
        (Term("恰有一张脸的画面", "Frames with exactly one face"), quality.one_face_share, "1"),
        (Term("查看的画面数", "Frames looked at"), quality.face_frames, ""),
        (Term("画面亮度", "Brightness"), quality.brightness, "1"),
    ]
    shown = [
        QualityRow(name, None if value is None else number(value, unit), term(unit))
        for name, value, unit in rows
    ]
    size = f"{quality.width} × {quality.height}" if quality.width and quality.height else None
    return [*shown, QualityRow(Term("画面尺寸", "Picture size"), size, Term("像素", "pixels"))]
