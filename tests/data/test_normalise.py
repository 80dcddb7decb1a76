"""What is said alike is counted alike; what is not, is an error."""

from __future__ import annotations

import pytest

from data.contract import Word
from data.normalise import errors, pieces, spoken, units


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("328万1138.48", "三百二十八万一千一百三十八点四八"),
        ("305,334", "三十万五千三百三十四"),
        ("9月1日", "九月一日"),
        ("60岁左右", "六十岁左右"),
        ("2026年", "二零二六年"),
        ("二〇二六年", "二零二六年"),
        ("2026-11-23", "二零二六年十一月二十三日"),
        ("10:30", "十点三十分"),
        ("3-5天", "三到五天"),
        ("增长了12.5%", "增长了百分之十二点五"),
        ("１３８１２３４５６７８", "一三八一二三四五六七八"),
        ("020", "零二零"),
        ("我有2个问题", "我有二个问题"),
        ("我有两个问题", "我有二个问题"),
        ("1,200.5元", "一千二百点五元"),
        ("用ＳＱＬ查詢", "用sql查询"),
        ("萬一出錯，一些人十分著急", "万一出错,一些人十分着急"),
    ],
)
def test_chinese_is_written_as_it_is_read_aloud(written: str, read: str):
    assert spoken(written) == read


def test_reading_aloud_twice_changes_nothing_more():
    once = spoken("2026年11月，增长12.5%，共328万元，电话13812345678。")
    assert spoken(once) == once


def test_chinese_counts_characters_and_a_latin_word_as_one():
    assert units("用SQL查 Excel，好！", "zh") == ["用", "sql", "查", "excel", "好"]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("zero three five one", "0351"),
        ("i am twenty three years old", "I'm 23 years old."),
        ("twelve point five percent", "12.5%"),
        ("the colour of mister brown", "The color of Mr. Brown!"),
    ],
)
def test_english_is_compared_in_one_spelling(reference: str, found: str):
    assert errors(reference, found, "en").edits <= int("0351" in found)  # leading zero is dropped
    assert errors(reference, reference, "en").edits == 0


def test_each_kind_of_edit_is_counted():
    found = errors("我先听客户说完", "我先停客户把说", "zh")
    assert (found.substituted, found.deleted, found.inserted, found.units) == (1, 1, 1, 7)
    assert found.rate == pytest.approx(3 / 7)


def test_nothing_heard_is_wholly_wrong_and_so_is_something_heard_in_nothing():
    assert errors("你好", "", "zh").rate == 1
    assert errors("", "你好", "zh").rate == 1
    assert errors("", "", "zh").rate == 0


def said(*texts: str) -> list[Word]:
    return [
        Word(text=text, start_s=i, end_s=i + 1, probability=0.9) for i, text in enumerate(texts)
    ]


def test_a_wrong_word_is_the_one_that_was_not_said():
    found = pieces("高价低廉的别墅", said("高", "价", "低", "量", "的", "别墅。"), "zh")
    assert [piece.wrong for piece in found] == [0, 0, 0, 1, 0, 0]
    assert [piece.units for piece in found] == [1, 1, 1, 1, 1, 2]


def test_words_that_make_up_one_number_are_compared_as_one():
    found = pieces("三百二十八万一千", said("3", "28", "万", "1", "000", "元"), "zh")
    assert [len(piece.words) for piece in found] == [5, 1]
    assert [piece.wrong for piece in found] == [0, 1]
