"""Recording → Scorecard. Plain Python: HTTP, batch and tests all call this.

Each part is scored by its champion or says why it is not. The parts do not know of
each other; only the total joins them, by the job's weights.
"""

from __future__ import annotations

import uuid
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np

import configs
from data import embedding, question_bank
from data.contract import (
    ContractMismatch,
    Curve,
    Exhibit,
    Manifest,
    Quality,
    Score,
    Scorecard,
    Scored,
    ScoreRequest,
    Transcript,
)
from data.face import FaceTracker
from data.jobs import LANGUAGES, Job, Question
from data.jobs import job as job_named
from data.listening import Listener, Listening, identity
from data.recognisers import recogniser
from data.recording import Recording, audio_quality, base_quality, open_recording
from data.speech import Sound, level, sound_of, speech_features
from data.transcript import NOTHING, Decoded, Recogniser, supplied
from data.weights import read_weights
from serving.competency import score_competency
from serving.expression import NAME as EXPRESSION_NAME
from serving.expression import Seen, score_expression
from serving.models import LoadedVersion, load_champions
from serving.parts import Outcome, refused
from serving.scoring import ScoringConfig
from serving.settings import Policy, ServingConfig, load_config
from serving.speech import score_speech
from serving.total import Total, asked_weights, total

LEVEL_POINTS = 600
"""Points of the level curve a report draws."""


class UnknownRegion(ValueError):
    """No policy of that name; the message names those there are."""


@dataclass(frozen=True)
class Heard:
    """The sound of a recording, once listened to.

    decoded : the words that delivery is judged by, `und` without speech
    transcript : the words the answer is judged by: the caller's, else as recognised
    """

    listening: Listening
    sound: Sound | None
    decoded: Decoded
    transcript: Transcript
    quality: Quality


class Scorer:
    """The champions and the extractors, loaded once; safe to share between threads."""

    def __init__(
        self,
        versions: dict[str, LoadedVersion],
        policies: dict[str, Policy],
        scoring: ScoringConfig | None = None,
    ) -> None:
        self.versions = versions
        self.policies = policies
        self.config = scoring or configs.load("scoring", ScoringConfig)
        self.weights = read_weights(versions["weights"].folder / "weights.json")
        self.listener = _listener(versions["speech"].manifest)
        self.recogniser = recogniser(self.listener)
        self.whisper = Recogniser(self.listener)
        self.tracker = FaceTracker()
        embedding.load()
        for code in LANGUAGES:
            question_bank.load(code)

    @classmethod
    def load(cls, config: ServingConfig | None = None) -> Self:
        """The champions of this machine's registry. Raises ContractMismatch."""
        config = config or load_config()
        return cls(load_champions(), config.policies)

    def close(self) -> None:
        """Give back what the face model holds."""
        self.tracker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(self, path: Path, request: ScoreRequest, *, id: str | None = None) -> Scored:
        """The scorecard of one recording, with what its report draws.

        Raises UnusableRecording, UnknownJob, UnknownQuestion, UnknownRegion.
        """
        job, question, policy = self.check(request)
        recording = open_recording(path)
        with ThreadPoolExecutor(2) as beside:
            face = beside.submit(self._see, recording, request, policy)
            heard = self._hear(recording, request, job, beside)
            outcome = _join(
                self._speech(heard, recording, request),
                self._competency(heard, recording, request, job, question),
            )
            seen = face.result()
        return self._scored(recording, request, heard, seen, _join(outcome, seen.outcome), id)

    def check(self, request: ScoreRequest) -> tuple[Job, Question | None, Policy]:
        """What the request names. Raises UnknownJob, UnknownQuestion, UnknownRegion."""
        job = job_named(request.job)
        question = job.question(request.question) if request.question else None
        if request.policy_region not in self.policies:
            known = ", ".join(sorted(self.policies))
            raise UnknownRegion(f"unknown policy region {request.policy_region!r}; known: {known}")
        return job, question, self.policies[request.policy_region]

    def _hear(
        self, recording: Recording, request: ScoreRequest, job: Job, beside: Executor
    ) -> Heard:
        quality = base_quality(recording)
        expected = request.language or job.language
        written = supplied(request.transcript, expected) if request.transcript else None
        if recording.waveform is None:
            nothing = Listening(np.zeros(0, np.float32), (), ())
            silent = written or self.recogniser.transcript(NOTHING)
            return Heard(nothing, None, NOTHING, silent, quality)
        listening = self.listener.listen(recording.waveform)
        sound = beside.submit(sound_of, listening) if listening.segments else None
        quality = quality.model_copy(
            update=audio_quality(recording.waveform, list(listening.segments))
        )
        decoded = self.recogniser.decode(
            listening, expected=expected, hotwords=job.hotwords_in(expected)
        )
        transcript = written or self.recogniser.transcript(decoded)
        return Heard(
            listening,
            sound.result() if sound is not None else None,
            self._as_learned(decoded, listening),
            transcript,
            quality,
        )

    def _as_learned(self, decoded: Decoded, listening: Listening) -> Decoded:
        """As the speech version's people were heard: by the Whisper that listens.

        Another recogniser's words serve where no score is given, for filled pauses.
        """
        learned = self.versions["speech"].manifest.validated_languages
        if type(self.recogniser) is Recogniser or decoded.language not in learned:
            return decoded
        return self.whisper.decode(listening, known=decoded.language)

    def _speech(self, heard: Heard, recording: Recording, request: ScoreRequest) -> Outcome:
        version = self.versions["speech"]
        names = [target.name for target in version.manifest.targets]
        if "no_speech" in request.accommodations:
            return refused("speech", names, "accommodation", "Not scored at the candidate's wish.")
        if recording.audio_problem is not None:
            return refused("speech", names, *recording.audio_problem)
        features = speech_features(heard.listening, heard.decoded, heard.sound)
        return score_speech(version, features, heard.decoded, heard.quality, self.config)

    def _competency(
        self,
        heard: Heard,
        recording: Recording,
        request: ScoreRequest,
        job: Job,
        question: Question | None,
    ) -> Outcome:
        if recording.audio_problem is not None and not request.transcript:
            names = [question.competency] if question else list(job.competencies)
            return refused("competency", names, *recording.audio_problem)
        expected = request.language or job.language
        return score_competency(
            self.versions["competency"], job, question, heard.transcript, expected, self.config
        )

    def _see(self, recording: Recording, request: ScoreRequest, policy: Policy) -> Seen:
        quality = base_quality(recording)
        names = [EXPRESSION_NAME]
        if not policy.expression:
            reason = f"Not measured: the policy of region {request.policy_region} forbids it."
            return Seen(refused("expression", names, "off_in_region", reason), quality)
        if "no_expression" in request.accommodations:
            reason = "Not measured at the candidate's wish."
            return Seen(refused("expression", names, "accommodation", reason), quality)
        if policy.requires_face_consent and not request.face_consent:
            reason = "Not measured: the candidate gave no separate consent for the face."
            return Seen(refused("expression", names, "no_face_consent", reason), quality)
        return score_expression(
            self.versions["expression"],
            recording,
            quality,
            self.tracker,
            stills=bool(request.face_consent),
        )

    def _scored(
        self,
        recording: Recording,
        request: ScoreRequest,
        heard: Heard,
        seen: Seen,
        outcome: Outcome,
        id: str | None,
    ) -> Scored:
        job, question, _ = self.check(request)
        joined = self._total(outcome.scores, job, question)
        reasons = _review_reasons(outcome, heard.transcript)
        scorecard = Scorecard(
            id=id or str(uuid.uuid4()),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            status="completed" if outcome.scores else "abstained",
            request=request,
            language=heard.transcript.language,
            input_sha256=recording.sha256,
            quality=_picture_into(heard.quality, seen.quality),
            transcript=heard.transcript if heard.transcript.text else None,
            scores=outcome.scores,
            not_scored=outcome.not_scored,
            total=joined.value,
            total_low=joined.low,
            total_high=joined.high,
            total_reason=joined.reason,
            measures=outcome.measures,
            weights=joined.weights,
            weights_version=self.versions["weights"].version,
            versions=tuple(version.reference for version in self.versions.values()),
            human_review_required=bool(reasons),
            human_review_reasons=reasons,
        )
        exhibit = Exhibit(
            speech_segments=heard.listening.segments,
            level=_level_curve(heard.listening),
            delivery=outcome.course,
            moments=outcome.moments,
            expression=seen.curves,
            key_frames=seen.key_frames,
        )
        return Scored(scorecard, exhibit)

    def _total(self, scores: tuple[Score, ...], job: Job, question: Question | None) -> Total:
        if job.key not in self.weights:
            reason = f"The weights version knows no job {job.key}."
            return Total(None, None, None, reason, {})
        asked = asked_weights(self.weights[job.key].predictors, question)
        return total(scores, asked, job, min_share=self.config.min_total_share)


