"""What of an answer is judged, and whether there is anything to judge.

Asides (greetings, thanks, whether the line works, words to whoever scores) and sentences
said before are no part of what is judged. Every rule looks at wording, none at who speaks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from data.structure import tells
from data.text import is_chinese, joined, ngrams, normalised, sentences, units

FEWEST_UNITS = {"zh": 8, "en": 4}
"""Units below which nothing is judged: a word or two names a thing and does nothing with it."""

_FILLERS = {
    *("test", "tests", "testing", "xyz", "xxx", "abc", "asdf", "qwerty", "hello", "hi", "hey"),
    *("ok", "okay", "um", "uh", "er", "hmm", "yeah", "well", "like", "one", "two", "three"),
    *("测", "试", "嗯", "啊", "呃", "哦", "喂", "哈", "呵", "吧", "呢", "你", "好", "a", "b", "c"),
}
_NUMERALS = set("零一二三四五六七八九十百千万")
_REFUSAL = re.compile(
    r"不知道|不(?:太)?清楚|不(?:太)?了解|不(?:太)?懂|不会(?:答|回答)|没(?:有)?(?:想过|想好|做过"
    r"|遇到过|准备|思路)"
    r"|没什么(?:好|可)?说的|[想说答]不(?:出来|上来|出|到|了)|下一[题个]|换一?[个道]|跳过|略过"
    r"|无可奉告|弃权"
    r"|^(?:没有了?|不会|无)[。.!！]?$"
    r"|(?:do not|don'?t) (?:really )?(?:know|have (?:an|any) (?:answer|idea|experience))"
    r"|no (?:idea|comment|answer|clue)|not sure|next (?:question|one)|skip|(?:can'?t"
    r"|cannot) (?:think of"
    r"|answer)|haven'?t (?:prepared|thought)|^(?:nothing|none|pass|next|n/?a)[.!]?$"
)
_POLITE = re.compile(
    r"真的|这个|这道|这方面|那个|问题|题目?|怎么|回答|抱歉|对不起|不好意思|老师|面试官|各位"
    r"|谢谢|请问|请|能不能|可以"
    r"|可能|确实|目前|暂时|之前|平时|经验|实在|关于|给我|比较|紧张|下次|如果|有机会|再|吗|我|您"
    r"|也|还|都|太|吧|呢|啊"
    r"|嗯|呃|了|的|是|有|就|没|什么|一下|一个|对|方面|内容|相关|具体"
    r"|\b(?:sorry|i'm|im|am|i|really|just|please|the|this|that|it|to|about|any|one|um|uh|well"
    r"|answer"
    r"|question|can|could|we|have|afraid|honest(?:ly)?|be|for|of|an?|my|me|is|in|on|and|thank"
    r"|you|do"
    r"|never|had|such|an|experience|with|area|no|not|right|now|maybe|think|anything|something)\b"
)
_FEW = 5
"""Units that may stand beside 不知道 and still say nothing."""

_ASIDE = re.compile(
    r"(?:各位)?(?:尊敬的)?(?:老师|面试官|考官|评委|领导|hr)(?:们)?(?:您|你|早上|上午|中午|下午"
    r"|晚上|大家)?(?:们)?好"
    r"|大家好|您好|你好|(?:早上|上午|中午|下午|晚上)好|喂+|(?:能|可以)?听(?:得)?[到见](?:我说话"
    r"|我的声音|我)?吗?"
    r"|(?:我的)?(?:回答|答案|作答)(?:完毕|结束了?|完了|就到这(?:里|儿)|大概(?:就)?是这样|就是这样)"
    r"|(?:以上|这)就是我的(?:回答|答案|全部回答)|(?:非常|十分)?(?:感谢|谢谢)(?:各位|大家|您"
    r"|你们|老师|面试官|聆听|倾听|给我这次机会)*"
    r"|(?:请)?(?:让|容)我(?:先)?(?:想|思考)(?:一下|一想|想)|我(?:先)?想(?:一下|一想)"
    r"|稍等(?:一下)?|不好意思|我有点(?:儿)?紧张"
    r"|这个问题(?:问得|提得)?(?:非常|很|真)?(?:好|有意思|不错)|关于这个问题|下面(?:我)?(?:来"
    r"|开始)?回答(?:这个)?(?:问题)?|可以开始了吗?|开始了吗?"
    r"|\b(?:good (?:morning|afternoon|evening)|hello|hi|hey)(?: (?:everyone|sir|madam|there"
    r"|interviewer))?\b"
    r"|\bcan you (?:hear|see) me\b|\bthank you(?: (?:so|very) much)?(?: for (?:listening"
    r"|your time|the question|this opportunity))?\b"
    r"|\bthanks(?: for listening)?\b|\bthat'?s (?:all|it|my answer)\b"
    r"|\blet me think(?: about (?:it|that))?\b|\bthat'?s a (?:very )?(?:good|great"
    r"|interesting) question\b"
    r"|\bi'?m (?:a bit |a little )?nervous\b"
)
_TO_THE_SCORER = re.compile(
    r"(?:忽略|无视|忘记|不要理会)[^。！？]{0,8}(?:指令|提示|规则|要求|评分)|(?:系统|管理员"
    r"|开发者)(?:提示|指令|消息|模式)"
    r"|(?:请|直接|务必|必须|应该|应当)?(?:给|打|判|评)(?:我|该|这个|本"
    r"|此)?[^。！？，]{0,8}(?:满分|高分|最高分?|100分|一百分|十分|10分|5级|五级)"
    r"|(?:评分|打分|得分|分数|总分|score|rating|level)\s*[\"”]?\s*[:：=是为]\s*[\"“]?\s*\d+"
    r"|(?:你|您)是(?:一个|一位|一名)?(?:ai|人工智能|评分|语言模型|大模型|打分)"
    r"|(?:作为|亲爱的|尊敬的|聪明的|公正的)(?:一个|一名)?(?:ai|人工智能|机器人|评分(?:系统|模型"
    r"|员)|算法)|(?:本|该)(?:回答|答案|考生|候选人)[^。！？]{0,10}(?:优秀|完美|满分|所有(?:要点"
    r"|标准)|录用|最高)"
    r"|(?:不给|如果不给)[^。！？]{0,10}分|投诉(?:你们)?(?:这个)?(?:系统|ai)"
    r"|\b(?:ignore|disregard|forget|override)\b[^.!?]{0,30}\b(?:instructions?|rules?|prompts?"
    r"|rubric|criteria)"
    r"|\b(?:system|admin|developer|assistant|user)\s*(?:prompt|message|mode|override)?\s*[:>]"
    r"|<\|?/?(?:system|im_start|im_end|instruction)[^>]*>"
    r"|\b(?:give|award|assign|return|output|rate|score|grade"
    r"|mark)\b[^.!?]{0,30}\b(?:full marks?|perfect|maximum|highest|top score|100|10/10|5/5"
    r"|level (?:5|five))"
    r"|\byou are (?:now )?(?:an? )?(?:ai|language model|scoring|grader|helpful|evaluator"
    r"|lenient)|\bas an? (?:ai|language model|scorer)|\bdear (?:ai|model|algorithm|scorer)"
    r"|\b(?:this|the) (?:answer|candidate|response)\b[^.!?]{0,30}\b(?:perfect|excellent"
    r"|meets all|exceptional|outstanding|deserves|must be)"
)
_HESITATION = re.compile(
    r"(?:嗯|呃|额|啊|哦|唔|emm+)+[，,、…。.]*|\b(?:um+|uh+|er+m?|hmm+|you know)\b,?"
)
_FUNCTION = {
    "zh": set(
        "的了是在我他她它们会就把给先再也都和与及要到对从为这那有不着过能可以让被得所而但如因并"
    ),
    "en": {
        *("i", "the", "a", "an", "to", "of", "and", "was", "were", "is", "are", "my", "we", "it"),
        *("that", "in", "on", "for", "with", "so", "then", "they", "he", "she", "him", "her", "me"),
        *("would", "had", "have", "has", "not", "at", "by", "from", "this", "as", "but", "them"),
        *("who", "what", "which", "when", "if", "be", "been", "our", "his", "their", "you", "your"),
    },
}
FUNCTION_SHARE = {"zh": 0.075, "en": 0.16}
"""Share of function words below which a text is a list of terms and no sentence."""

SAID_BEFORE = 0.85
"""Share of a sentence's pairs of units that one earlier sentence has, from which it is said
again; shorter sentences than `SHORTEST_AGAIN` units are never counted as said again."""
SHORTEST_AGAIN = 6


def low_effort(answer: str, question: str) -> str | None:
    """Why an answer is no attempt, as a stable code; None: it is one.

    `empty`, `filler` (test test, xyz), `no_answer` (不知道), `repetition` (one word or phrase
    again and again), `repeats_question`, `asides_only` (greetings, words to whoever scores),
    `too_short`, `keywords` (terms without a sentence).
    """
    plain = normalised(answer)
    found = units(plain)
    if not any(unit.isalnum() for unit in found):
        return "empty"
    if all(unit in _FILLERS or unit in _NUMERALS or unit.isdigit() for unit in found):
        return "filler"
    if _is_refusal(_without_asides(plain)):
        return "no_answer"
    if _is_repetition(found):
        return "repetition"
    if _repeats(found, units(normalised(question))):
        return "repeats_question"
    return _too_little(judged(answer), question)


def judged(answer: str) -> str:
    """The answer without asides, hesitation and what it said before: normalised text."""
    return joined([text for text, kept in parts(answer) if kept])


def parts(answer: str) -> list[tuple[str, bool]]:
    """Each sentence of the normalised answer, and whether it is judged."""
    found: list[tuple[str, bool]] = []
    before: list[set[tuple[str, ...]]] = []
    for sentence in sentences(_HESITATION.sub("", normalised(answer))):
        rest = _without_asides(sentence)
        pairs = set(ngrams(units(rest), 2))
        again = len(pairs) >= SHORTEST_AGAIN - 1 and any(
            len(pairs & known) >= SAID_BEFORE * len(pairs) for known in before
        )
        kept = bool(units(rest)) and not again
        found.append((rest if kept else sentence, kept))
        if kept:
            before.append(pairs)
    return found


def is_list_of_terms(plain: str) -> bool:
    """Whether a normalised text has terms and next to no words that make sentences of them.

    Text of code, such as a query, is none.
    """
    language = "zh" if is_chinese(plain) else "en"
    found = units(plain)
    written = [u for u in found if is_chinese(u)] if language == "zh" else list(found)
    if len(written) < 0.6 * len(found) or re.search(r"\bselect\b|\bgroup by\b|[=<>{}]", plain):
        return False
    shared = sum(unit in _FUNCTION[language] for unit in written) / max(len(written), 1)
    return shared < FUNCTION_SHARE[language] and not tells(plain)


def _too_little(text: str, question: str) -> str | None:
    found = units(text)
    if not found:
        return "asides_only"
    if len(found) < FEWEST_UNITS["zh" if is_chinese(text) else "en"]:
        return "too_short"
    if _repeats(found, units(normalised(question))):
        return "repeats_question"
    return "keywords" if is_list_of_terms(text) else None


def _without_asides(sentence: str) -> str:
    """The sentence without asides; nothing where it speaks to whoever scores.

    A sentence that also tells an act of one's own is kept whole.
    """
    if _TO_THE_SCORER.search(sentence) and not tells(sentence):
        return ""
    rest = _ASIDE.sub(" ", sentence)
    return sentence if rest == sentence else re.sub(r"^[\s，,、。.!！?？]+|\s+$", "", rest)


def _is_refusal(plain: str) -> bool:
    """Whether the text says 不知道 or the like, and next to nothing else."""
    if not _REFUSAL.search(plain):
        return False
    rest = _POLITE.sub(" ", _REFUSAL.sub(" ", plain))
    return len(units(rest)) <= _FEW


def _is_repetition(found: Sequence[str]) -> bool:
    if len(found) < 4:
        return False
    triples = list(zip(found, found[1:], found[2:], strict=False))
    one_word = Counter(found).most_common(1)[0][1] >= 0.6 * len(found)
    return one_word or (len(found) >= 9 and len(set(triples)) < 0.45 * len(triples))


def _repeats(found: Sequence[str], question: Sequence[str]) -> bool:
    pairs, asked = ngrams(found, 2), ngrams(question, 2)
    if not pairs:
        return False
    repeated = sum(count for pair, count in pairs.items() if pair in asked) / pairs.total()
    new = [unit for unit in found if unit not in set(question)]
    return repeated >= 0.8 and len(new) <= 2
