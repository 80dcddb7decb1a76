"""Chinese and English words for the keys and sentences that appear on pages."""

from __future__ import annotations

import re
from typing import NamedTuple

Names = dict[str, dict[str, str]]
"""Language -> key or sentence -> what people read."""


class Term(NamedTuple):
    """One text in both languages."""

    zh: str
    en: str


OF_TEN = "of 10"
"""Unit of a curve of scores."""


def term(key: str, names: Names | None = None) -> Term:
    """What people read for `key`: the caller's names first, then TERMS, else the key itself.

    names : a language that lacks the key falls back to the other
    """
    if given := _given(key, names):
        either = next(iter(given.values()))
        return Term(given.get("zh", either), given.get("en", either))
    if key in TERMS:
        return TERMS[key]
    words = key.replace("_", " ")
    return Term(words, words)


def _given(key: str, names: Names | None) -> dict[str, str]:
    """Language -> text, of the languages that name `key`."""
    return {language: texts[key] for language, texts in (names or {}).items() if key in texts}


TERMS = {
    # parts and aspects
    "speech": Term("语音表达", "Speech"),
    "expression": Term("面部表现", "Expression"),
    "competency": Term("胜任力", "Competency"),
    "weights": Term("权重", "Weights"),
    "fluency": Term("流利度", "Fluency"),
    "prosody": Term("语调韵律", "Prosody"),
    "accuracy": Term("发音准确度", "Pronunciation accuracy"),
    "total": Term("整体朗读质量", "Overall delivery"),
    # speech measures
    "speech_rate": Term("语速（全程）", "Speech rate"),
    "articulation_rate": Term("语速（不计停顿）", "Articulation rate"),
    "pause_ratio": Term("停顿占比", "Pause share"),
    "longest_pause": Term("最长停顿", "Longest pause"),
    "f0_level": Term("音高", "Pitch level"),
    "f0_range": Term("音高变化范围", "Pitch range"),
    "level_range": Term("音量变化范围", "Loudness range"),
    "voiced_ratio": Term("浊音占比", "Voiced share"),
    "filled_pauses": Term("语气填充词", "Filled pauses"),
    "level": Term("音量", "Level"),
    # expression over time
    "smile": Term("微笑幅度", "Smile"),
    "mouth_corners_down": Term("嘴角下拉", "Mouth corners down"),
    "mouth_press": Term("抿嘴", "Lips pressed"),
    "mouth_pucker": Term("嘟嘴", "Lips puckered"),
    "mouth_stretch": Term("嘴角横向拉伸", "Mouth stretched"),
    "upper_lip_raise": Term("上唇抬起", "Upper lip raised"),
    "lower_lip_down": Term("下唇下拉", "Lower lip lowered"),
    "jaw_open": Term("张口幅度", "Jaw opening"),
    "mouth_opening": Term("嘴唇张开", "Mouth opening"),
    "brow_raise": Term("抬眉", "Brow raise"),
    "brow_lower": Term("皱眉", "Brow lowered"),
    "eye_squint": Term("眯眼", "Eye squint"),
    "eye_wide": Term("睁大眼", "Eyes wide"),
    "eye_closure": Term("闭眼", "Eye closure"),
    "eye_aperture": Term("眼睛张开", "Eye opening"),
    "head_yaw": Term("头部左右转动", "Head turn"),
    "head_pitch": Term("头部俯仰", "Head raise"),
    "head_roll": Term("头部倾斜", "Head tilt"),
    "gaze_yaw": Term("视线左右偏移", "Gaze sideways"),
    "gaze_pitch": Term("视线上下偏移", "Gaze up or down"),
    "camera_angle": Term("视线与镜头夹角", "Gaze angle from the camera"),
    "face_x": Term("面部横向位置", "Face position, across"),
    "face_y": Term("面部纵向位置", "Face position, down"),
    "face_height": Term("面部高度", "Face height"),
    # expression of a whole response
    "smile_share": Term("微笑时间占比", "Time with a smile"),
    "smile_intensity": Term("平均微笑幅度", "Mean smile"),
    "brow_movement": Term("眉部活动", "Brow movement"),
    "blink_rate": Term("眨眼频率", "Blink rate"),
    "blink_duration": Term("眨眼时长", "Blink duration"),
    "gaze_to_camera_share": Term("看向镜头的时间占比", "Time with gaze toward the camera"),
    "longest_look_away": Term("最长移开视线", "Longest look away"),
    "head_turn": Term("头部转动角度", "Head turn"),
    "head_raise": Term("头部抬起角度", "Head raise"),
    "head_tilt": Term("头部倾斜角度", "Head tilt"),
    "head_movement": Term("头部转动速度", "Head movement"),
    "nods": Term("点头", "Nods"),
    "shakes": Term("摇头", "Head shakes"),
    "expressiveness": Term("面部动作变化", "Variation of facial movement"),
    "nod": Term("点头", "Nod"),
    "shake": Term("摇头", "Head shake"),
    "look_away": Term("移开视线", "Look away"),
    "face_offset": Term("面部偏离画面中心", "Face off centre"),
    # language measures
    "units": Term("答案长度", "Length of the answer"),
    "sentences": Term("句数", "Sentences"),
    "units_per_sentence": Term("平均句长", "Sentence length"),
    "lexical_variety": Term("用词丰富度", "Variety of words"),
    "connectives": Term("连接词", "Connectives"),
    "numbers": Term("数字与金额", "Numbers and amounts"),
    "own_acts": Term("本人行动", "Own actions told"),
    "situations": Term("情境", "Situations told"),
    "tasks": Term("任务", "Tasks told"),
    "results": Term("结果", "Results told"),
    "checks": Term("核对与回访", "Checks and follow-up"),
    "reflections": Term("反思", "Reflections"),
    "perspective": Term("对方的处境", "The other's side"),
    "warmth": Term("感谢与鼓励", "Thanks and encouragement"),
    "generalities": Term("套话", "Phrases that fit any answer"),
    "answer_quality": Term("与参考答案的吻合", "Agreement with reference answers"),
    # what a strong answer contains, and what was not judged
    "found": Term("已说到", "found"),
    "unclear": Term("不确定", "unclear"),
    "not_found": Term("未找到", "not found"),
    "not_judged": Term(
        "未计入：寒暄、重复或对评分者说的话", "not counted: an aside, or said before"
    ),
    # units
    "1": Term("", ""),
    OF_TEN: Term("分，满分 10", "of 10"),
    "s": Term("秒", "s"),
    "deg": Term("°", "°"),
    "degrees": Term("°", "°"),
    "Hz": Term("赫兹", "Hz"),
    "dB": Term("分贝", "dB"),
    "dBFS": Term("dBFS", "dBFS"),
    "semitones": Term("半音", "semitones"),
    "syllables/s": Term("音节/秒", "syllables/s"),
    "1/min": Term("次/分钟", "per minute"),
    "deg/s": Term("°/秒", "°/s"),
    "count": Term("", ""),
    "1/100 units": Term("每百字词", "per 100 words"),
    "points": Term("分，满分 100", "of 100"),
    # what was expected of the recording
    "zh": Term("中文", "Chinese"),
    "en": Term("英文", "English"),
    "und": Term("未识别", "not identified"),
    "recognised": Term("自动识别", "recognised automatically"),
    "supplied": Term("由人提供", "supplied by a person"),
    "completed": Term("已完成", "completed"),
    "abstained": Term("未评分", "abstained"),
    "default": Term("默认", "default"),
}


