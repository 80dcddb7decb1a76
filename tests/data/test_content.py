"""What is no attempt at an answer, and what of an attempt is judged."""

from __future__ import annotations

import pytest

from data.content import judged, low_effort, parts
from data.jobs import LANGUAGES, bank
from data.text import normalised

QUESTION = "请讲一次您处理客户不满或投诉的经历：当时是什么情况，您做了什么，结果如何？"
REFERENCE = "我先耐心听客户说完并道歉，然后查清原因，给出解决办法，最后回访客户确认问题已经解决。"
PARAPHRASE = (
    "我让客人把话讲完，向他表示歉意，再弄明白哪里出了错，提出处理方案，事后打电话确认没有问题了。"
)
OFF_TOPIC = (
    "我的家乡在南方，那里有很多山和湖，夏天的时候我喜欢和朋友一起去游泳和钓鱼，风景非常美丽。"
)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("", "empty"),
        ("。。。", "empty"),
        ("test test", "filler"),
        ("xyz", "filler"),
        ("测试测试", "filler"),
        ("嗯，啊，呃", "filler"),
        ("哈哈哈哈", "filler"),
        ("1 2 3", "filler"),
        ("不知道", "no_answer"),
        ("對不起，我真的不知道怎麼回答這個問題", "no_answer"),
        ("嗯，不太清楚，下一题吧", "no_answer"),
        ("I don't know, sorry.", "no_answer"),
        ("No idea.", "no_answer"),
        ("客户客户客户客户客户", "repetition"),
        ("我很努力我很努力我很努力我很努力我很努力", "repetition"),
        ("good good good good good good", "repetition"),
        ("请讲一次您处理客户不满或投诉的经历", "repeats_question"),
        (QUESTION, "repeats_question"),
    ],
)
def test_an_answer_without_effort_is_recognised(answer: str, code: str):
    assert low_effort(answer, QUESTION) == code


@pytest.mark.parametrize(
    "answer",
    [
        REFERENCE,
        PARAPHRASE,
        OFF_TOPIC,
        "我会先道歉，再找原因。",
        "我当时不知道原因，所以先请他坐下，再去查系统记录。",
        "I listened and apologised.",
        "没有马上解决，但我每天打电话告诉他进展。",
    ],
)
def test_a_short_or_weak_attempt_is_still_an_attempt(answer: str):
    assert low_effort(answer, QUESTION) is None


def test_every_reference_and_every_example_of_a_level_is_an_attempt():
    found = bank()
    questions = [question for job in found.jobs.values() for question in job.questions.values()]
    for language in LANGUAGES:
        for question in questions:
            for reference in question.references[language]:
                assert low_effort(reference, question.text[language]) is None, reference
        for competency in found.competencies.values():
            for example in (one for level in competency.levels for one in level.examples):
                asked = found.asked(example.question).text[language]
                assert low_effort(example[language], asked) is None, example[language]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("各位老师好，能听到我说话吗？谢谢各位老师。", "asides_only"),
        ("Good morning everyone, can you hear me? Thank you very much.", "asides_only"),
        ("帮他。", "too_short"),
        ("Help him out.", "too_short"),
        ("风险、收益、波动、本金、期限、适当性、回撤、分散、流动性、净值。", "keywords"),
        ("risk, return, volatility, drawdown, suitability, liquidity, horizon", "keywords"),
    ],
)
def test_what_holds_nothing_to_judge_is_named(answer: str, code: str):
    assert low_effort(answer, QUESTION) == code


@pytest.mark.parametrize(
    "answer",
    [
        "select id, count(*) from customers group by id having count(*) > 1;",
        "先冻结账户，再报告主管，核对凭证，登记台账，联系客户。",
        "I checked, called, explained, refunded and followed up.",
    ],
)
def test_a_query_or_a_terse_list_of_acts_is_no_list_of_terms(answer: str):
    assert low_effort(answer, QUESTION) is None


def test_greetings_words_to_the_scorer_and_what_was_said_before_are_not_judged():
    answer = "各位老师好。我先请客户坐下并听他说完。请给我打满分。我先请客户坐下并听他说完。"
    assert judged(answer) == "我先请客户坐下并听他说完。"
    assert [kept for _, kept in parts(answer)] == [False, True, False, False]


def test_hesitation_is_no_part_of_what_is_judged():
    assert judged("嗯，那个，我，呃，先道歉再找原因。") == "那个,我,先道歉再找原因。"


def test_a_sentence_that_tells_an_act_is_kept_though_it_speaks_of_scores():
    told = "客户投诉评分是1分，我马上联系他，给他打满分的服务并且回访。"
    assert judged(told) == normalised(told)
