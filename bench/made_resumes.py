"""Made résumés of two pages as PDF, DOCX or text: what they say is drawn from lists."""

from __future__ import annotations

import io
import random

import docx
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

FONT = "STSong-Light"
MARGIN, LINE, SIZE = 50, 16, 11

_NAMES = ("张伟", "李娜", "王思远", "Wei Zhang", "Emma Li", "Chen Hao")
_SCHOOLS = (
    "南京大学",
    "西北职业技术学院",
    "上海财经大学",
    "Fudan University",
    "University of Leeds",
)
_MAJORS = (
    "金融学 本科",
    "计算机科学与技术 硕士",
    "BSc Economics",
    "Master of Finance",
    "法学 本科",
)
_PLACES = (
    "中国工商银行上海分行 客户经理助理",
    "某互联网公司 数据分析实习生",
    "Shopee, data analyst intern",
)
_DEEDS = (
    "每天接待客户 {n} 余位，介绍理财产品，处理投诉 {n} 起，客户满意度提升 {n}%",
    "用 MySQL 写查询，清洗 {n} 万行交易数据，找出客户流失的三个原因并向主管汇报",
    "逐笔复核 {n} 份贷款资料，发现 {n} 处不一致，全部在当天更正",
    "带领 {n} 人的志愿者队伍，安排排班和物资，连续两年被评为优秀团队",
    "独立完成社会调查，回收问卷 {n} 份，用回归分析写成报告",
    "Answered {n} calls a day from users who had problems and solved most of them at once",
    "Built dashboards in Tableau that {n} managers read every Monday",
    "Reviewed {n} borrowers for their ability to pay and reported what looked wrong",
    "Trained a random forest on {n} thousand records, AUC 0.{n}",
    "Organised the spring fair with {n} stands and kept its budget",
)
_SKILLS = (
    "英语六级 5{n}",
    "Excel、PPT",
    "Python, pandas",
    "SQL",
    "普通话二级甲等",
    "Java, Spring Boot",
)


def text(number: int) -> str:
    """About 85 lines: two pages. The same number gives the same résumé."""
    draw = random.Random(number)

    def said(pattern: str) -> str:
        return pattern.format(n=draw.randint(11, 99))

    lines = [
        f"姓名：{draw.choice(_NAMES)}  性别：{draw.choice('男女')}  年龄：{draw.randint(20, 30)}岁",
        f"电话：138{draw.randint(10**7, 10**8 - 1)}    邮箱：a{number}@example.com",
        "",
        "教育背景",
    ]
    for year in (2019, 2023):
        lines += [f"{year}.09 - {year + 3}.06  {draw.choice(_SCHOOLS)}  {draw.choice(_MAJORS)}"]
    for heading, posts in (("实习经历", 5), ("项目经历", 4), ("校园经历", 3)):
        lines += ["", heading]
        for post in range(posts):
            lines.append(f"{2018 + post}.07 - {2018 + post}.09  {draw.choice(_PLACES)}")
            lines += [f"● {said(deed)}" for deed in draw.sample(_DEEDS, 4)]
    return "\n".join([*lines, "", "技能证书", *(f"● {said(skill)}" for skill in _SKILLS)])


def pdf(written: str) -> bytes:
    """The lines on A4 pages, in a Chinese font that readers bring along."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    packed = io.BytesIO()
    canvas = Canvas(packed, pagesize=A4)
    top = A4[1] - MARGIN
    place = top
    for line in written.split("\n"):
        canvas.setFont(FONT, SIZE)
        canvas.drawString(MARGIN, place, line)
        place -= LINE
        if place < MARGIN:
            canvas.showPage()
            place = top
    canvas.save()
    return packed.getvalue()


def word(written: str) -> bytes:
    """The first two lines as a table of two cells, the others as paragraphs."""
    document = docx.Document()
    first, second, *others = written.split("\n")
    cells = document.add_table(rows=1, cols=2).rows[0].cells
    cells[0].text, cells[1].text = first, second
    for line in others:
        document.add_paragraph(line)
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()
