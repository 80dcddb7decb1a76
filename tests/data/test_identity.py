"""Who somebody is does not reach the matching: replaced by the same marks for everyone."""

from __future__ import annotations

import pytest

from bench import made_resumes
from data.identity import without_identity
from data.resume import resume_of


@pytest.mark.parametrize(
    ("written", "kind", "gone"),
    [
        ("姓 名:欧阳明日 求职意向:柜员", "name", "欧阳明日"),
        ("Name: Maria Garcia-Lopez", "name", "Garcia"),
        ("张伟\n本科在读\n本人张伟,做过柜员", "name", "张伟"),
        ("John O'Neil Smith\nteller at a bank", "name", "Neil"),
        ("李雷 Lei LI\n求职意向:柜员", "name", "Lei"),
        ("姓名 古丽娜·阿不都 性别 女", "name", "古丽娜"),
        ("WEI ZHANG\nanalyst\nWei led a group of eight", "name", "Wei"),
        ("性 别:女 学历:本科", "gender", "女"),
        ("性别 男 电话:13812345678", "gender", "男"),
        ("她带领女子篮球队获奖", "gender", "女子"),
        ("He was praised by his manager", "gender", "his"),
        ("出生年月:2001年3月", "age", "2001"),
        ("2001年3月生,共事愉快", "age", "2001"),
        ("23 岁,应届生", "age", "23"),
        ("Date of Birth: 12 March 2001", "age", "2001"),
        ("民族:回族 籍贯:宁夏", "origin", "宁夏"),
        ("政治面貌:中共党员", "belief", "党员"),
        ("婚姻状况:未婚", "family", "未婚"),
        ("身高:165cm 体重:50kg", "body", "165"),
        ("现居住地:上海市浦东新区张江路100弄5号", "address", "浦东"),
        ("家住江苏省南京市鼓楼区汉口路22号", "address", "鼓楼"),
        ("221B Baker Street, London", "address", "Baker"),
        ("13812345678", "contact", "138"),
        ("+44 20 7946 0958", "contact", "7946"),
        ("a.b@example.com", "contact", "example"),
        ("linkedin.com/in/someone", "contact", "someone"),
        ("身份证号:110101200001011234", "identity_number", "1101"),
        ("南京大学 金融学", "school", "南京"),
        ("毕业于北大,做过柜员", "school", "北大"),
        ("London School of Economics and Political Science", "school", "Economics"),
        ("University of Leeds, BSc", "school", "Leeds"),
        ("就读于985/211大学", "rank", "985"),
        ("双一流高校 本科", "rank", "双一流"),
        ("QS Top 50", "rank", "50"),
        ("二本院校", "rank", "二本"),
    ],
)
def test_what_tells_who_somebody_is_is_replaced(written: str, kind: str, gone: str):
    text, removed = without_identity(written)
    assert gone not in text
    assert removed[kind] >= 1
    assert (f"〔{kind}〕" in text) == (kind != "rank"), "that there is a rank tells of the school"


@pytest.mark.parametrize(
    "written",
    [
        "为大学生讲解反诈知识,其他同事负责子女教育金",
        "大学英语六级,走进大学校园招聘 30 场",
        "销售额增长 211%,处理 985 笔业务,2021年6月 - 2021年8月",
        "编写一本操作手册,第二本教材",
        "高等数学、经济学、统计学",
        "解决客户投诉,电话 回访客户 300 位",
        "manage the address book and phone queue of a bank branch",
        "毕业院校\n专业 会计学\n金融学 本科",
        "Machine Learning\nData Science\nBusiness Software",
        "Python, SQL, May 2022 - July 2022, single sign-on, human resources",
        "年龄分布分析:按性别与年龄分组的客户画像",
    ],
)
def test_what_tells_nothing_of_the_person_stays(written: str):
    text, _ = without_identity(written)
    assert text == written


PEOPLE = {
    "man": (
        "张伟",
        "男",
        "22",
        "汉族",
        "上海市浦东新区张江路100弄5号",
        "南京大学(985/211/双一流)",
        "中共党员",
    ),
    "woman": (
        "欧阳雨桐",
        "女",
        "31",
        "维吾尔族",
        "甘肃省定西市临洮县北街20号",
        "定西职业技术学院",
        "群众",
    ),
    "foreign": (
        "Maria Silva",
        "女",
        "45",
        "其他",
        "12 Long Lane",
        "University of Porto",
        "无党派人士",
    ),
}


def resume(person: str) -> str:
    name, gender, age, origin, address, school, belief = PEOPLE[person]
    return (
        f"姓名:{name}  性别:{gender}  年龄:{age}岁  民族:{origin}\n现住址:{address}\n"
        f"政治面貌:{belief}\n电话:1381234{age}78\n\n教育背景\n"
        f"2019.09 - 2023.06 {school} 金融学 本科\n\n"
        f"工作经历\n2023.07 - 2024.07 某银行支行 柜员\n● {name}每天接待客户 30 位,零差错\n"
        f"● 带领{gender}生志愿队十人\n"
    )


@pytest.mark.parametrize("other", ["woman", "foreign"])
def test_two_people_who_did_the_same_have_the_same_text(other: str):
    assert resume_of(resume(other).encode()).text == resume_of(resume("man").encode()).text


def test_a_form_whose_labels_are_cells_of_their_own_is_read_the_same():
    import io

    import docx

    def form(name: str, gender: str, nation: str) -> bytes:
        document = docx.Document()
        table = document.add_table(rows=2, cols=4)
        cells = ("姓 名", name, "性 别", gender, "民族", nation, "联系电话", "021-5555 1234")
        for number, cell in enumerate(cells):
            table.rows[number // 4].cells[number % 4].text = cell
        document.add_paragraph(
            f"工作经历\n2021.07 - 2021.08 某银行 柜员\n{name}每天核对三百笔业务没有差错受到表扬"
        )
        packed = io.BytesIO()
        document.save(packed)
        return packed.getvalue()

    read = resume_of(form("张伟", "男", "汉"))
    assert read.text == resume_of(form("阿依古丽", "女", "维吾尔")).text
    assert set(read.removed) == {"name", "gender", "origin", "contact"}


def test_a_made_pdf_keeps_nobodys_name():
    read = resume_of(made_resumes.pdf(made_resumes.text(3)))
    for told in ("张伟", "Wei", "思远", "Emma", "138", "@", "Leeds", "南京大学", "Fudan"):
        assert told not in read.text
