import numpy as np
import pytest

from data import language
from data.contract import LANGUAGE, LANGUAGE_COMPARISONS
from data.text import normalised

QUESTION = "请讲一次您处理客户不满或投诉的经历：当时是什么情况，您做了什么，结果如何？"
REFERENCE = "我先耐心听客户说完并道歉，然后查清原因，给出解决办法，最后回访客户确认问题已经解决。"
PARAPHRASE = (
    "我让客人把话讲完，向他表示歉意，再弄明白哪里出了错，提出处理方案，事后打电话确认没有问题了。"
)
OFF_TOPIC = (
    "我的家乡在南方，那里有很多山和湖，夏天的时候我喜欢和朋友一起去游泳和钓鱼，风景非常美丽。"
)


def feature(row: np.ndarray, name: str) -> float:
    return float(row[LANGUAGE.names.index(name)])


def test_the_reference_itself_is_covered_completely():
    row = language.extract(REFERENCE, QUESTION, [REFERENCE])
    for name in ("singles_f1", "new_pairs_recall", "order_recall", "unit_coverage"):
        assert feature(row, name) == pytest.approx(1)
    assert feature(row, "reference_cosine") == pytest.approx(1, abs=1e-4)
    assert feature(row, "log_length_ratio") == 0


def test_a_paraphrase_is_nearer_to_the_reference_than_an_answer_about_something_else():
    near, far = language.extract_all([PARAPHRASE, OFF_TOPIC], QUESTION, [REFERENCE])
    for name in ("reference_cosine", "coverage", "new_singles_recall", "clause_relevance"):
        assert feature(near, name) > feature(far, name)


def test_what_the_question_already_said_is_not_new():
    row = language.extract("处理客户不满或投诉的经历", QUESTION, [REFERENCE])
    assert feature(row, "question_precision") == 1
    assert feature(row, "new_singles_recall") == 0


def test_half_of_the_pairs_in_common_is_a_precision_of_a_half():
    row = language.extract("甲乙丙", "问题", ["甲乙丁"])
    assert feature(row, "pairs_precision") == 0.5
    assert feature(row, "singles_recall") == pytest.approx(2 / 3)


def test_opposite_verdicts_are_told_apart():
    opposite = language.extract("正确，因为栈后进先出", "判断正误", ["错误，可以边进边出"])
    same = language.extract("错误，因为栈后进先出", "判断正误", ["错误，可以边进边出"])
    assert (feature(opposite, "verdict"), feature(same, "verdict")) == (-1, 1)


def test_of_several_references_the_best_match_counts():
    alone = language.extract(PARAPHRASE, QUESTION, [REFERENCE])
    beside = language.extract(PARAPHRASE, QUESTION, [OFF_TOPIC, REFERENCE])
    for column in LANGUAGE_COMPARISONS:
        if column.name not in language.OF_NEAREST:
            assert feature(beside, column.name) >= feature(alone, column.name) - 1e-5
    assert feature(beside, "log_length_ratio") == feature(alone, "log_length_ratio")


def test_traditional_and_full_width_text_reads_as_simplified():
    traditional = "我先聽客戶說完，然後道歉，最後回訪客戶。"
    simplified = "我先听客户说完，然后道歉，最后回访客户。"
    assert normalised("ＡＢＣ１２３ 資料庫") == "abc123 资料库"
    np.testing.assert_allclose(
        language.extract(traditional, QUESTION, [REFERENCE]),
        language.extract(simplified, QUESTION, [REFERENCE]),
    )


def test_an_answer_scores_the_same_alone_and_among_others():
    alone = language.extract(PARAPHRASE, QUESTION, [REFERENCE])
    among = language.extract_all([OFF_TOPIC, PARAPHRASE, REFERENCE], QUESTION, [REFERENCE])[1]
    np.testing.assert_allclose(alone, among, atol=1e-5)


def test_the_same_story_in_english_is_near_its_chinese_reference():
    english = "I let the customer finish, apologised, found the cause, solved it and called back."
    weather = "The weather was nice and we went swimming in the lake with our dog all summer."
    near, far = language.extract_all([english, weather], QUESTION, [REFERENCE])
    assert feature(near, "reference_cosine") > feature(far, "reference_cosine") + 0.1


def test_measures_count_what_they_name():
    text = "首先，我联系了运营部门。因为系统延迟，客户等了3天。"
    measured = language.measures(language.extract(text, QUESTION, [REFERENCE]))
    assert measured["sentences"] == 2
    assert measured["units"] == len(normalised(text)) - 4
    assert measured["connectives"] == pytest.approx(2)
    assert measured["numbers"] == pytest.approx(1)
    assert measured["own_acts"] == pytest.approx(1)


def test_english_first_person_acts_are_counted():
    text = "I called the customer. Then I explained the delay and I was happy."
    measured = language.measures(language.extract(text, "What did you do?", ["I called her."]))
    assert measured["own_acts"] == pytest.approx(2)


def test_an_empty_answer_has_features_and_no_infinite_ones():
    row = language.extract("", QUESTION, [REFERENCE])
    assert np.isfinite(row).all()
    assert row.shape == (len(LANGUAGE.columns),)


def test_a_question_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="reference"):
        language.extract(PARAPHRASE, QUESTION, ["  "])


def test_the_features_of_a_known_answer_stay_what_they_were():
    """Other values for the same columns? Bump LANGUAGE's version in data/contract.py."""
    row = language.extract(PARAPHRASE, QUESTION, [REFERENCE])
    golden = {
        "singles_f1": 0.2532,
        "new_singles_recall": 0.3,
        "reference_cosine": 0.6527,
        "question_cosine": 0.4394,
        "coverage": 0.4830,
        "clause_relevance": 0.5004,
        "order_recall": 0.2632,
        "unit_coverage": 0.2632,
        "log_length_ratio": 0.0741,
        "answer_embedding_0": 0.0201,
        "question_embedding_511": 0.1119,
    }
    for name, value in golden.items():
        assert feature(row, name) == pytest.approx(value, abs=2e-3), name
