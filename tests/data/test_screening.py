"""A job's terms in a résumé: found, near or absent, with the words; who wrote it plays no part."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import configs
from bench import made_resumes
from data.__main__ import app
from data.jobs import UnknownJob, jobs
from data.resume import Resume, resume_of
from data.screening import (
    Match,
    RequirementsConfig,
    Screening,
    ordered,
    rows,
    screen,
    screen_files,
)

CONFIG = configs.load("requirements", RequirementsConfig)


def resume(experience: str = "", skills: str = "", education: str = "某校 金融学 本科") -> Resume:
    """A résumé that says this and, besides, only that somebody is looking for work."""
    return resume_of(
        f"应届毕业，性格稳重，正在寻找一份长期而稳定的工作，可随时到岗并接受出差安排。\n教育背景\n{education}\n"
        f"实习经历\n{experience}\n技能\n{skills}\n".encode()
    )


def status(found: Resume, term: str, job: str) -> Match:
    return next(match for match in screen(found, job).matches if match.term == term)


def test_every_job_of_the_bank_has_its_requirements():
    assert set(CONFIG.jobs) == set(jobs())


@pytest.mark.parametrize(
    ("job", "term", "written"),
    [
        ("relationship_manager", "banking_experience", "在某银行实习三个月"),
        ("relationship_manager", "banking_experience", "Intern, banking division"),
        ("relationship_manager", "banking_experience", "某证券公司营业部助理"),
        ("relationship_manager", "customer_work", "served customers at the counter"),
        ("data_analyst", "python", "用 pandas 清洗数据"),
        ("data_analyst", "python", "Python技能熟练"),
        ("data_analyst", "sql", "会写 HiveQL"),
        ("data_analyst", "data_analysis", "负责数\n据分析与报表"),
        ("software_engineer", "programming", "three projects in C++"),
        ("software_engineer", "programming", "C# 服务"),
    ],
)
def test_a_term_is_found_by_any_of_its_names(job: str, term: str, written: str):
    found = resume(experience=written)
    match = status(found, term, job)
    assert match.status == "found"
    assert found.text[match.start : match.end] == match.word
    assert match.word in match.quote
    assert match.section == "experience"


@pytest.mark.parametrize(
    ("job", "term", "written"),
    [
        ("data_analyst", "sql", "没有学过 SQL"),
        ("data_analyst", "python", "no experience with Python"),
        ("data_analyst", "python", "希望学习 Python"),
        ("software_engineer", "programming", "Javanese dance"),
        ("software_engineer", "programming", "JavaScriptX"),
        ("relationship_manager", "office", "Officer of the guard"),
    ],
)
def test_what_is_denied_wished_for_or_part_of_another_word_is_not_found(
    job: str, term: str, written: str
):
    assert status(resume(skills=written), term, job).status != "found"


@pytest.mark.parametrize(
    "written", ["希望学习写数据库语句", "I have never queried relational data"]
)
def test_what_was_not_done_is_not_near_either(written: str):
    assert status(resume(skills=written), "sql", "data_analyst").status == "absent"


def test_a_denial_denies_only_what_it_is_said_of():
    found = resume(skills="没有学过 Java；熟练使用 Python")
    assert status(found, "programming", "software_engineer").word == "Python"


def test_experience_that_is_only_wanted_is_none():
    wanted = resume_of(
        "求职意向：银行客户经理\n自我评价\n希望从事银行工作，对银行业务有浓厚的兴趣，能够吃苦耐劳，适应出差与加班。".encode()
    )
    match = status(wanted, "banking_experience", "relationship_manager")
    assert match.status != "found"


@pytest.mark.parametrize(
    ("job", "term", "written"),
    [
        ("relationship_manager", "customer_work", "在商场向顾客介绍商品"),
        ("teller", "accuracy", "检查录入的表格，确保没有错误"),
        ("software_engineer", "programming", "编写代码一万余行"),
        ("risk_officer", "risk", "screened borrowers for their ability to pay"),
    ],
)
def test_a_line_that_says_it_in_other_words_is_near_and_not_counted(
    job: str, term: str, written: str
):
    said, silent = resume(experience=written), resume(experience="每天早上负责打扫实验室")
    match = status(said, term, job)
    assert match.status == "near"
    assert match.cosine is not None
    assert match.cosine >= CONFIG.near
    assert said.text[match.start : match.end] == match.quote
    assert status(silent, term, job).status == "absent"
    assert screen(said, job).share == screen(silent, job).share


def test_the_share_counts_a_must_twice_and_nothing_but_what_was_found():
    found = screen(resume(experience="某银行 柜员，核对凭证"), "teller")
    assert (found.must_found, found.must_asked) == (2, 2)
    nice = [match.term for match in found.matches if match.need == "nice"]
    hits = [match.term for match in found.matches if match.need == "nice" and match.word]
    assert "banking_experience" in hits
    assert found.share == pytest.approx((4 + len(hits)) / (4 + len(nice)), abs=1e-4)


WHO = [
    ("张伟", "男", "22岁", "上海市浦东新区张江路100弄5号", "南京大学(985)"),
    ("欧阳雨桐", "女", "45岁", "甘肃省定西市临洮县北街20号", "定西职业技术学院"),
    ("Maria Silva", "女", "31岁", "12 Long Lane", "University of Leeds (QS Top 90)"),
]


@pytest.mark.parametrize("job", sorted(CONFIG.jobs))
def test_who_somebody_is_changes_nothing(job: str):
    def written(name: str, gender: str, age: str, address: str, school: str) -> str:
        return (
            made_resumes.text(7)
            .replace("\n\n教育", f"\n住址：{address}\n\n教育", 1)
            .replace(
                made_resumes.text(7).split("\n")[0], f"姓名：{name} 性别：{gender} 年龄：{age}"
            )
            + f"\n自我评价\n本人{name}，{gender}，毕业于{school}，能吃苦\n"
        )

    found = [screen(resume_of(written(*who).encode()), job) for who in WHO]
    assert any(match.status == "found" for match in found[0].matches)
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_an_unknown_job_is_refused_by_name():
    with pytest.raises(UnknownJob, match="teller"):
        screen(resume(), "astronaut")
    with pytest.raises(UnknownJob):
        list(screen_files([], "astronaut"))


def test_files_are_screened_in_several_processes_as_in_one(tmp_path: Path):
    for number in range(3):
        (tmp_path / f"{number}.pdf").write_bytes(made_resumes.pdf(made_resumes.text(number)))
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7 broken")
    files = [*sorted(tmp_path.iterdir()), tmp_path / "gone.pdf"]
    alone = list(screen_files(files, "data_analyst"))
    assert list(screen_files(files, "data_analyst", 2)) == alone
    assert [file.code for file in alone] == ["", "", "", "damaged", "not_read"]
    assert all(isinstance(file.screening, Screening) for file in alone[:3])


def test_the_table_has_most_musts_first_and_unread_files_last(tmp_path: Path):
    for name, text in (("a", "打扫实验室与图书馆"), ("b", "数据分析，SQL，Python，Tableau")):
        (tmp_path / f"{name}.txt").write_text(
            f"教育背景\n某校 统计学 本科\n实习经历\n2021.07 - 2021.08 某公司，{text}，"
            "受到主管多次表扬并留用\n"
        )
    (tmp_path / "c.txt").write_text("")
    table = rows(ordered(screen_files(sorted(tmp_path.iterdir()), "data_analyst")))
    assert [Path(name).name for name in table["file"]] == ["b.txt", "a.txt", "c.txt"]
    assert table["sql"].tolist()[:2] == ["found", "absent"]
    assert table["code"].tolist() == ["", "", "empty_file"]


def test_the_command_writes_a_page_a_table_and_every_match(tmp_path: Path):
    from typer.testing import CliRunner

    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.docx").write_bytes(made_resumes.word(made_resumes.text(1)))
    (folder / "b.txt").write_text("")
    (folder / ".hidden").write_text("")
    done = CliRunner().invoke(
        app, ["screen", str(folder), "--job", "teller", "--out", str(out), "--processes", "1"]
    )
    assert done.exit_code == 0, done.output
    page = (out / "screening.html").read_text(encoding="utf-8")
    assert "柜员" in page
    assert "<mark>核对</mark>" in page or "<mark>复核</mark>" in page
    assert "empty_file" in page
    with (out / "screening.csv").open(encoding="utf-8-sig") as file:
        assert [row["code"] for row in csv.DictReader(file)] == ["", "empty_file"]
    lines = [json.loads(line) for line in (out / "screening.jsonl").read_text().splitlines()]
    assert {match["term"] for match in lines[0]["screening"]["matches"]} >= {"degree", "accuracy"}
    assert ".hidden" not in json.dumps(lines)
    (folder / "a.docx").unlink()
    again = CliRunner().invoke(app, ["screen", str(folder), "--job", "teller", "--out", str(out)])
    assert again.exit_code == 1
