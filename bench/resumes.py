"""Seconds to screen résumés of two pages, beside reading their text and doing nothing with it."""

from __future__ import annotations

from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pypdfium2

from bench import made_resumes
from bench.measure import console, timed
from data.screening import screen_files

COUNT = 1000
GOAL_S = 180.0
"""On two cores."""


def resumes(count: int) -> dict[str, Any]:
    """Print and return what screening and plain reading take, each in one pass."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.pdf" for number in range(count)]
        pages = 0
        for number, file in enumerate(files):
            file.write_bytes(made_resumes.pdf(made_resumes.text(number)))
        processes = cpu_count() or 1
        screened, seconds = timed(
            lambda: list(screen_files(files, "relationship_manager", processes))
        )
        pages, plain = timed(lambda: sum(map(_read, files)))
    assert all(file.screening for file in screened)
    console.print(
        f"{count} résumés, {pages / count:.1f} pages each: {seconds:.1f} s with {processes} "
        f"processes, {plain:.1f} s to read the text alone with one"
    )
    return {
        "resumes": count,
        "pages": pages / count,
        "processes": processes,
        "seconds": seconds,
        "read_alone_s": plain,
        "goal_s": GOAL_S * count / COUNT,
    }


def _read(file: Path) -> int:
    """Pages of the file, after their text was read."""
    with pypdfium2.PdfDocument(file) as document:
        for page in document:
            page.get_textpage().get_text_range()
        return len(document)
