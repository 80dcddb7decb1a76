"""Screened résumés as one page: a row a file, and the words that were found in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data.jobs import Bilingual
from data.screening import Match, ScreenedFile

PAGES = Path(__file__).parent / "pages"

STATUSES = {"found": "写明 found", "near": "相近 near", "absent": "未见 absent"}
SECTIONS = {
    "education": "教育 education",
    "experience": "工作与实习 experience",
    "projects": "项目 projects",
    "campus": "校园 campus",
    "skills": "技能 skills",
    "awards": "证书与奖项 awards",
    "summary": "概述 summary",
    "other": "其他 other",
}


def render_screening(job: Bilingual, screened: Sequence[ScreenedFile]) -> str:
    """One HTML page that stands alone, in the order given; unreadable files at the end."""
    pages = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters["quoted"] = _quoted
    return pages.get_template("screening.html").render(
        job=job,
        read=[file for file in screened if file.screening],
        unread=[file for file in screened if not file.screening],
        statuses=STATUSES,
        sections=SECTIONS,
    )


def _quoted(match: Match) -> Markup:
    """The line with the found word marked."""
    before, _, after = match.quote.partition(match.word)
    return Markup("{}<mark>{}</mark>{}").format(before, match.word, after)
