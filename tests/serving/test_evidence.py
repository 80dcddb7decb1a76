from dataclasses import replace

import numpy as np
import pytest

from data import language
from data.contract import LANGUAGE, Transcript, Word
from data.text import sentences
from serving.evidence import (
    Rubric,
    Sentence,
    answer_text,
    key_point_evidence,
    passage_evidence,
    passages,
    sentences_of,
)

QUESTION = "请讲一次您处理客户不满或投诉的经历：当时是什么情况，您做了什么，结果如何？"
REFERENCE = "我先耐心听客户说完并道歉，然后查清原因，给出解决办法，最后回访客户确认问题已经解决。"
RUBRIC = Rubric(
    question=QUESTION,
    references=(REFERENCE,),
    anchors=(),
    key_points=("耐心倾听并道歉", "核对合同与利率", "事后回访客户确认"),
)
RELEVANT = "我耐心听客户说完，向他道歉，查清原因后给出解决办法，最后回访确认。"
SMALL_TALK = ("那天天气很好。", "我早上吃了面条。", "我的爱好是打篮球。")


def spoken(*words: tuple[str, float, float], language: str = "zh") -> Transcript:
    return Transcript(
        text="".join(text for text, _, _ in words).strip(),
        words=tuple(
            Word(text=text, start_s=start, end_s=end, probability=0.9) for text, start, end in words
        ),
        language=language,
        language_probability=1,
        source="recognised",
    )


def written(text: str, language: str = "zh") -> Transcript:
    return Transcript(text=text, language=language, language_probability=1, source="supplied")


def covered(features: np.ndarray) -> np.ndarray:
    """A head whose answer is known: 100 × the share of the reference that is covered."""
    return 100 * features[:, LANGUAGE.names.index("new_singles_recall")].astype(float)


def test_sentences_are_cut_at_punctuation_with_the_times_of_their_words():
    transcript = spoken(("我先", 0, 0.5), ("道歉。", 0.5, 1), ("然后", 3, 3.5), ("回访。", 3.5, 4))
    assert sentences_of(transcript) == (
        Sentence("我先道歉。", 0, 1),
        Sentence("然后回访。", 3, 4),
    )


def test_sentences_are_cut_at_pauses_where_there_is_no_punctuation():
    transcript = spoken(("我先", 0, 0.5), ("道歉", 0.6, 1), ("然后", 1.6, 2), ("回访", 2.1, 3))
    assert [sentence.text for sentence in sentences_of(transcript)] == ["我先道歉", "然后回访"]


def test_a_pause_within_a_punctuated_sentence_does_not_cut_it():
    transcript = spoken(("我先", 0, 0.5), ("道歉。", 2, 3), ("然后", 3, 3.5), ("回访。", 3.5, 4))
    assert len(sentences_of(transcript)) == 2


def test_a_decimal_point_does_not_end_a_sentence():
    words = (
        (" It", 0, 0.1),
        (" grew", 0.1, 0.2),
        (" 3.", 0.2, 0.3),
        ("5", 0.3, 0.4),
        (" now.", 0.4, 1),
    )
    assert len(sentences_of(spoken(*words, language="en"))) == 1


def test_a_supplied_transcript_has_sentences_without_times():
    found = sentences_of(written("I apologised. Then I called her."))
    assert found == (Sentence("I apologised."), Sentence("Then I called her."))


@pytest.mark.parametrize("texts", [("我先道歉", "然后回访"), ("I apologised", "I called her")])
def test_the_answer_is_cut_again_into_the_same_sentences(texts: tuple[str, ...]):
    text = answer_text([Sentence(part) for part in texts])
    assert [part.rstrip("。.") for part in sentences(text)] == list(texts)


def test_the_sentence_that_says_what_the_reference_says_is_named_first():
    text = SMALL_TALK[0] + RELEVANT + "".join(SMALL_TALK[1:])
    first, *others = passage_evidence(written(text), RUBRIC, covered, most=24)
    assert first.text == RELEVANT
    assert first.effect is not None
    assert first.effect < 0
    assert all(abs(first.effect) > abs(other.effect or 0) for other in others)


