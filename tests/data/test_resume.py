"""Résumé files → text, sections and entries; and those that cannot be read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pypdfium2
import pytest

from bench import made_resumes
from data.resume import MAX_BYTES, UnreadableResume, read_resume, resume_of

CHINESE = """张伟的个人简历
姓 名：张伟    性 别：男    出生年月：2001年3月
求职意向：客户经理

一、教育背景
2019.09 - 2023.06  南京大学  金融学  本科
2023年9月 至今  复旦大学管理学院  金融硕士  GPA 3.8/4.0
主修课程：货币银行学、公司理财

实习经历 Experience
2022.07 - 2022.09 中国工商银行上海分行 客户经理助理
● 每天接待客户 30 余位
2021.07 - 2021.08 某互联网公司 数据分析实习生
● 用 MySQL 写查询

【技能证书】
● 英语六级；基金从业资格
"""

ENGLISH = """WEI ZHANG
+86 138 1234 5678 | wei@example.com

EDUCATION
Fudan University, Shanghai            Sep 2023 - Present
Master of Finance, GPA 3.8/4.0

WORK EXPERIENCE
Industrial and Commercial Bank of China, branch intern   Jul 2022 - Sep 2022
- Served 30 customers a day
Shopee, data analyst intern   Jul 2021 – Aug 2021
- Wrote queries in PostgreSQL

Skills: Python, SQL
"""


def test_a_chinese_resume_is_cut_into_its_sections_and_entries():
    resume = resume_of(CHINESE.encode())
    schools = resume.of("education")
    assert [(entry.period, entry.degree) for entry in schools] == [
        ("2019.09 - 2023.06", "本科"),
        ("2023年9月 至今", "硕士"),
        ("", ""),
    ]
    assert schools[2].text == "货币银行学、公司理财"
    posts = resume.of("experience")
    assert [entry.period for entry in posts] == ["2022.07 - 2022.09", "2021.07 - 2021.08"]
    assert posts[0].text.endswith("每天接待客户 30 余位")
    assert [entry.text for entry in resume.of("skills")] == ["● 英语六级;基金从业资格"]


def test_an_english_resume_is_cut_into_its_sections_and_entries():
    resume = resume_of(ENGLISH.encode())
    assert [(entry.period, entry.degree) for entry in resume.of("education")] == [
        ("Sep 2023 - Present", "Master")
    ]
    periods = [entry.period for entry in resume.of("experience")]
    assert periods == ["Jul 2022 - Sep 2022", "Jul 2021 – Aug 2021"]
    assert [entry.text for entry in resume.of("skills")] == ["Python, SQL"]


@pytest.mark.parametrize("written", [CHINESE, ENGLISH], ids=["zh", "en"])
def test_every_span_is_where_its_words_are(written: str):
    resume = resume_of(written.encode())
    assert resume.entries
    for entry in resume.entries:
        assert resume.text[entry.start : entry.end] == entry.text
        assert resume.section_at(entry.start) == entry.section


@pytest.mark.parametrize("written", [CHINESE, ENGLISH], ids=["zh", "en"])
@pytest.mark.parametrize("as_file", [made_resumes.pdf, made_resumes.word])
def test_a_pdf_and_a_word_file_say_what_the_text_says(written: str, as_file):
    plain, read = resume_of(written.encode()), resume_of(as_file(written))
    assert read.text.split() == plain.text.split()
    told = [(entry.section, entry.period, entry.degree) for entry in plain.entries]
    assert [(entry.section, entry.period, entry.degree) for entry in read.entries] == told


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_text_of_every_usual_encoding_is_read(encoding: str):
    assert resume_of(CHINESE.encode(encoding)).text == resume_of(CHINESE.encode()).text


def test_traditional_characters_are_read_as_simplified():
    assert resume_of(
        "工作經歷\n2021.07 - 2021.08 某銀行 櫃員，每天核對現金與憑證，沒有出過差錯，受到主管表揚，"
        "並獲得優秀實習生".encode()
    ).of("experience")


def encrypted() -> bytes:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas("x.pdf", encrypt=StandardEncryption("secret"))
    canvas.drawString(50, 700, "hidden")
    return canvas.getpdfdata()


def of_pages(count: int) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas("x.pdf")
    for page in range(count):
        canvas.drawString(50, 700, f"page {page} of a very long life with much to tell of")
        canvas.showPage()
    return canvas.getpdfdata()


def zipped() -> bytes:
    import io

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", "no document")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda: b"  \n ", "empty_file"),
        (lambda: b"a" * (MAX_BYTES + 1), "too_large"),
        (lambda: of_pages(21), "too_long"),
        (lambda: b"word " * 20_000, "too_long"),
        (lambda: made_resumes.pdf(" "), "no_text"),
        (lambda: b"\x89PNG\r\n\x1a\n\x00\x00\x00\x00" * 20, "not_a_resume"),
        (zipped, "not_a_resume"),
        (lambda: made_resumes.word(ENGLISH)[:400], "not_a_resume"),
        (lambda: b"%PDF-1.7\nbroken" * 10, "damaged"),
        (encrypted, "encrypted"),
        (lambda: "张伟，男".encode(), "no_text"),
    ],
)
def test_what_cannot_be_read_says_why(content, code: str):
    with pytest.raises(UnreadableResume) as refused:
        resume_of(content())
    assert refused.value.code == code
    assert str(refused.value)


def test_a_made_resume_has_two_pages(tmp_path: Path):
    file = tmp_path / "a.pdf"
    file.write_bytes(made_resumes.pdf(made_resumes.text(1)))
    with pypdfium2.PdfDocument(file) as document:
        assert len(document) == 2
    resume = read_resume(file)
    assert len(resume.of("experience")) == 5
    assert len(resume.of("projects")) == 4


@pytest.mark.parametrize("run", ["大", "1", "a.", "Abc ", "上海市", "〔"])
def test_a_text_without_line_breaks_takes_no_longer_than_another(run: str):
    """Rules that look back over a whole line would take minutes."""
    resume = resume_of((run * (50_000 // len(run))).encode())
    assert max(map(len, resume.text.split("\n"))) <= 500


def test_headings_in_two_languages_or_of_two_sections_are_headings():
    resume = resume_of(
        "李雷 Lei LI\nEDUCATION 教育背景\nFudan University 2020 - 2024 BCom\nINTERNSHIP 实习经历\n"
        "CITIC Securities 2023.07 - 2023.09\nSKILLS & CERTIFICATES\nPython, CFA Level I".encode()
    )
    assert [entry.section for entry in resume.entries] == [
        "summary",
        "education",
        "experience",
        "skills",
    ]
    assert resume.of("education")[0].degree == "BCom"


def test_without_headings_a_dated_line_is_education_or_experience():
    resume = resume_of(
        b"John O'Neil Smith\nBachelor of Commerce, McGill University 2018-2022\n"
        b"Teller, Bank of Montreal, 2022 - 2023\nBalanced the till with zero errors"
    )
    assert [(entry.section, entry.degree) for entry in resume.entries] == [
        ("education", "Bachelor"),
        ("experience", ""),
    ]
