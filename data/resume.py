"""A résumé file → its text without whoever wrote it, cut into sections and entries.

PDF, DOCX and plain text, Chinese and English. Only text is read: a photo never is. What tells
who somebody is (`data/identity.py`) is replaced before anything looks at the text, so that
nothing behind this module can know it; every span counts characters of that text.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import wrap
from typing import Literal, get_args

import docx
import pypdfium2
import zhconv
from docx.document import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from pydantic import Field

import configs
from data.contract import Record
from data.identity import is_label, without_identity

Section = Literal[
    "education", "experience", "projects", "campus", "skills", "awards", "summary", "other"
]
SECTIONS: tuple[Section, ...] = get_args(Section)

MAX_BYTES = 20 * 1024 * 1024
MAX_PAGES = 20
MAX_CHARACTERS = 60_000
MAX_LINE = 500
"""A longer line is cut: no résumé has one, and rules would take seconds over it."""

FEWEST_CHARACTERS = 40
"""Of text; a file with fewer is a scan or empty."""


class UnreadableResume(Exception):
    """The file cannot be screened (HTTP 422).

    code : `empty_file`, `too_large`, `too_long` (pages or text), `not_a_resume` (neither
        PDF, DOCX nor text), `damaged`, `encrypted`, `no_text` (a scan, or next to nothing written)
    """

    def __init__(self, code: str, message: str) -> None:
        """`message` is for the person who sent it."""
        super().__init__(message)
        self.code = code


class Entry(Record):
    """A stretch of one section: a school, a post, a project. start, end : in `Resume.text`"""

    section: Section
    text: str
    start: int
    end: int
    period: str = ""
    degree: str = ""


class Resume(Record):
    """What is screened.

    text : without identity; spans count its characters
    removed : what was replaced -> how often
    """

    text: str
    entries: tuple[Entry, ...]
    removed: dict[str, int] = Field(default={})

    def of(self, section: Section) -> tuple[Entry, ...]:
        """Its entries of one section, in order."""
        return tuple(entry for entry in self.entries if entry.section == section)

    def section_at(self, place: int) -> Section:
        """The section that holds the character at `place`."""
        held = (entry.section for entry in self.entries if entry.start <= place < entry.end)
        return next(held, "other")


_MARK = r"[\s\d一二三四五六七八九十、.．)）(（■●◆▶▪★☆◇◎|【\[#*·\-–—_:：]*"
_AND = r"\s*(?:[/&|、+]|and\b|与|和|及)?\s*"
"""Between two names of one section, or its name in two languages."""
_YEAR = r"(?:19|20)\d{2}\s*(?:[年./-]\s*(?:1[0-2]|0?[1-9])\s*月?)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?:19|20)\d{2}"
PERIOD = re.compile(
    rf"(?:{_YEAR}|{_MONTH})\s*(?:[-–—~～至到]+|to)\s*(?:{_YEAR}|{_MONTH}|至今|今|现在|present|now|current)",
    re.IGNORECASE,
)


class ResumeConfig(Record):
    """configs/resume.yaml."""

    headings: dict[Section, tuple[str, ...]]
    degrees: tuple[str, ...]

    @cached_property
    def heading(self) -> re.Pattern[str]:
        """A line that is a section's name, or several; the first counts."""
        every = "|".join(name for names in self.headings.values() for name in names)
        end = r"\s*[】\]:：|·\-–—_=\s]*$"
        return re.compile(rf"^{_MARK}{self._named}(?:{_AND}(?:{every}))*{end}", re.IGNORECASE)

    @cached_property
    def inline(self) -> re.Pattern[str]:
        """A section's name with its text behind it."""
        return re.compile(rf"^{_MARK}{self._named}\s*[:：]\s*(?=\S)", re.IGNORECASE)

    @cached_property
    def degree(self) -> re.Pattern[str]:
        """A level of education."""
        return re.compile("|".join(self.degrees), re.IGNORECASE)

    @property
    def _named(self) -> str:
        groups = (f"(?P<{name}>{'|'.join(found)})" for name, found in self.headings.items())
        return f"(?:{'|'.join(groups)})"


@lru_cache(maxsize=1)
def _config() -> ResumeConfig:
    return configs.load("resume", ResumeConfig)


def read_resume(file: Path) -> Resume:
    """The résumé in a file. Raises UnreadableResume, or OSError where there is no such file."""
    return resume_of(file.read_bytes())


def resume_of(content: bytes) -> Resume:
    """The résumé of a file's bytes, told by what they are and not by a name.

    Raises UnreadableResume.
    """
    if not content.strip():
        raise UnreadableResume("empty_file", "The file is empty.")
    if len(content) > MAX_BYTES:
        raise UnreadableResume("too_large", f"The file has more than {MAX_BYTES >> 20} MB.")
    if content.startswith(b"%PDF") or b"%PDF-" in content[:1024]:
        raw = _pdf_text(content)
    elif content.startswith(b"PK\x03\x04"):
        raw = _docx_text(content)
    else:
        raw = _plain_text(content)
    if len(raw) > MAX_CHARACTERS:
        raise UnreadableResume("too_long", f"The text has more than {MAX_CHARACTERS} characters.")
    folded = _folded(raw)
    text, removed = without_identity(folded, header=_header_lines(folded))
    if len(re.sub(r"\s", "", text)) < FEWEST_CHARACTERS:
        raise UnreadableResume(
            "no_text", "The file has no text to read; a scan needs a version with text."
        )
    return Resume(text=text, entries=tuple(_entries(text)), removed=removed)


