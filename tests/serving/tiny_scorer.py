"""A scorer small enough for tests of the service around it.

It really reads the recording: the score is the share of samples that are not zero, in
points of 100. TINY_SECONDS makes it slow; TINY_JOURNAL gets a line at each begin and end.
"""

import hashlib
import os
import time
import wave
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.contract import (
    ContractMismatch,
    Exhibit,
    Manifest,
    Quality,
    Score,
    Scorecard,
    Scored,
    ScoreRequest,
    UnusableRecording,
)
from serving.runtime import Models, Version


def recording(path: Path, *, sounding: float, duration_s: float = 1.0) -> Path:
    """A WAV file whose first `sounding` share of samples is not zero."""
    samples = np.zeros(int(16_000 * duration_s), np.int16)
    samples[: int(len(samples) * sounding)] = 1000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def note(line: str) -> None:
    if journal := os.environ.get("TINY_JOURNAL"):
        with open(journal, "a") as file:
            file.write(line + "\n")


def score(path: Path, request: ScoreRequest) -> Scored:
    plain = path.read_bytes()
    digest = hashlib.sha256(plain).hexdigest()
    note(f"begin {digest}")
    time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
    if plain.startswith(b"bug"):
        raise ZeroDivisionError(plain.decode())
    if not plain.startswith(b"RIFF"):
        raise UnusableRecording("not_media", "This is not a recording; please record again.")
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        duration_s = file.getnframes() / file.getframerate()
    note(f"end {digest}")
    return Scored(
        _scorecard(request, digest, duration_s, 100 * float(np.mean(samples != 0))), Exhibit()
    )


def _scorecard(request: ScoreRequest, digest: str, duration_s: float, points: float) -> Scorecard:
    low, high = max(points - 10, 0), min(points + 10, 100)
    return Scorecard(
        id="given by the service",
        created_at="2026-11-23T00:00:00Z",
        status="completed",
        request=request,
        language="zh",
        input_sha256=digest,
        quality=Quality(duration_s=duration_s),
        transcript=None,
        scores=(
            Score(
                part="speech",
                name="fluency",
                score=points,
                low=low,
                high=high,
                provisional=False,
                version="1",
            ),
        ),
        not_scored=(),
        total=points,
        weights_version="1",
        versions=(),
        human_review_required=False,
    )


MANIFEST = Manifest(
    name="speech", feature_set="speech-1-tiny", learned_from="nothing", created_at="2026-11-23"
)


@dataclass(frozen=True)
class TinyVersion:
    """What the service reads of a registered version."""

    manifest: Manifest = MANIFEST
    version: str = "1"

    @property
    def card_json(self) -> str:
        from evaluation.card import Card

        return Card().model_dump_json()

    @property
    def card_markdown(self) -> str:
        from evaluation.card import Card

        return Card().to_markdown()


def models() -> Models:
    """The tiny scorer and its one version, where the service expects the registry's."""
    return Models(lambda: {"speech": TinyVersion()}, _no_other, lambda config: nullcontext(score))


def _no_other(name: str, version: str) -> Version:
    raise ContractMismatch(f"no {name} {version}")
