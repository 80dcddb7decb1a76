"""Sound too poor, speech too short, words too uncertain: no score, and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

import configs
from data.contract import Quality, Score, ScoreRequest, Transcript, Word
from data.jobs import job as job_named
from data.recording import Waveform, open_recording
from data.speech import SpeechLimits, unfit_for_speech
from serving.competency import score_competency
from serving.scoring import ScoringConfig
from serving.terms import sentence

RATE = 16_000
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
ENGLISH = ScoreRequest(job="relationship_manager", question="unhappy_customer", language="en")
CONFIG = configs.load("scoring", ScoringConfig)
LIMITS = configs.load("speech_limits", SpeechLimits)
GOOD = Quality(duration_s=30, speech_s=20, snr_db=30, bandwidth_hz=8000, clipping_ratio=0)


@pytest.fixture(scope="module")
def voice() -> Waveform:
    """The first two sentences of the sample."""
    found = open_recording(SAMPLE).waveform
    assert found is not None
    return found[: 11 * RATE]


def noisy(voice: Waveform) -> Waveform:
    """0 dB: noise as loud as the voice."""
    level = np.sqrt(np.mean(voice**2))
    return voice + np.random.default_rng(0).normal(0, level, len(voice))


def narrow(voice: Waveform) -> Waveform:
    """Nothing above 2 kHz."""
    spectrum = np.fft.rfft(voice)
    spectrum[np.fft.rfftfreq(len(voice), 1 / RATE) > 2000] = 0
    return np.fft.irfft(spectrum, len(voice))


def clipped(voice: Waveform) -> Waveform:
    """The loudest tenth of the samples cut to full scale."""
    return np.clip(voice / np.quantile(np.abs(voice), 0.9), -1, 1)


def whispered(voice: Waveform, order: int = 18) -> Waveform:
    """The same sounds with noise in the place of the voice, by linear prediction."""
    size, hop = RATE // 40, RATE // 80
    window, noise = np.hanning(size), np.random.default_rng(0)
    sharper = np.append(voice[0], voice[1:] - 0.97 * voice[:-1])
    found = np.zeros(len(voice) + size)
    for start in range(0, len(voice) - size, hop):
        frame = sharper[start : start + size] * window
        likeness = np.correlate(frame, frame, "full")[size - 1 : size + order] + 1e-9
        filtered = np.r_[1, -solve_toeplitz(likeness[:-1] + 1e-9 * (frame @ frame), likeness[1:])]
        level = np.sqrt(np.mean(lfilter(filtered, 1, frame) ** 2))
        found[start : start + size] += window * lfilter([level], filtered, noise.normal(size=size))
    return (0.3 * found[: len(voice)] / np.abs(found).max()).astype(np.float32)


def sung(voice: Waveform) -> Waveform:
    """Vowels on the notes of a scale, with vibrato: hardly any of it is taken for speech."""
    random, n = np.random.default_rng(0), 8 * RATE
    hz, at = np.zeros(n), 0
    while at < n:
        length = int(random.uniform(0.4, 1.2) * RATE)
        hz[at : at + length] = 220 * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 12]) / 12)
        at += length
    hz = np.convolve(np.pad(hz, 400, mode="edge"), np.ones(800) / 800, "same")[400 : 400 + n]
    hz *= 2 ** (0.3 / 12 * np.sin(2 * np.pi * 5.5 * np.arange(n) / RATE))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    source = sum(np.cos(k * phase) * (k * hz < 7500) / k for k in range(1, 30))
    vowels = [(700, 1220, 2600), (390, 1990, 2550), (300, 2300, 3000), (450, 800, 2830)]
    found, size = np.zeros(n), int(0.45 * RATE)
    for start in range(0, n, size):
        part = source[start : start + size]
        for formant, width in zip(vowels[random.integers(4)], (80, 100, 120), strict=True):
            pole, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * formant / RATE
            part = lfilter([1 - pole], [1, -2 * pole * np.cos(angle), pole**2], part)
        rise = np.minimum(np.arange(len(part)), np.arange(len(part))[::-1])
        found[start : start + size] = part * np.minimum(1, rise / 400)
    return (0.5 * found / np.abs(found).max()).astype(np.float32)


def short(voice: Waveform) -> Waveform:
    """A second of speech in six of near silence."""
    longer = np.random.default_rng(0).normal(0, 1e-4, 6 * RATE)
    longer[2 * RATE : 3 * RATE] += voice[RATE : 2 * RATE]
    return longer


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (noisy, "too_noisy"),
        (narrow, "too_narrow"),
        (clipped, "clipped"),
        (whispered, "whispered"),
        (sung, "too_little_speech"),
        (short, "too_little_speech"),
    ],
)
def test_poor_sound_has_no_speech_score_and_says_what_is_wrong(
    spoilt: Callable[[Waveform], Waveform], code: str, scorer, voice, tmp_path, write_media
):
    path = write_media(tmp_path / "spoilt.wav", spoilt(voice).astype("f4"))
    card = scorer.score(path, ENGLISH).scorecard
    reasons = {entry.name: entry.code for entry in card.not_scored}
    assert {reasons[name] for name in ("fluency", "prosody")} == {code}
    assert "speech" not in {score.part for score in card.scores}
    assert card.human_review_required


def test_the_same_voice_unspoilt_is_scored(scorer, voice, tmp_path, write_media):
    card = scorer.score(write_media(tmp_path / "plain.wav", voice), ENGLISH).scorecard
    assert {"fluency", "prosody", "customer_focus"} <= {score.name for score in card.scores}


@pytest.mark.parametrize(
    ("measure", "limit", "beyond", "code"),
    [
        ("speech_s", LIMITS.min_speech_s, -0.1, "too_little_speech"),
        ("snr_db", LIMITS.min_snr_db, -0.1, "too_noisy"),
        ("bandwidth_hz", LIMITS.min_bandwidth_hz, -1, "too_narrow"),
        ("clipping_ratio", LIMITS.max_clipping_ratio, 0.001, "clipped"),
    ],
)
def test_the_limit_itself_still_serves_and_beyond_it_does_not(
    measure: str, limit: float, beyond: float, code: str
):
    assert unfit_for_speech(GOOD.model_copy(update={measure: limit}), voiced_ratio=0.6) is None
    found = unfit_for_speech(GOOD.model_copy(update={measure: limit + beyond}), voiced_ratio=0.6)
    assert found is not None
    assert found[0] == code


def test_speech_must_be_voiced():
    least = LIMITS.min_voiced_ratio
    assert unfit_for_speech(GOOD, voiced_ratio=least) is None
    found = unfit_for_speech(GOOD, voiced_ratio=least - 0.01)
    assert found == ("whispered", "14 % of the speech is voiced; 15 % are needed.")


@pytest.mark.parametrize(
    ("confidence", "error_rate", "code"),
    [
        (0.9, CONFIG.max_error_rate + 0.01, "transcript_uncertain"),
        (0.9, CONFIG.max_error_rate, None),
        (0.99 - CONFIG.max_error_rate, None, "transcript_uncertain"),
        (1.01 - CONFIG.max_error_rate, None, None),
        (None, None, None),
    ],
)
def test_words_of_which_too_many_are_expected_to_be_misheard_are_not_judged(
    confidence: float | None, error_rate: float | None, code: str | None, scorer
):
    job = job_named("relationship_manager")
    transcript = Transcript(
        text="I listened to the customer, found the wrong digit and called her back.",
        language="en",
        language_probability=1,
        confidence=confidence,
        error_rate=error_rate,
        source="recognised" if confidence else "supplied",
    )
    outcome = score_competency(
        scorer.versions["competency"],
        job,
        job.question("unhappy_customer"),
        transcript,
        "en",
        CONFIG,
    )
    reasons = {entry.name: entry.code for entry in outcome.not_scored}
    assert reasons.get("customer_focus") == code
    assert bool(outcome.scores) == (code is None)


DOUBTFUL = CONFIG.low_confidence - 0.01


def spoken(text: str, probability: float) -> list[tuple[str, float]]:
    """Its words as a recogniser writes them, each this sure."""
    return [(f" {word}", probability) for word in text.split()]


def heard(*words: tuple[str, float]) -> Transcript:
    """Words with how sure they are, two a second."""
    found = tuple(
        Word(text=text, start_s=i / 2, end_s=i / 2 + 0.4, probability=probability)
        for i, (text, probability) in enumerate(words)
    )
    text = "".join(word.text for word in found).strip()
    known = {"language": "en", "language_probability": 1, "confidence": 0.9, "error_rate": 0.1}
    return Transcript(text=text, words=found, source="recognised", **known)


def test_the_interval_reaches_as_far_as_the_score_moves_without_doubtful_words(scorer):
    answer = spoken("I apologised to the customer and found the wrong digit.", 0.95)
    doubtful = spoken("Then I called her back and explained the whole refund.", DOUBTFUL)
    job = job_named("relationship_manager")
    question, version = job.question("unhappy_customer"), scorer.versions["competency"]

    def score(transcript: Transcript) -> Score:
        return score_competency(version, job, question, transcript, "en", CONFIG).scores[0]

    whole = score(heard(*answer, *((word, 0.95) for word, _ in doubtful)))
    sure = score(heard(*answer))
    doubted = score(heard(*answer, *doubtful))
    assert doubted.score == whole.score
    moved = sure.score - whole.score
    assert abs(moved) > 1
    assert doubted.low == pytest.approx(max(0, whole.low + min(0, moved)), abs=0.03)
    assert doubted.high == pytest.approx(min(100, whole.high + max(0, moved)), abs=0.03)


@pytest.mark.parametrize(
    ("dropped_s", "code"),
    [
        (20 * CONFIG.max_dropped_share + 0.1, "transcript_uncertain"),
        (20 * CONFIG.max_dropped_share, None),
    ],
)
def test_an_answer_of_which_too_much_was_not_recognised_is_not_judged_on_the_rest(
    dropped_s: float, code: str | None, scorer
):
    job = job_named("relationship_manager")
    transcript = Transcript(
        text="I listened to the customer, found the wrong digit and called her back.",
        language="en",
        language_probability=1,
        confidence=0.9,
        speech_s=20,
        dropped_s=dropped_s,
        source="recognised",
    )
    question = job.question("unhappy_customer")
    version = scorer.versions["competency"]
    outcome = score_competency(version, job, question, transcript, "en", CONFIG)
    reasons = {entry.name: entry.code for entry in outcome.not_scored}
    assert reasons.get("customer_focus") == code
    assert bool(outcome.scores) == (code is None)


def test_words_lost_in_a_loop_of_the_recogniser_ask_for_a_person(scorer, tmp_path, write_media):
    whole = open_recording(SAMPLE).waveform
    loop = np.tile(whole[int(8.6 * RATE) : int(10.2 * RATE)], 14)
    answer = np.concatenate([whole[: int(16.4 * RATE)], np.zeros(RATE, "f4"), loop])
    card = scorer.score(write_media(tmp_path / "loop.wav", answer), ENGLISH).scorecard
    assert card.transcript.text
    assert {e.name: e.code for e in card.not_scored}["customer_focus"] == "transcript_uncertain"
    missing = f"the words of {card.transcript.dropped_s:.1f} s of speech are missing"
    assert missing in card.human_review_reasons
    assert sentence(missing).zh == f"有 {card.transcript.dropped_s:.1f} 秒的讲话未能识别成文字"