# --- files --------------------------------------------------------------------


def _pdf_text(content: bytes) -> str:
    try:
        with pypdfium2.PdfDocument(content) as document:
            if len(document) > MAX_PAGES:
                raise UnreadableResume("too_long", f"The file has more than {MAX_PAGES} pages.")
            return "\n".join(_page_text(document[i]) for i in range(len(document)))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableResume("encrypted", "The file asks for a password.") from error
        raise UnreadableResume("damaged", "The PDF cannot be opened.") from error


def _page_text(page: pypdfium2.PdfPage) -> str:
    found = page.get_textpage()
    try:
        return str(found.get_text_range()).replace("\ufffe", "").replace("\x00", "")
    finally:
        found.close()
        page.close()


def _docx_text(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(item.file_size for item in packed.infolist()) > 10 * MAX_BYTES:
                raise UnreadableResume("too_large", "The file unpacks to too much.")
        document = docx.Document(io.BytesIO(content))
    except (zipfile.BadZipFile, PackageNotFoundError, KeyError, ValueError, SyntaxError) as error:
        raise UnreadableResume("not_a_resume", "The file is no PDF, DOCX or text.") from error
    return "\n".join(_paragraphs(document))


def _paragraphs(document: Document) -> Iterator[str]:
    """Paragraphs and table cells in reading order; a cell that spans others comes once."""
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                cells = {id(cell._tc): cell.text for cell in row.cells}
                yield from _cells([text for text in cells.values() if text.strip()])
        else:
            yield block.text


def _cells(row: Sequence[str]) -> Iterator[str]:
    """A line for each cell; a label and what it labels share one."""
    label = ""
    for cell in row:
        if is_label(cell):
            label = f"{cell.strip()}: "
        else:
            yield label + cell
            label = ""


def _plain_text(content: bytes) -> str:
    if b"\x00" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableResume("not_a_resume", "The file is no PDF, DOCX or text.")
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if sum(c.isprintable() or c.isspace() for c in text) >= 0.95 * len(text):
            return text
    raise UnreadableResume("not_a_resume", "The file is no PDF, DOCX or text.")


# --- text ---------------------------------------------------------------------


def _folded(raw: str) -> str:
    """Compatibility forms folded, simplified Chinese, one space or line break between words."""
    plain = str(zhconv.convert(unicodedata.normalize("NFKC", raw), "zh-hans"))
    plain = re.sub(
        r"[\u200b-\u200f\u2060\ufeff]", "", plain.replace("\r\n", "\n").replace("\r", "\n")
    )
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in plain.split("\n"))
    short = (line if len(line) <= MAX_LINE else "\n".join(wrap(line, MAX_LINE)) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(short)).strip()


def _header_lines(text: str) -> int:
    """Lines above the first section."""
    lines = text.split("\n")
    named = (number for number, line in enumerate(lines) if _config().heading.match(line))
    return next(named, len(lines))


def _entries(text: str) -> Iterator[Entry]:
    """Sections cut into entries: a new one begins at a line with a period, or after a gap."""
    config = _config()
    section: Section | None = None
    start: int | None = None
    place = end = 0
    dated = False

    def closed() -> Iterator[Entry]:
        if start is not None and text[start:end].strip():
            yield _entry(text, section, start, end)

    for line in text.split("\n"):
        heading = config.heading.match(line) if len(line) <= 40 else None
        inline = None if heading else config.inline.match(line)
        begins_dated = bool(PERIOD.search(line))
        if heading or inline or not line or (begins_dated and dated):
            yield from closed()
            start, dated = None, False
        if found := heading or inline:
            section = _section_of(found)
        if not heading and line:
            shift = inline.end() if inline else 0
            start = place + shift if start is None else start
            end, dated = place + len(line), dated or begins_dated
        place += len(line) + 1
    yield from closed()


def _section_of(found: re.Match[str]) -> Section:
    return next(name for name in SECTIONS if found.group(name))


def _entry(text: str, named: Section | None, start: int, end: int) -> Entry:
    """named : None above the first heading, where the section is told by what is written"""
    words = text[start:end]
    period, degree = PERIOD.search(words), _config().degree.search(words)
    told: Section = "summary" if not period else "education" if degree else "experience"
    section = named or told
    return Entry(
        section=section,
        text=words,
        start=start,
        end=end,
        period=period.group().strip() if period else "",
        degree=degree.group() if degree and section == "education" else "",
    )