MEANINGS_ZH = {
    "speech_rate": "整段回答中每秒的音节数",
    "articulation_rate": "说话时每秒的音节数，不计停顿",
    "pause_ratio": "从第一句到最后一句之间，静默所占的比例",
    "longest_pause": "两段话之间最长的静默",
    "f0_level": "浊音帧基频的中位数",
    "f0_range": "基频第 10 到第 90 百分位的跨度",
    "level_range": "说话时音量第 10 到第 90 百分位的跨度",
    "voiced_ratio": "说话时间中浊音所占的比例",
    "filled_pauses": "每分钟识别到的“嗯”“呃”“um”“uh”等",
    "smile_share": "可见微笑的时间所占的比例",
    "smile_intensity": "微笑幅度的平均值，0 为无，100% 为最大",
    "brow_movement": "抬眉幅度的标准差",
    "mouth_opening": "双唇间距与嘴宽之比",
    "blink_rate": "面部可见且朝向镜头时每分钟的眨眼次数",
    "blink_duration": "一次眨眼的平均时长",
    "gaze_to_camera_share": "目光朝向镜头的时间所占的比例",
    "longest_look_away": "目光不朝向镜头的最长时间",
    "head_turn": "头部偏离镜头方向的左右角度，中位数",
    "head_raise": "头部朝向高于镜头的角度，中位数",
    "head_tilt": "头部侧倾角度，中位数",
    "head_movement": "头部转动的平均速度",
    "nods": "每分钟快速低头再抬起的次数",
    "shakes": "每分钟快速左右转头的次数",
    "expressiveness": "各项面部动作标准差的平均值",
    "face_height": "面部高度占画面高度的比例，中位数",
    "face_offset": "面部到画面中心的距离，以面宽计，中位数",
    "units": "答案中的汉字、词和数字的个数",
    "sentences": "答案的句数",
    "units_per_sentence": "每句的字词数",
    "lexical_variety": "不同字词数除以总字词数的平方根",
    "connectives": "“因为”“首先”“所以”“但是”等连接词",
    "numbers": "数字与金额，如“三个工作日”“80%”",
    "own_acts": "以第一人称讲述的行动，如“我联系”",
    "situations": "交代时间或场合，如“当时”“实习期间”",
    "tasks": "交代要做的事，如“负责”“目标是”",
    "results": "交代结果，如“结果”“提高了”",
    "checks": "核对、确认或回访，如“核对”“回访”",
    "reflections": "说到学到了什么，如“教训”“下次”",
    "perspective": "说到对方的处境，如“理解您”",
    "warmth": "感谢与鼓励，如“辛苦”“放心”",
    "generalities": "放在任何回答里都可以的套话，如“认真负责”",
    "answer_quality": "与参考答案的吻合程度，按考试阅卷的尺度",
}
"""What a measure means; the English sentence stands in data/contract.py."""