def _listener(manifest: Manifest) -> Listener:
    """Raises ContractMismatch where the speech version learned from another encoder's features."""
    listener = Listener()
    here = identity(listener.config)
    if manifest.listened_with not in ("", here):
        raise ContractMismatch(
            f"speech: the version learned from features of {manifest.listened_with!r}, "
            f"configs/listening.yaml gives {here!r}. Use the encoder and settings it was trained "
            "with, or retrain it."
        )
    return listener


def _join(*outcomes: Outcome) -> Outcome:
    return Outcome(
        scores=tuple(score for outcome in outcomes for score in outcome.scores),
        not_scored=tuple(entry for outcome in outcomes for entry in outcome.not_scored),
        measures=tuple(measure for outcome in outcomes for measure in outcome.measures),
        course=tuple(curve for outcome in outcomes for curve in outcome.course),
        moments=tuple(moment for outcome in outcomes for moment in outcome.moments),
    )


def _picture_into(heard: Quality, seen: Quality) -> Quality:
    picture = {"one_face_share", "face_frames", "brightness"}
    return heard.model_copy(update=seen.model_dump(include=picture))


def _review_reasons(outcome: Outcome, transcript: Transcript) -> tuple[str, ...]:
    """Why a person must look before anyone acts on this scorecard."""
    reasons = []
    if any(score.provisional for score in outcome.scores):
        names = ", ".join(score.name for score in outcome.scores if score.provisional)
        reasons.append(f"provisional scores: {names}")
    ignored = {"no_head", "off_in_region", "no_face_consent", "not_asked"}
    if absent := [entry for entry in outcome.not_scored if entry.code not in ignored]:
        reasons.append("not scored: " + ", ".join(f"{e.name} ({e.code})" for e in absent))
    if transcript.source == "supplied":
        reasons.append("the transcript was supplied by the caller")
    if transcript.dropped_s:
        reasons.append(f"the words of {transcript.dropped_s:.1f} s of speech are missing")
    return tuple(reasons)


def _level_curve(listening: Listening) -> Curve | None:
    times_s, level_db = level(listening.waveform)
    if not len(times_s):
        return None
    step = max(1, len(times_s) // LEVEL_POINTS)
    return Curve(
        name="level",
        unit="dB",
        meaning="level of the sound, normalised",
        times_s=tuple(round(float(time), 2) for time in times_s[::step]),
        values=tuple(round(float(value), 1) for value in level_db[::step]),
    )
