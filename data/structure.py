"""How an answer is built: what of a story it tells, how concrete it is, how it reasons.

Each is counted by its wording, in Chinese and English, in lower case and simplified.
"""

from __future__ import annotations

import re

Pattern = re.Pattern[str]

CONNECTIVE = re.compile(
    "因为|所以|因此|由于|如果|那么|但是|然而|首先|其次|然后|最后|接着|于是|例如|比如|同时|另外|而且|不仅"
    r"|总之|从而|\b(?:because|so that|therefore|however|but|first|second|then|next|finally|after"
    r"|afterwards|for example|for instance|meanwhile|also|if|although|while|as a result)\b"
)
NUMBER = re.compile(
    r"\d+(?:\.\d+)?%?|(?:[二三四五六七八九两十]"
    r"|一(?=[二三四五六七八九十百千万]))[一二三四五六七八九十百千万]*"
    r"(?=[个位次天年月周小人户万元成倍份家张项点])"
    r"|百分之(?!百)|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty"
    r"|hundred(?! per ?cent))\b(?! (?:ways?|sides?|things?|cents|worlds)\b)"
)
OWN_ACT = re.compile(
    r"(?<![给请让帮叫对向为替])我(?:先|就|马上|主动|立即|首先|随后|接着|还|也|会|又)*(?:把|给"
    r"|向|请|问|查|做|打|写|带|联系|建议|发现"
    r"|提出|负责|整理|安排|组织|决定|核|告诉|解释|说明|道歉|承诺|帮|教|用|列|找|分析|报告|学)"
    r"|\bi (?:first |then |also |would |will |immediately |personally )*"
    r"(?:[a-z]{3,}ed|told|made|took|gave|wrote|went|found|let|built|led|taught|brought|spoke"
    r"|ask|call|explain|check|offer|suggest|report|follow|listen)\b"
)
SITUATION = re.compile(
    r"当时|有一次|有一位|那时|那天|去年|今年|前年|大[一二三四](?=[的时上下实学期暑寒，])"
    r"|实习(?:时|期间|的时候)"
    r"|在[^，。；]{1,12}(?:期间|的时候|时)|\b(?:last (?:year|month|summer|week)|when i|during"
    r"|while i was"
    r"|one day|at (?:that|the) time|in my (?:first|second|third|final|last))\b"
)
TASK = re.compile(
    r"任务是|目标是|要求|需要在|必须在|负责|截止|期限|\b(?:goal|task|deadline|had to|needed to"
    r"|was (?:responsible|in charge)|my (?:job|role) was)\b"
)
RESULT = re.compile(
    r"结果|最终|最后[^，。；]{0,8}(?:了|到|成)|从[^，。；]{1,12}(?:降|升|提高|增加|减少"
    r"|缩短)[^，。；]{0,3}到"
    r"|(?:提高|降低|减少|增加|缩短|节省)了|完成了|解决了|得到了|获得了|\b(?:as a result|in the end"
    r"|eventually|result(?:ed)?|fell (?:from|to)|rose|reduced|increased|improved|saved|won)\b"
)
CHECK = re.compile(
    r"核对|核实|确认|复核|检查|验证|回访|跟进|抽查|对比|\b(?:check|verif|confirm|review"
    r"|follow(?:ed)? up"
    r"|compare|double-check)[a-z]*"
)
REFLECTION = re.compile(
    r"学到|反思|总结|教训|下次|从那以后|如果重来|不足|改进|收获|\b(?:learned|learnt|lesson"
    r"|next time"
    r"|in hindsight|since then|looking back|improve on)\b"
)
PERSPECTIVE = re.compile(
    r"理解(?:他|她|您|你|客户|对方|大家)|换成我|换作我|站在|对方的|他的(?:担心|感受|需要|想法"
    r"|难处)|您的(?:心情|担心)"
    r"|不容易|着急|着想|\b(?:i (?:understand|realize|realise|know (?:how|that|this|you))"
    r"|must (?:be|have"
    r" been|feel)|not easy|frustrat\w*|feel(?:s|ing|ings)?|difficult\w*|challeng\w*|overwhelm\w*"
    r"|concerns?|from (?:your|his|her|their) (?:side|perspective|point of view))\b"
)
WARMTH = re.compile(
    r"谢谢您|感谢|辛苦|放心|别担心|慢慢来|\b(?:thank(?:s| you)|great|excellent|proud|happy to|glad"
    r"|appreciate|excited|congratulations|pleased|hope you are)\b"
)
GENERALITY = re.compile(
    r"认真负责|吃苦耐劳|积极向上|努力拼搏|全力以赴|团队精神|以客户为中心|客户至上|非常重要"
    r"|至关重要|与时俱进"
    r"|精益求精|态度端正|综合素质|核心竞争力|众所周知|在当今社会|\b(?:hard[- ]?working|team player"
    r"|very important|passionate about|give (?:it )?my (?:best|all)|110|think outside the box"
    r"|results[- ]driven|detail[- ]oriented|fast learner)\b"
)

RATES: dict[str, Pattern] = {
    "connectives": CONNECTIVE,
    "numbers": NUMBER,
    "own_acts": OWN_ACT,
    "situations": SITUATION,
    "tasks": TASK,
    "results": RESULT,
    "checks": CHECK,
    "reflections": REFLECTION,
    "perspective": PERSPECTIVE,
    "warmth": WARMTH,
    "generalities": GENERALITY,
}
"""Measure of LANGUAGE_MEASURES -> what is counted for it."""

NEGATION = re.compile(
    r"不(?![仅但同断管])(?!(?<=(?P<asked>[是能会要行对可好])不)(?P=asked))|没|无(?!论)|非(?!常)"
    r"|错|未(?!来)|否(?!则)"
    r"|\b(?:not|no|never|cannot)\b|n't\b"
)
"""是不是 asks and denies nothing."""


FEWEST = 100
"""Units a rate is taken of at least: one word of a short answer is no habit."""


def rates(plain: str, units: int) -> dict[str, float]:
    """Each of `RATES` per hundred units of a normalised text of so many `units`."""
    size = max(units, FEWEST) / 100
    return {name: len(pattern.findall(plain)) / size for name, pattern in RATES.items()}


def tells(plain: str) -> bool:
    """Whether a sentence tells an act of one's own, or a result with a number."""
    return bool(OWN_ACT.search(plain) or (RESULT.search(plain) and NUMBER.search(plain)))
