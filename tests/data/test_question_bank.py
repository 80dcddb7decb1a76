import numpy as np
import pytest

from data import jobs
from data.embedding import embed
from data.question_bank import near_questions, other_question
from data.text import normalised

IN_OTHER_WORDS = {
    "unhappy_customer": "说说您以前是怎样应对一位投诉或不满的客户的。",
    "lost_customer": "有位存了五百万的老客户想把存款都转去别家银行，您会如何应对？",
    "first_meeting": "您头一回上门见一位做电器批发生意的小老板，怎么摸清他的需求？",
    "refuse_loan": "客户的贷款没批下来，由您通知他，您怎么开口？",
    "match_product": "存款、理财和基金在收益、风险、流动性方面有什么差别？您怎么帮客户挑？",
    "quarter_target": "离季末只剩一周，业绩才做了六成，领导还加任务，您怎么应对？",
    "sql_duplicates": "客户表有重复数据，写SQL怎么查出来并且每个客户只留最新一条？",
    "falling_balance": "分行活期余额一个月少了一成，让您查原因，您会如何分析？",
    "campaign_effect": "给部分客户推送了理财信息，怎么判断这次推送有没有用？",
    "sql_slow": "原来两分钟的SQL现在跑四十分钟，怎么排查和调优？",
    "suspected_fraud": "一位紧张的老人要给陌生人汇二十万又不说用途，您怎么处理？",
    "counterfeit_note": "客户存钱时您点出一张假币，他一口咬定是银行给的，怎么办？",
    "cash_difference": "下班轧账少了五百块，您会怎么做？",
    "crowded_counter": "发社保那天大厅几十号人排队、系统慢，有人闹，您怎么应付？",
    "lead_without_title": "讲讲您没当领导却带着大家做成一件事的例子。",
    "learn_quickly": "说一次您短时间内掌握一门新技能的经历。",
    "team_project": "请介绍一次团队项目，您担任什么角色，碰到什么困难，怎么解决的？",
    "split_deposits": "有客户一连八天每天存四万九现金又转走，您怎么看、怎么办？",
    "idempotent_transfer": "网络超时可能让转账接口被调用两次，如何确保只扣一次钱？",
    "slow_query_page": "App 的账单页忽然很卡，您如何排查并修好？",
}


@pytest.fixture(scope="module")
def asked() -> dict[str, jobs.Question]:
    return {k: q for job in jobs.jobs().values() for k, q in job.questions.items()}


def test_no_two_questions_of_the_bank_ask_the_same():
    assert near_questions() == []


def test_questions_said_in_other_words_are_nearest_to_their_own_and_mostly_above_the_limit(asked):
    keys = list(asked)
    bank = embed([normalised(asked[key].text.zh) for key in keys])
    cosines = embed([normalised(text) for text in IN_OTHER_WORDS.values()]) @ bank.T
    nearest = [keys[i] for i in cosines.argmax(axis=1)]
    assert nearest == list(IN_OTHER_WORDS)
    assert (cosines.max(axis=1) >= 0.66).sum() >= 18


def test_a_question_asked_twice_is_found():
    bank = jobs.bank()
    teller = bank.jobs["teller"]
    again = teller.questions["cash_difference"].model_copy(
        update={
            "key": "till_short",
            "text": jobs.Bilingual(
                zh="下班轧账的时候发现现金少了五百元，您会怎么处理？",
                en="At closing your till is short by 500 yuan. What do you do?",
            ),
        }
    )
    job = teller.model_copy(update={"questions": {**teller.questions, "till_short": again}})
    found = near_questions(bank.model_copy(update={"jobs": {**bank.jobs, "teller": job}}))
    assert [{pair.first, pair.second} for pair in found] == [{"cash_difference", "till_short"}]


@pytest.mark.parametrize("language", jobs.LANGUAGES)
def test_every_reference_answers_its_own_question_and_is_told_when_given_to_another(
    asked, language: str
):
    keys = list(asked)
    told = 0
    for i, key in enumerate(keys):
        answer = asked[key].references[language][0]
        assert other_question(answer, key, language) is None
        told += other_question(answer, keys[i - 1], language) == key
    assert told == len(keys)


@pytest.mark.parametrize("language", jobs.LANGUAGES)
def test_no_example_of_the_rubric_is_taken_for_an_answer_to_another_question(language: str):
    for competency in jobs.competencies().values():
        for level in competency.levels:
            for example in level.examples:
                assert other_question(example[language], example.question, language) is None


def test_vectors_of_the_bank_are_kept_and_read_again(tmp_path, monkeypatch, asked):
    from data import question_bank

    monkeypatch.setenv("INTERVIEW_CACHE", str(tmp_path))
    question_bank._index.cache_clear()
    first = question_bank._index(jobs.bank().version, "zh")
    question_bank._index.cache_clear()
    again = question_bank._index(jobs.bank().version, "zh")
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    question_bank._index.cache_clear()
