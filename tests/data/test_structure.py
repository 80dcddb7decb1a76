"""What counts as a number, an act, a result: its wording, in both languages."""

from __future__ import annotations

import pytest

from data.structure import FEWEST, NEGATION, RATES, rates, tells
from data.text import units


def counted(name: str, text: str) -> int:
    return len(RATES[name].findall(text))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("numbers", "三个工作日处理了12笔，准确率80%", 3),
        ("numbers", "其实就是一个事情，小心驶得万年船", 0),
        ("numbers", "一百二十个客户", 1),
        ("numbers", "百分之百的努力", 0),
        ("numbers", "we got 11 answers in two weeks", 2),
        ("numbers", "there are two sides and i give a hundred per cent", 0),
        ("own_acts", "我先联系客户，客户联系了别人", 1),
        ("own_acts", "i called her and she called me", 1),
        ("results", "结果投诉减少了", 2),
        ("results", "as a result the queue fell to ten minutes", 2),
        ("checks", "我核对凭证，第二天回访", 2),
        ("generalities", "我认真负责，吃苦耐劳", 2),
        ("situations", "去年实习期间，当时", 3),
    ],
)
def test_a_measure_counts_what_it_names(name: str, text: str, found: int):
    assert counted(name, text) == found


def test_a_rate_is_of_a_hundred_units_at_least():
    assert rates("我联系了客户", 6)["own_acts"] == 1
    long = "我联系了客户。" * 50
    assert rates(long, len(units(long)))["own_acts"] == pytest.approx(50 / 3, rel=0.01)
    assert FEWEST == 100


def test_an_act_or_a_measured_result_tells_something():
    assert tells("我联系了运营部门")
    assert tells("投诉从20件降到了5件")
    assert not tells("沟通非常重要")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("我不会告诉他", 1),
        ("问他是不是本人，能不能等", 0),
        ("但是不能代办", 1),
        ("非常耐心，不仅如此，无论多忙", 0),
        ("没有人，未核对，否则", 2),
        ("i would not and don't", 2),
        ("now I know another", 0),
    ],
)
def test_a_denial_is_counted_and_a_question_with_it_is_none(text: str, found: int):
    assert len([*NEGATION.finditer(text)]) == found