def meaning(name: str, english: str) -> Term:
    """What the measure `name` means; where no Chinese is known, the English sentence."""
    return Term(MEANINGS_ZH.get(name, english), english)


CODES_ZH = {
    "no_audio_track": "录音没有声音轨道。",
    "no_video": "录音没有可读取的画面。",
    "silence": "录音中没有人说话。",
    "too_little_speech": "说话时间太短，不足以评分。",
    "too_noisy": "背景噪声过大，不足以评分。",
    "unfamiliar_sound": "声音与模型学过的语音相差太大（如音乐、唱歌、多人同时说话），不足以评分。",
    "several_voices": "录音中似乎不止一个人在说话，需要人工收听。",
    "whispered": "几乎是气声（耳语），不足以评分。",
    "too_narrow": "声音频带过窄，不足以评分。",
    "clipped": "声音失真（削波）过多，不足以评分。",
    "too_dark": "画面太暗，未作测量。",
    "no_face": "看得见面部的画面太少，未作测量。",
    "frozen": "画面大部分时间静止不动，未作测量。",
    "blurred": "面部画面模糊（镜头未对焦），看不清眼睑和嘴唇，未作测量。",
    "face_covered": "眼睛或嘴部大部分时间被遮挡（手、口罩、墨镜等），未作测量。",
    "too_little_face": "能够跟踪面部的时间太短，未作测量。",
    "profile": "头部大部分时间转向侧面，未作测量。",
    "static_picture": "眼睑和嘴唇一直不动，镜头前可能是一张照片，需要人工查看。",
    "face_too_small": "面部在画面中太小，未作测量。",
    "video_too_large": "画面尺寸过大，只对声音评分。",
    "no_face_consent": "候选人没有单独同意处理面部信息，未作测量。",
    "several_faces": "画面中有两张或更多的脸，无法确定测量的是谁，需要人工查看。",
    "language_not_validated": "该版本未在这种语言上验证，只给出测量值，不评分。",
    "code_switched": "回答中夹杂另一种语言的时间过长，只给出测量值，不评分。",
    "other_language": "回答所用的语言与要求不同。",
    "language_unknown": "题库没有这种语言的文本。",
    "no_question": "请求没有指定问题，无从比较答案。",
    "no_words": "没有识别到任何词语。",
    "transcript_uncertain": "识别出的文字把握太低或缺失太多，需要人工收听。",
    "low_effort": "这些话不构成一次作答。",
    "another_question": "这些话回答的是题库里的另一道题。",
    "not_asked": "由该职位的其他问题考察。",
    "no_head": "只测量并展示行为，不评分：没有可供学习的人工评分，详见模型卡。",
    "accommodation": "应候选人的要求，不作评估。",
    "off_in_region": "当地政策不允许，未作测量。",
}
"""Why a part has no score, by the stable code of `NotScored`."""

SENTENCES_ZH = (
    (r"^provisional scores: (.+)$", r"含暂定分数：\1"),
    (r"^not scored: (.+)$", r"有未评分的部分：\1"),
    (r"^the transcript was supplied by the caller$", "文字稿由调用方提供"),
    (
        r"^the words of (\d+\.\d) s of speech are missing$",
        r"有 \1 秒的讲话未能识别成文字",
    ),
    (
        r"^(\d+) % of the weight the question asks for is scored; ",
        r"本题要求的权重中有 \1% 可计入总分；",
    ),
    (r"provisional and not accepted by the job's configuration: ", "暂定且该职位不采纳的："),
    (r"; not scored: ", "；未评分的："),
    (r"；not scored: ", "；未评分的："),
)
"""Sentences that scoring writes in English, with what stays of them in Chinese."""


def sentence(text: str, names: Names | None = None) -> Term:
    """A reason in both languages; in Chinese as written where no translation is known."""
    if _given(text, names):
        return term(text, names)
    chinese = text
    for pattern, translation in SENTENCES_ZH:
        chinese = re.sub(pattern, translation, chinese)
    if chinese == text:
        return Term(text, _named(text, names).en)
    return Term(_named(chinese, names).zh.replace(", ", "、"), _named(text, names).en)


def _named(text: str, names: Names | None) -> Term:
    """The text with every known key that stands in a list replaced by its name."""
    keys = {"fluency", "prosody", "accuracy", "total", "expression"}
    keys |= {key for texts in (names or {}).values() for key in texts}

    def replaced(language: str) -> str:
        def word(match: re.Match[str]) -> str:
            return str(getattr(term(match[0], names), language)) if match[0] in keys else match[0]

        return re.sub(r"(?<=[:,：] )[a-z_]+\b|(?<=：)[a-z_]+\b", word, text)

    return Term(replaced("zh"), replaced("en"))


def why_not(code: str, reason: str, names: Names | None = None) -> Term:
    """Why something was not scored: the English sentence has the numbers, the code the Chinese."""
    if _given(reason, names):
        return term(reason, names)
    return Term(CODES_ZH.get(code, reason), reason)
