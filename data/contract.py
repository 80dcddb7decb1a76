"""What the stages promise each other: feature sets, quality, scores, scorecards.

Everything here is plain data. Nothing imports torch, mlflow or bentoml, so an
auditor can read a scorecard with this file alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

import configs

SAMPLE_RATE = 16_000
"""Hz. Every waveform in this repository is mono float32 at this rate."""

ENCODER_WIDTH = 512
"""Width of the Whisper base encoder's output."""


class UnusableRecording(Exception):
    """The recording cannot be scored; ask the candidate for another (HTTP 422).

    `code` is stable and machine-readable, e.g. `no_audio_track`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ContractMismatch(Exception):
    """A registered version does not fit this code; the service does not start."""


def first_fault(error: Exception) -> str:
    """Of a file that no model takes: the first of what may be hundreds of faults."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"])) or "file"
        return f"({place}: {found['msg']})"
    return f"({error})"


class UndefinedMetric(Exception):
    """A metric has no value on this table; the card says why."""


class TooFewPeople(ValueError):
    """Fewer people than there are to be parts; give more, or ask for fewer parts."""


@dataclass(frozen=True)
class Column:
    """One measured number.

    reference : (low, high), the range between the 10th and 90th percentile of the people
        named in `reference_source`, or what it publishes as usual; None where there is neither
    disturbed_by : what moves it besides what it is a measure of
    """

    name: str
    unit: str
    meaning: str
    reference: tuple[float, float] | None = None
    reference_source: str = ""
    disturbed_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureSet:
    """Ordered columns under one identity.

    `id` is name-version-digest; the digest covers column names and units, so a
    column cannot change without the id changing. Bump `version` when an
    extractor gives other values for the same columns.
    """

    name: str
    version: int
    columns: tuple[Column, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def id(self) -> str:
        """name-version-digest."""
        text = json.dumps([[column.name, column.unit] for column in self.columns])
        return f"{self.name}-{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def column(self, name: str) -> Column:
        """The column called `name`."""
        return self.columns[self.names.index(name)]


class Record(BaseModel):
    """Base of everything that is written to JSON: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Word(Record):
    """One recognised word. Times in seconds from the start of the recording."""

    text: str
    start_s: float
    end_s: float
    probability: float = Field(ge=0, le=1)


class Transcript(Record):
    """Words of one response.

    text : simplified Chinese where the language is zh
    language : ISO 639-1 code, `und` where there was no speech or it cannot be told
    language_probability : of recognised words as the recogniser gives it; of supplied ones
        the share of the text that is written in that language
    language_shares : of the time that is spoken, the share in zh and the share in what is
        not; empty where it was not told apart, as in any third language
    source : `recognised` or `supplied` (given by the caller)
    confidence : mean word probability, calibrated where the language is; None when supplied
    error_rate : errors to expect a unit that was said (characters of zh, words of en); None
        when supplied, and in a language in which no confidence is calibrated
    speech_s : seconds of speech that were listened to for words; 0 when supplied
    dropped_s : of these, seconds in which the recogniser only repeated itself, so that
        their words are not in the text
    """

    text: str
    words: tuple[Word, ...] = ()
    language: str
    language_probability: float = Field(ge=0, le=1)
    language_shares: dict[str, float] = {}
    confidence: float | None = None
    error_rate: float | None = Field(default=None, ge=0, le=1)
    speech_s: float = Field(default=0, ge=0)
    dropped_s: float = Field(default=0, ge=0)
    source: Literal["recognised", "supplied"]
    recogniser: str = ""

    @property
    def dropped_share(self) -> float:
        """Of the speech, whose words are not in the text."""
        return self.dropped_s / self.speech_s if self.speech_s else 0.0


class Quality(Record):
    """What the recording allows. None: that track is absent or was not looked at."""

    duration_s: float
    speech_s: float | None = None
    clipping_ratio: float | None = Field(default=None, description="share of samples at full scale")
    snr_db: float | None = Field(default=None, description="level of speech over level of the rest")
    bandwidth_hz: float | None = Field(
        default=None, description="frequency below which speech energy lies"
    )
    one_face_share: float | None = Field(
        default=None, description="share of frames with exactly one face"
    )
    face_frames: int | None = Field(default=None, description="frames looked at")
    brightness: float | None = Field(default=None, description="mean luma, 0 black to 1 white")
    width: int | None = None
    height: int | None = None


Part = Literal["speech", "expression", "competency"]


class Evidence(Record):
    """Why a score is what it is.

    kind `span`: words of the transcript with their times; `effect` is the change
    of the score, in points of 100, when they are left out (negative: they had
    raised it); `name` is `not_judged` where they are an aside or were said before.
    kind `measure`: a named measure beside its reference range.
    kind `key_point`: `text` is what a strong answer contains, `name` whether it was `found`,
    is `unclear`, or was `not_found` in these words; `quote` are the words nearest to it.
    kind `anchor`: `text` is what people do at the level that is nearest, `value` that level.
    """

    kind: Literal["span", "measure", "key_point", "anchor"]
    text: str = ""
    start_s: float | None = None
    end_s: float | None = None
    effect: float | None = None
    name: str = ""
    quote: str = ""
    value: float | None = None
    unit: str = ""
    reference_low: float | None = None
    reference_high: float | None = None


class Score(Record):
    """One score, 0 to 100, with the interval that covers 90 % of human ratings.

    level : of the competency's five, 1 the lowest, with the levels it may lie between; None
        where the part has none, or where the words do not tell
    """

    part: Part
    name: str
    score: float = Field(ge=0, le=100)
    low: float = Field(ge=0, le=100)
    high: float = Field(ge=0, le=100)
    level: int | None = Field(default=None, ge=1, le=5)
    level_low: int | None = Field(default=None, ge=1, le=5)
    level_high: int | None = Field(default=None, ge=1, le=5)
    provisional: bool
    provisional_reason: dict[str, str] = Field(
        default={}, description="language code -> why the score is provisional"
    )
    evidence: tuple[Evidence, ...] = ()
    version: str


class NotScored(Record):
    """A part that has no score, and why. `code` is stable, `reason` is for people."""

    part: Part
    name: str
    code: str
    reason: str


class Measure(Record):
    """A named measure of this response. value None: it could not be measured."""

    part: Part
    name: str
    value: float | None
    unit: str
    meaning: str
    reference_low: float | None = None
    reference_high: float | None = None


class ModelVersion(Record):
    """Which version made a score, and where its card is."""

    name: str
    version: str
    sha256: str
    feature_set: str
    card_url: str


_NO_REFERENCE = {"true", "false", "yes", "no", "0", "1", "on", "off", "none", "null", "是", "否"}


def _names_a_consent(reference: str) -> str:
    if reference.strip().lower() in _NO_REFERENCE:
        raise ValueError("give the reference of the consent, not whether there is one")
    return reference.strip()


ConsentReference = Annotated[
    str,
    Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_names_a_consent),
]
"""Where the caller keeps a consent; empty: there is none."""


class ScoreRequest(Record):
    """What the caller says about one recording.

    job : key of configs/jobs.yaml
    question : key of a question of that job; None scores delivery only
    language : language the answer is expected in; None: the job's. Of a tag as `zh-CN` the
        language alone is kept (ISO 639, lower case): `zh`
    policy_region : key of `policies` in configs/serving.yaml
    transcript : the words, when a human wrote them down: the answer is judged by them;
        delivery is still judged by what is recognised in the recording
    accommodations : `no_speech` or `no_expression`: that part is not scored, on the
        candidate's request
    candidate : the caller's opaque reference; never a name
    face_consent : reference of the candidate's separate consent to their face being measured;
        where the policy requires one and there is none, the face is not looked at
    """

    job: str
    question: str | None = None
    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$")
    policy_region: str = "default"
    transcript: str | None = None
    accommodations: tuple[Literal["no_speech", "no_expression"], ...] = ()
    candidate: str = ""
    face_consent: ConsentReference = ""

    @field_validator("language")
    @classmethod
    def _language_alone(cls, tag: str | None) -> str | None:
        return re.split("[-_]", tag)[0].lower() if tag else None


class Scorecard(Record):
    """All that is claimed about one response, and what it takes to claim it again."""

    schema_version: Literal[1] = 1
    id: str
    created_at: str
    status: Literal["completed", "abstained"]
    request: ScoreRequest
    language: str
    input_sha256: str
    quality: Quality
    transcript: Transcript | None
    scores: tuple[Score, ...]
    not_scored: tuple[NotScored, ...]
    total: float | None
    total_low: float | None = None
    total_high: float | None = None
    total_reason: str = ""
    measures: tuple[Measure, ...] = ()
    weights: dict[str, float] = {}
    weights_version: str
    versions: tuple[ModelVersion, ...]
    human_review_required: bool
    human_review_reasons: tuple[str, ...] = ()


class KeyFrame(Record):
    """A still that shows a measured moment. jpeg is base64.

    It shows a face, so it is kept shorter than the rest: `key_frame_days` of the policy.

    outlines : part of the face -> its landmarks, (x, y) in shares of the picture
    """

    time_s: float
    measure: str
    value: float
    unit: str
    jpeg: str
    outlines: dict[str, tuple[tuple[float, float], ...]] = {}


class Curve(Record):
    """A measure over time; None where it could not be measured (no face, unvoiced)."""

    name: str
    unit: str
    meaning: str
    times_s: tuple[float, ...]
    values: tuple[float | None, ...]


class Moment(Record):
    """A sentence or so whose delivery stands out from the whole answer's.

    scores : of this stretch alone, 0 to 100, by target; as uncertain as one rated sentence
    difference : mean over the targets from the scores of the whole answer, in points
    measures : that lie outside their reference range in this stretch
    """

    start_s: float
    end_s: float
    scores: dict[str, float]
    difference: float
    measures: tuple[Measure, ...] = ()


class Exhibit(Record):
    """What the report draws beside the scorecard. Personal data: kept as the scorecard is."""

    speech_segments: tuple[tuple[float, float], ...] = ()
    level: Curve | None = None
    delivery: tuple[Curve, ...] = ()
    moments: tuple[Moment, ...] = ()
    expression: tuple[Curve, ...] = ()
    key_frames: tuple[KeyFrame, ...] = ()


# --- speech -----------------------------------------------------------------
# The head reads the encoder's statistics and some of the measures that are reported.

SPEECH_MEASURES = (
    Column("speech_rate", "syllables/s", "syllable nuclei over the whole response"),
    Column("articulation_rate", "syllables/s", "syllable nuclei over the time spent speaking"),
    Column("pause_ratio", "1", "share of the response, first to last speech, that is silent"),
    Column("longest_pause", "s", "longest silence between speech"),
    Column("f0_level", "Hz", "median fundamental frequency of voiced frames"),
    Column("f0_range", "semitones", "10th to 90th percentile of the fundamental frequency"),
    Column("level_range", "dB", "10th to 90th percentile of the level while speaking"),
    Column("voiced_ratio", "1", "share of speaking time that is voiced"),
    Column(
        "filled_pauses", "1/min", "um, uh, 嗯, 呃 … recognised per minute; absent without words"
    ),
)

WORD_MEASURES = (
    Column("word_confidence", "1", "mean log probability of the words, as the recogniser has it"),
    Column("word_confidence_low", "1", "log probability of the least probable word"),
    Column("word_confidence_spread", "1", "standard deviation of the log probabilities"),
    Column("unsure_words", "1", "share of words less probable than .5"),
    Column("sure_words", "1", "share of words more probable than .9"),
    Column("word_rate", "1/s", "words a second of the stretch"),
    Column("word_length", "1/s", "characters a second of speech in the stretch"),
    Column("log_words", "1", "log of one more than the words"),
    Column("log_duration", "1", "log of the seconds"),
    Column("log_language", "1", "log probability of the language they are taken for"),
)
"""How clearly Whisper heard the words: the less like others they are pronounced, the less
sure it is. Nobody is shown them; `word_confidence` of a stretch without words is log .01."""

TOKEN_STATISTICS = {
    "mean": "mean",
    "std": "standard deviation",
    **{f"p{share}": f"{share}th percentile" for share in (10, 25, 50, 75, 90)},
}

TOKEN_MEASURES = tuple(
    Column(f"token_{name}_{statistic}", "nats", f"{meaning} over the tokens of {what}")
    for name, what in {
        "log_probability": "how probable each was",
        "entropy": "how undecided the recogniser was before each",
    }.items()
    for statistic, meaning in TOKEN_STATISTICS.items()
)
"""The same, of the pieces that words are written in. Nobody is shown them."""

AMONG_OTHERS = Column("among_others", "1", "1 where the stretch is one of several in its answer")
"""What stands beside a sentence moves what the encoder makes of it."""

SPEECH_STATISTICS = {
    "mean": "mean",
    "std": "standard deviation",
    "change": "mean absolute change from one output (20 ms) to the next",
}

SPEECH_LAYERS = (2, 3, 4, 5, 6)
"""Of the encoder, the last normalised; the first tells little that these do not."""

SPEECH = FeatureSet(
    "speech",
    3,
    tuple(
        Column(
            f"layer_{layer}_{statistic}_{i}",
            "1",
            f"{meaning} over a stretch of output {i} of the encoder's layer {layer}",
        )
        for layer in SPEECH_LAYERS
        for statistic, meaning in SPEECH_STATISTICS.items()
        for i in range(ENCODER_WIDTH)
    )
    + tuple(c for c in SPEECH_MEASURES if c.name not in ("f0_level", "filled_pauses"))
    + WORD_MEASURES
    + TOKEN_MEASURES
    + (AMONG_OTHERS,),
)
"""One row a stretch. The level of F0 is left out, since it tells a man's voice from a
woman's; filled pauses, since they need words. An unvoiced stretch has f0_range 0."""

# --- what training and serving agree on through the registry ------------------


class Band(Record):
    """Scores of at most `up_to` points, which err otherwise than those above them."""

    up_to: float
    half_width: float = Field(ge=0)


class Target(Record):
    """One output of a head, in points of 100.

    half_width : cross-validated residual quantile in points: score ± half_width covers
        90 % of human ratings of people the head was not fitted on.
    bands : lower scores with half widths of their own, lowest first
    """

    name: str
    half_width: float = Field(ge=0)
    bands: tuple[Band, ...] = ()

    def half_width_at(self, score: float) -> float:
        """Points to either side of a score."""
        fitting = (band.half_width for band in self.bands if score <= band.up_to)
        return next(fitting, self.half_width)


class Widening(Record):
    """Intervals are `factor` times as wide where a measure of the signal is below an edge.

    measure : field of Quality, or how familiar the sound is to the version
    """

    measure: Literal["snr_db", "bandwidth_hz", "familiarity"]
    below: float
    factor: float = Field(ge=1)


class VoiceLimits(Record):
    """Beyond them an answer is not one person speaking, as far as a version can tell.

    min_familiarity : how like the speech that was learned from it must sound; 1 is usual
    max_apart : how far its parts may differ, of 2, 3, … compared stretches
    """

    min_familiarity: float = Field(ge=0)
    max_apart: tuple[float, ...]


class Manifest(Record):
    """`version.json` of a registered version: what serving needs to use it, or refuse it.

    feature_set : FeatureSet.id the head was fitted on
    artifact : file name of the head beside this manifest; empty for a version that
        has measures and no head
    sha256 : of that file
    validated_languages, validated_settings : where the card shows validity
        (settings: `read_aloud`, `course_exam`, `interview`); a score given
        elsewhere is provisional, with `provisional_reason`
    language_bound : True when a score in another language is not given at all
    widenings : of its intervals where the signal is poor; the largest that applies
    voice_limits : of a head that tells whether one person speaks
    listened_with : encoder and settings its features come from; empty where there is none
    """

    schema_version: Literal[1] = 1
    name: str
    feature_set: str
    artifact: str = ""
    sha256: str = ""
    targets: tuple[Target, ...] = ()
    validated_languages: tuple[str, ...] = ()
    validated_settings: tuple[str, ...] = ()
    provisional_reason: dict[str, str] = Field(default={}, description="language code -> sentence")
    language_bound: bool = False
    references: dict[str, tuple[float, float]] = Field(
        default={}, description="measure -> 10th and 90th percentile of the people learned from"
    )
    references_source: str = ""
    widenings: tuple[Widening, ...] = ()
    voice_limits: VoiceLimits | None = None
    listened_with: str = ""
    learned_from: str
    created_at: str


@dataclass(frozen=True)
class Scored:
    """A scorecard with what the report draws beside it."""

    scorecard: Scorecard
    exhibit: Exhibit


# --- expression: observable behaviour of the face, never a feeling -----------------

CAMERA_ANGLE_MEANING = "angle between gaze (head and eyes together) and the line to the camera"

EXPRESSION = FeatureSet(
    "expression",
    2,
    (
        Column("smile", "1", "mouth corners pulled up and out, mean of left and right"),
        Column("mouth_corners_down", "1", "mouth corners pulled down"),
        Column("mouth_press", "1", "lips pressed together"),
        Column("mouth_pucker", "1", "lips drawn together and forward"),
        Column("mouth_stretch", "1", "mouth corners pulled sideways"),
        Column("upper_lip_raise", "1", "upper lip raised"),
        Column("lower_lip_down", "1", "lower lip lowered"),
        Column("jaw_open", "1", "jaw lowered"),
        Column("mouth_opening", "1", "gap between the lips over the width of the mouth"),
        Column("brow_raise", "1", "brows raised, mean of inner and outer parts"),
        Column("brow_lower", "1", "brows lowered"),
        Column("eye_squint", "1", "lower lids raised"),
        Column("eye_wide", "1", "upper lids raised"),
        Column("eye_closure", "1", "lids closed, mean of both eyes"),
        Column("eye_aperture", "1", "gap between the lids over the width of the eye, both eyes"),
        Column("head_yaw", "deg", "head turned from the camera; positive: to the image's right"),
        Column("head_pitch", "deg", "head raised above the camera; negative: lowered"),
        Column("head_roll", "deg", "head tilted; positive: counter-clockwise in the image"),
        Column("gaze_yaw", "deg", "gaze beside the camera, head and eyes; positive: image's right"),
        Column("gaze_pitch", "deg", "gaze above the camera, head and eyes; negative: below"),
        Column("camera_angle", "deg", CAMERA_ANGLE_MEANING),
        Column("face_x", "1", "centre of the face, 0 left to 1 right edge of the picture"),
        Column("face_y", "1", "centre of the face, 0 top to 1 bottom edge of the picture"),
        Column("face_height", "1", "height of the face over the height of the picture"),
    ),
)
"""Time series, one row an analysed frame. Columns in unit 1 without another meaning
are blendshapes, 0 (absent) to 1 (full). Left and right are averaged, so a mirror
image changes nothing but the sign of yaw and roll and face_x."""

EXPRESSION_MEASURES = (
    Column(
        "smile_share",
        "1",
        "share of the time with a visible smile",
        disturbed_by=("blur", "the usual shape of a mouth at rest"),
    ),
    Column(
        "smile_intensity",
        "1",
        "mean smile, 0 none to 1 full",
        disturbed_by=("blur", "the usual shape of a mouth at rest"),
    ),
    Column(
        "brow_movement",
        "1",
        "standard deviation of brow raising",
        disturbed_by=("blur", "glasses", "a fringe", "a picture mirrored", "a head that turns"),
    ),
    Column(
        "mouth_opening",
        "1",
        "mean gap between the lips over the width of the mouth",
        disturbed_by=("blur", "a beard", "light", "darker skin: +.01 to +.03"),
    ),
    Column(
        "blink_rate",
        "1/min",
        "blinks per minute of a visible face turned to the camera",
        reference=(10.5, 32.5),
        reference_source="Doughty 2001, Optometry and Vision Science 78: 712-725, in conversation",
        disturbed_by=(
            "blur",
            "glasses: missed or not counted where they hide the lids",
            "fewer than 9 frames a second",
            "looking down",
        ),
    ),
    Column(
        "blink_duration",
        "s",
        "mean duration of a blink",
        reference=(0.1, 0.4),
        reference_source="Schiffman 2001, Sensation and Perception",
        disturbed_by=("in steps of a frame, 0.07 s at 15 a second", "blur", "glasses"),
    ),
    Column(
        "gaze_to_camera_share",
        "1",
        "share of the time with gaze toward the camera",
        disturbed_by=(
            "glasses with a glint: up to -.4",
            "a camera beside or above the screen",
            "strabismus",
            "blur",
            "a weak connection: -.08",
            "warm light: -.1",
        ),
    ),
    Column(
        "longest_look_away",
        "s",
        "longest time without gaze toward the camera",
        disturbed_by=("glasses", "a camera beside or above the screen", "a second screen"),
    ),
    Column(
        "head_turn",
        "deg",
        "median turn of the head away from the camera, either side",
        disturbed_by=("a camera to the side", "the face's place in the picture: up to 6°"),
    ),
    Column(
        "head_raise",
        "deg",
        "median height of the head's direction above the camera",
        disturbed_by=(
            "a camera above or below the eyes",
            "blur, darker skin, mirrored, glasses: 1 to 2°",
        ),
    ),
    Column(
        "head_tilt",
        "deg",
        "median sideways tilt of the head, either side",
        disturbed_by=("a camera that is not level",),
    ),
    Column(
        "head_movement",
        "deg/s",
        "mean speed of head rotation",
        disturbed_by=("glasses: +1.5 at rest", "a camera held in the hand"),
    ),
    Column(
        "nods",
        "1/min",
        "quick lowerings of the head and back, per minute",
        disturbed_by=(
            "a head that never rests: not counted",
            "glasses: not counted where they flicker",
        ),
    ),
    Column(
        "shakes",
        "1/min",
        "quick turns of the head to one side and the other, per minute",
        disturbed_by=(
            "a head that never rests: not counted",
            "glasses: not counted where they flicker",
        ),
    ),
    Column(
        "expressiveness",
        "1",
        "mean standard deviation of the facial movements",
        disturbed_by=(
            "a head that turns",
            "a picture mirrored",
            "darker skin: +.01 to +.02",
            "blur",
            "glasses",
        ),
    ),
    Column(
        "face_height",
        "1",
        "median height of the face over the height of the picture",
        disturbed_by=("the distance to the camera and its lens, nothing of the person",),
    ),
    Column(
        "face_offset",
        "1",
        "median distance of the face from the picture's centre, widths",
        disturbed_by=("where the camera stands, nothing of the person",),
    ),
)
"""Summaries of one response. Shown, never scored without a head trained on ratings."""


# --- language ----------------------------------------------------------------
# A unit is one Chinese character, one word of another script, or one number. "New"
# units are those the question did not already say. A rate is per hundred units, of at least
# a hundred.

LANGUAGE_MEASURES = (
    Column("units", "count", "Chinese characters, words and numbers of the answer"),
    Column("sentences", "count", "sentences of the answer"),
    Column("units_per_sentence", "count", "units over sentences"),
    Column("lexical_variety", "1", "different units over the square root of all units"),
    Column(
        "connectives", "1/100 units", "because, first, so, however … (因为, 首先, 所以, 但是 …)"
    ),
    Column("numbers", "1/100 units", "numbers and amounts: 三个工作日, 80%, 12"),
    Column("own_acts", "1/100 units", "acts told in the first person: I called, 我联系"),
    Column("situations", "1/100 units", "a time or setting: 当时, 实习期间, last summer"),
    Column("tasks", "1/100 units", "what had to be done: 负责, 目标是, deadline, had to"),
    Column("results", "1/100 units", "what came of it: 结果, 提高了, in the end, reduced"),
    Column("checks", "1/100 units", "making sure: 核对, 回访, confirmed, followed up"),
    Column("reflections", "1/100 units", "what was learned: 教训, 下次, next time"),
    Column("perspective", "1/100 units", "the other's side: 理解您, from your perspective"),
    Column("warmth", "1/100 units", "thanks and encouragement: 辛苦, thank you, glad"),
    Column("generalities", "1/100 units", "phrases that fit any answer: 认真负责, team player"),
)

LANGUAGE_COMPARISONS = (
    *(
        Column(f"{size}_{measure}", "1", f"{meaning}, {size} of units")
        for size in ("singles", "pairs", "triples", "quadruples")
        for measure, meaning in (
            ("precision", "share of the answer's units that a reference has"),
            ("recall", "share of a reference's units that the answer has"),
            ("f1", "harmonic mean of precision and recall"),
        )
    ),
    *(
        Column(f"new_{size}_{measure}", "1", f"{meaning}, not counting what the question said")
        for size in ("singles", "pairs", "triples")
        for measure, meaning in (
            ("precision", "share of the answer's different units that a reference has"),
            ("recall", "share of a reference's different units that the answer has"),
        )
    ),
    Column("question_precision", "1", "share of the answer's pairs that the question has"),
    Column("question_recall", "1", "share of the question's pairs that the answer has"),
    Column("order_recall", "1", "longest common subsequence over the reference's units"),
    Column("order_precision", "1", "longest common subsequence over the answer's units"),
    Column("reference_cosine", "1", "cosine of answer and reference"),
    Column("question_cosine", "1", "cosine of answer and question"),
    Column("cosine_gain", "1", "reference_cosine less question_cosine"),
    Column("sentence_cosine", "1", "cosine of the two mean sentence embeddings"),
    Column("coverage", "1", "best clause cosine of each reference clause, mean by length"),
    Column("coverage_mean", "1", "best clause cosine of each reference clause, plain mean"),
    Column("coverage_worst", "1", "best clause cosine of the reference clause covered least"),
    Column("coverage_share", "1", "share of reference clauses with a clause above 0.6"),
    Column("clause_relevance", "1", "best reference cosine of each clause of the answer, mean"),
    Column("clause_relevance_worst", "1", "the same for the clause that fits least"),
    Column("best_clause", "1", "highest cosine of a clause of the answer and one of a reference"),
    Column(
        "unit_coverage", "1", "units of each reference clause in its best clause, mean by length"
    ),
    Column("unit_coverage_worst", "1", "units of the reference clause covered least"),
    Column(
        "agreeing_coverage", "1", "coverage, where a clause that denies covers none that affirms"
    ),
    Column(
        "opposed_coverage",
        "1",
        "coverage by clauses that deny what is affirmed, above coverage by others",
    ),
    Column("term_recall", "1", "share of the reference's new numbers and foreign terms; -1 none"),
    Column("term_precision", "1", "share of the answer's new numbers and terms that fit; -1 none"),
    Column("verdict", "1", "1 both open with the same yes or no, -1 with opposite ones, else 0"),
    Column("negation_gap", "1", "negations a unit of the answer less those of the reference"),
    Column("log_units", "ln", "units of the answer"),
    Column("log_reference_units", "ln", "units of the nearest reference"),
    Column("log_length_ratio", "ln", "units of the answer over those of the nearest reference"),
    Column("clause_ratio", "1", "clauses of the answer over those of the nearest reference"),
)

LANGUAGE_ANCHORS = tuple(
    Column(f"anchor_{level}_{kind}", "1", f"cosine of {what} and the anchor of level {level}")
    for level in range(1, 6)
    for kind, what in (("cosine", "the answer"), ("sentence", "its nearest sentence"))
)
"""0 where the question has no anchors."""


class SentenceEncoder(Record):
    """configs/encoder.yaml. folder : of an exported encoder; empty: the packaged one."""

    name: str = Field(min_length=1)
    width: int = Field(ge=1)
    folder: str = ""


ENCODER = configs.load("encoder", SentenceEncoder)

LANGUAGE = FeatureSet(
    "language",
    2,
    LANGUAGE_MEASURES
    + LANGUAGE_COMPARISONS
    + LANGUAGE_ANCHORS
    + tuple(
        Column(
            f"{text}_embedding_{i}",
            ENCODER.name,
            f"sentence embedding of the {text}, dimension {i}",
        )
        for text in ("answer", "question")
        for i in range(ENCODER.width)
    ),
)
"""Comparisons are taken with each reference and the best is kept."""