def test_leaving_out_the_first_evidence_moves_the_score_by_its_effect_and_more_than_the_rest():
    text = "".join(SMALL_TALK) + RELEVANT
    evidence = passage_evidence(written(text), RUBRIC, covered, most=24)
    whole = covered(language.extract_all([text], QUESTION, [REFERENCE]))[0]
    moves = []
    for item in evidence:
        rest = text.replace(item.text, "")
        score = covered(language.extract_all([rest], QUESTION, [REFERENCE]))[0]
        assert item.effect == pytest.approx(score - whole, abs=0.02)
        moves.append(abs(score - whole))
    assert moves[0] == max(moves)
    assert moves[0] > moves[1]


def test_evidence_carries_the_times_of_the_words():
    transcript = spoken(("天气很好。", 0, 2), ("我耐心听客户说完，查清原因。", 2.5, 6))
    first = passage_evidence(transcript, RUBRIC, covered, most=24)[0]
    assert (first.kind, first.start_s, first.end_s) == ("span", 2.5, 6)


def test_silence_has_no_evidence():
    nobody = Transcript(text="", language="und", language_probability=0, source="recognised")
    assert passage_evidence(nobody, RUBRIC, covered, most=24) == ()


def test_each_sentence_is_a_passage_where_there_are_few():
    few = [Sentence(text) for text in SMALL_TALK]
    assert passages(few, 3) == [(sentence,) for sentence in few]


def test_neighbours_are_joined_into_passages_of_like_length_and_none_is_left_out():
    many = [Sentence("四字的话。") for _ in range(100)]
    found = passages(many, 8)
    assert [sentence for passage in found for sentence in passage] == many
    assert sorted({len(passage) for passage in found}) == [12, 13]


def test_a_sentence_as_long_as_ten_is_a_passage_of_its_own():
    texts = ["一" * 100, *("二" * 10 for _ in range(10))]
    assert [len(passage) for passage in passages([Sentence(t) for t in texts], 2)] == [1, 10]


def test_an_answer_of_an_hour_is_explained_in_as_few_passages_as_asked_for():
    filler = "".join(SMALL_TALK) * 100
    first, *others = passage_evidence(written(filler + RELEVANT + filler), RUBRIC, covered, most=5)
    assert len(others) == 4
    assert RELEVANT in first.text
    assert "".join(sorted(e.text for e in (first, *others))).count(RELEVANT) == 1
    assert sum(len(e.text) for e in (first, *others)) == len(filler + RELEVANT + filler)


def test_a_joined_passage_runs_from_its_first_word_to_its_last():
    words = [(f"第{i}句。", float(i), i + 0.5) for i in range(4)]
    found = passage_evidence(spoken(*words), RUBRIC, covered, most=2)
    assert sorted((e.text, e.start_s, e.end_s) for e in found) == [
        ("第0句。第1句。", 0, 1.5),
        ("第2句。第3句。", 2, 3.5),
    ]


def test_a_joined_english_passage_reads_as_it_was_written():
    text = "I listened. I apologised. I called her. She was glad."
    found = passage_evidence(
        written(text, "en"), replace(RUBRIC, references=("I apologised.",)), covered, most=2
    )
    assert {e.text for e in found} == {"I listened. I apologised.", "I called her. She was glad."}


def test_what_was_said_before_and_asides_come_last_and_are_named():
    text = "各位老师好。" + RELEVANT + "那天天气很好，我们一起去了公园。" + RELEVANT
    found = passage_evidence(written(text), RUBRIC, covered, most=24)
    assert [item.name for item in found] == ["", "", "not_judged", "not_judged"]
    assert {item.text for item in found[2:]} == {"各位老师好。", RELEVANT}
    assert all(item.effect == 0 for item in found[2:] if item.text == "各位老师好。")


def test_key_points_are_found_in_the_words_that_make_them_with_their_times():
    transcript = spoken((SMALL_TALK[0], 0, 2), ("我耐心倾听客户，并且道歉。", 2.5, 6))
    first, second, _ = key_point_evidence(transcript, RUBRIC)
    assert (first.kind, first.name, first.text) == ("key_point", "found", "耐心倾听并道歉")
    assert (first.quote, first.start_s, first.end_s) == ("我耐心倾听客户，并且道歉。", 2.5, 6)
    assert (second.name, second.quote, second.start_s) == ("not_found", "", None)
