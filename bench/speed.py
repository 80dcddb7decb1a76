"""Seconds to score a recording, warm, beside the usual stack on the same file in the same run."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
from rich.progress import track
from rich.table import Table

from bench import peer
from bench.measure import REQUEST, Spread, console, spread, starter_state, timed
from data.assets import fetch
from data.console import console as aside
from data.contract import Quality, Score, Scored
from data.recording import audio_quality, base_quality, open_recording
from data.speech import SpeechFeatures, speech_features
from data.transcript import Decoded

if TYPE_CHECKING:
    from serving.scorer import Scorer

GOAL_S = 8.0
"""For 40 s with picture on 2 cores."""

GOAL_RATIO = 5.0

PARTS = {
    "sound": ("decode the sound", "the same decoder"),
    "words": (
        "find speech, encode, words with times",
        "log-mel, Whisper base float32, greedy, times",
    ),
    "pitch": ("F0, measures of delivery, features", "librosa.pyin"),
    "face": ("decode, face when it moves, curves, stills", "OpenCV, FaceLandmarker, every frame"),
    "scores": ("heads, content, evidence", "none"),
}
"""Part -> what we do in it, what the usual stack does in it."""


class PartsDiffer(Exception):
    """What was timed part by part gave other scores than the scorer: the rows mean nothing."""


@dataclass(frozen=True)
class Run:
    """One pass over the recording.

    wall_s : of the whole
    cpu_s : of the whole, all threads together; other work on the machine hardly moves it
    parts : seconds of each part run alone
    """

    wall_s: float
    cpu_s: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Stack:
    """All passes of one stack."""

    runs: list[Run] = field(default_factory=list)

    @property
    def wall(self) -> Spread:
        """Seconds on the wall clock."""
        return spread([run.wall_s for run in self.runs])

    @property
    def cpu(self) -> Spread:
        """Seconds of processor time."""
        return spread([run.cpu_s for run in self.runs])

    def part(self, name: str) -> Spread | None:
        """Seconds of one part; None where this stack has none."""
        found = [run.parts[name] for run in self.runs if name in run.parts]
        return spread(found) if found else None

    @property
    def parts_s(self) -> float:
        """Median seconds of all parts, one after the other."""
        return spread([sum(run.parts.values()) for run in self.runs]).median


@dataclass(frozen=True)
class Comparison:
    """Both stacks on one recording. usual : None where it is not installed.

    tokens : that the usual stack generated for each window of 30 s
    frames : that the usual stack looked at
    threads : of torch, one number a run
    """

    duration_s: float
    ours: Stack
    usual: Stack | None
    tokens: int = 0
    frames: int = 0
    threads: tuple[int, ...] = ()


def speed(path: Path, repeats: int) -> dict[str, object]:
    """Print the table; the numbers of both stacks.

    Where the usual stack is missing, the command that installs it is named and ours
    stand alone.
    """
    if absent := peer.missing():
        aside.print(
            f"the usual stack lacks {', '.join(absent)}; only ours is measured. "
            f"To install it: {peer.INSTALL}",
            soft_wrap=True,
            markup=False,
        )
    comparison = _measured(path, repeats, beside=not absent)
    _print(path, comparison)
    return {"file": path.name, "repeats": repeats, **_numbers(comparison)}


def _measured(path: Path, repeats: int, *, beside: bool) -> Comparison:
    """The two take turns, so that other work on the machine meets both."""
    from serving.scorer import Scorer

    with starter_state(), Scorer.load() as scorer:
        first = scorer.score(path, REQUEST)
        duration_s, ours = first.scorecard.quality.duration_s, Stack()
        if not beside:
            for _ in track(range(repeats), "scoring", console=aside):
                ours.runs.append(_our_run(scorer, path))
            return Comparison(duration_s, ours, None)
        usual, tokens, frames, threads = Stack(), tokens_per_window(first), 0, list[int]()
        with peer.Peer(tokens) as stack:
            for _ in track(range(repeats), "ours, theirs", console=aside):
                ours.runs.append(_our_run(scorer, path))
                run, frames = _usual_run(stack, path)
                usual.runs.append(run)
                threads.append(stack.threads)
        return Comparison(duration_s, ours, usual, tokens, frames, tuple(threads))


def tokens_per_window(scored: Scored) -> int:
    """Tokens of our own transcript for each window of 30 s: what the peer must generate."""
    transcript = scored.scorecard.transcript
    text = transcript.text if transcript else ""
    tokenizer = tokenizers.Tokenizer.from_file(str(fetch("whisper-base") / "tokenizer.json"))
    windows = ceil(scored.scorecard.quality.duration_s / peer.WINDOW_S)
    return max(1, round(len(tokenizer.encode(text, add_special_tokens=False).ids) / windows))


def _our_run(scorer: Scorer, path: Path) -> Run:
    begun_s = time.process_time()
    scored, wall_s = timed(lambda: scorer.score(path, REQUEST))
    cpu_s = time.process_time() - begun_s
    seconds, scores = _our_parts(scorer, path)
    if not scores or scores != scored.scorecard.scores:
        raise PartsDiffer(
            f"The parts gave {_named(scores)}, the scorer {_named(scored.scorecard.scores)}: what "
            "was timed part by part is not what the scorer does. Bring bench/speed.py up to it."
        )
    return Run(wall_s, cpu_s, seconds)


def _named(scores: tuple[Score, ...]) -> str:
    return ", ".join(f"{score.name} {score.score:.2f}" for score in scores) or "no scores"


def _our_parts(scorer: Scorer, path: Path) -> tuple[dict[str, float], tuple[Score, ...]]:
    """What `Scorer.score` does, part after part; there the face runs beside the sound."""
    from serving.expression import score_expression

    seconds: dict[str, float] = {}
    recording, seconds["sound"] = timed(lambda: open_recording(path))
    assert recording.waveform is not None, "the measured recording has sound"
    waveform, quality = recording.waveform, base_quality(recording)
    listening, listened_s = timed(lambda: scorer.listener.listen(waveform))
    decoded, written_s = timed(
        lambda: scorer.recogniser.decode(
            listening,
            expected=REQUEST.language,
            hotwords=scorer.check(REQUEST)[0].hotwords_in(REQUEST.language or ""),
        )
    )
    seconds["words"] = listened_s + written_s
    features, seconds["pitch"] = timed(lambda: speech_features(listening, decoded))
    version = scorer.versions["expression"]
    seen, seconds["face"] = timed(
        lambda: score_expression(version, recording, quality, scorer.tracker)
    )
    heard = quality.model_copy(update=audio_quality(waveform, list(listening.segments)))
    scores, seconds["scores"] = timed(lambda: _our_scores(scorer, features, decoded, heard))
    return seconds, scores + seen.outcome.scores


def _our_scores(
    scorer: Scorer, features: SpeechFeatures, decoded: Decoded, quality: Quality
) -> tuple[Score, ...]:
    from serving.competency import score_competency
    from serving.speech import score_speech

    job, question, _ = scorer.check(REQUEST)
    expected, versions = REQUEST.language or job.language, scorer.versions
    spoken = score_speech(versions["speech"], features, decoded, quality, scorer.config)
    transcript = scorer.recogniser.transcript(decoded)
    said = score_competency(
        versions["competency"], job, question, transcript, expected, scorer.config
    )
    return spoken.scores + said.scores


def _usual_run(stack: peer.Peer, path: Path) -> tuple[Run, int]:
    stack.choose_threads()
    begun_s = time.process_time()
    done, wall_s = timed(lambda: stack.run(path))
    cpu_s = time.process_time() - begun_s
    parts = {
        "sound": done.sound_s,
        "words": done.words_s,
        "pitch": done.pitch_s,
        "face": done.face_s,
    }
    return Run(wall_s, cpu_s, parts), done.frames


def _ratio(ours: float, usual: float | None) -> float | None:
    return None if usual is None else usual / ours


def _numbers(comparison: Comparison) -> dict[str, object]:
    ours, usual, duration_s = comparison.ours, comparison.usual, comparison.duration_s
    return {
        "duration_s": duration_s,
        "ours": _summary(ours, duration_s),
        "usual": _summary(usual, duration_s) if usual else None,
        "ratio": _ratio(ours.wall.median, usual.wall.median if usual else None),
        "ratio_parts_in_turn": _ratio(ours.parts_s, usual.parts_s if usual else None),
        "ratio_cpu": _ratio(ours.cpu.median, usual.cpu.median if usual else None),
        "ratio_fastest": _ratio(ours.wall.low, usual.wall.low if usual else None),
        "goal_s": GOAL_S,
        "goal_ratio": GOAL_RATIO,
        "usual_tokens_per_window": comparison.tokens,
        "usual_frames": comparison.frames,
        "usual_threads": comparison.threads,
    }


def _summary(stack: Stack, duration_s: float) -> dict[str, object]:
    parts = {name: found.median for name in PARTS if (found := stack.part(name))}
    return {
        "total_s": asdict(stack.wall),
        "cpu_s": asdict(stack.cpu),
        "real_time_factor": stack.wall.median / duration_s,
        "parts_s": parts,
    }


def _print(path: Path, comparison: Comparison) -> None:
    ours, usual, duration_s = comparison.ours, comparison.usual, comparison.duration_s
    table = Table(title=f"{path.name}, {duration_s:.0f} s: seconds, median (range)")
    for title in ("part", "ours", "usual stack", "ratio", "we do", "the usual stack does"):
        table.add_column(title, overflow="fold")
    for name, (we, they) in PARTS.items():
        table.add_row(*_row(name, ours.part(name), usual.part(name) if usual else None), we, they)
    table.add_section()
    wall, cpu = (usual.wall, usual.cpu) if usual else (None, None)
    table.add_row(*_row("total", ours.wall, wall), "face beside sound", "one after the other")
    table.add_row(*_row("processor", ours.cpu, cpu), "all threads", "all threads")
    factors = [f"{stack.wall.median / duration_s:.3f}" if stack else "–" for stack in (ours, usual)]
    table.add_row("of real time", *factors)
    console.print(table)
    if usual:
        console.print(
            f"The usual Whisper has random weights of base size and must generate "
            f"{comparison.tokens} tokens in each 30 s window, as many as our transcript has: only "
            f"time is compared. FaceLandmarker (video mode, one face) saw {comparison.frames} "
            f"frames. Torch used {' and '.join(map(str, sorted({*comparison.threads})))} of "
            f"{os.cpu_count()} threads, the faster at each run. Loading and compiling are outside "
            "the measured time, on both sides."
        )


def _row(name: str, ours: Spread | None, usual: Spread | None) -> tuple[str, str, str, str]:
    ratio = f"{usual.median / ours.median:.1f}×" if ours and usual else "–"
    return name, str(ours or "–"), str(usual or "–"), ratio
