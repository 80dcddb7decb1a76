"""Rated utterances and their features: what the speech version is learned from and judged on.

Each utterance is heard three times: by itself, as the experts rated it; between others of its
speaker, as in an answer, for what stands beside a sentence moves what the encoder makes of it;
and recorded worse, as by a telephone in a room with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import configs
from data.contract import SAMPLE_RATE, SPEECH, SPEECH_MEASURES
from data.corpora import speechocean762
from data.listening import Listener, Segment, identity
from data.outcomes import BadTable
from data.recording import Waveform
from data.speech import SpeechConfig, speech_features
from data.transcript import Recogniser, TranscriptConfig
from training import fit, robustness
from training.conditions import opened
from training.robustness import Worse
from training.tuning import Waveforms

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

DISAGREEMENT = 0.6
"""Share of the doubt about a rating that is in proportion to the variance of its experts:
none gave r .8624 and .8575, .3 .8630 and .8582, .6 .8632 and .8585 (five folds, kernel ridge)."""


@dataclass(frozen=True)
class Stretches:
    """Pieces of utterances.

    rows : (stretches, SPEECH width); owner : (stretches,) row of the table they are of
    answer : (stretches,) number of the recording that each is a part of
    """

    rows: npt.NDArray[np.float32]
    owner: Rows
    durations_s: Floats
    answer: Rows

    @classmethod
    def of(cls, found: Sequence[dict[str, fit.Matrix]], members: Sequence[Rows]) -> Stretches:
        """Of arrays of recordings; members : rows of the table that each is made of."""
        counts = [len(arrays["rows"]) for arrays in found]
        places = [arrays.get("place", np.zeros(n)) for arrays, n in zip(found, counts, strict=True)]
        empty = np.empty((0, len(SPEECH.columns)))
        return cls(
            rows=np.concatenate([empty, *(a["rows"] for a in found)]).astype(np.float32),
            owner=np.concatenate(
                [
                    np.empty(0, np.intp),
                    *(m[place.astype(int)] for m, place in zip(members, places, strict=True)),
                ]
            ),
            durations_s=np.concatenate([np.empty(0), *(a["durations_s"] for a in found)]),
            answer=np.repeat(np.arange(len(found)), counts),
        )


@dataclass(frozen=True)
class Examples:
    """Rated utterances and their stretches.

    table : one row an utterance that has speech
    rows : (stretches, SPEECH width); owner : (stretches,) row of `table`
    in_answers : the same utterances once more, each said between others of the same person
    worse : and once more, each recorded worse in one way or other
    waveforms : of each stretch (samples,); none where no encoder is tuned
    measures : (utterances, SPEECH_MEASURES) NaN where there is none
    unheard : rows of utterances in which no speech was found
    """

    table: pd.DataFrame
    rows: npt.NDArray[np.float32]
    waveforms: list[npt.NDArray[np.floating]]
    owner: Rows
    durations_s: Floats
    measures: Floats
    unheard: pd.DataFrame
    in_answers: Stretches
    worse: Stretches

    def learned_from(self, train: Rows, *, worse: bool) -> tuple[npt.NDArray[np.float32], Rows]:
        """Rows and owners of all stretches of the utterances `train`, however they were heard.

        worse : whether recorded worse, too
        """
        parts = (self, self.in_answers, *((self.worse,) if worse else ()))
        used = [np.isin(part.owner, train) for part in parts]
        rows = [part.rows[chosen] for part, chosen in zip(parts, used, strict=True)]
        owner = [part.owner[chosen] for part, chosen in zip(parts, used, strict=True)]
        return np.concatenate(rows), np.concatenate(owner)

    def waveforms_of(self, stretches: Rows) -> Waveforms:
        """None where no encoder is tuned."""
        return [self.waveforms[int(i)] for i in stretches] if self.waveforms else []

    @property
    def people(self) -> npt.NDArray[np.str_]:
        """(utterances,) speakers."""
        return self.table["person"].to_numpy(dtype=str)

    @property
    def aspects(self) -> tuple[str, ...]:
        """What the experts rated."""
        return speechocean762.aspects(self.table)

    def mean(self) -> Floats:
        """(utterances, aspects) mean of the experts, points of 100: what is learned."""
        return np.column_stack(
            [np.nanmean(speechocean762.ratings(self.table, a), axis=1) for a in self.aspects]
        )

    def doubt(self) -> Floats:
        """(utterances, aspects) about the mean: how much its experts disagree, 1 on average."""
        spread = np.column_stack(
            [np.nanvar(speechocean762.ratings(self.table, a), axis=1) for a in self.aspects]
        )
        usual = spread.mean(axis=0)
        return 1 - DISAGREEMENT + DISAGREEMENT * spread / np.where(usual > 0, usual, np.inf)

    def median(self) -> Floats:
        """(utterances, aspects) median of the experts, points of 100: what it is judged by."""
        return np.column_stack(
            [np.nanmedian(speechocean762.ratings(self.table, a), axis=1) for a in self.aspects]
        )


def examples(
    folder: Path,
    store: Path,
    *,
    languages: tuple[str, ...],
    whole: bool,
    workers: int,
    seed: int | None = None,
) -> Examples:
    """The rated utterances of a folder that `speechocean762.read` reads, with features (cached).

    What an utterance has no rating of at all is not learned: it is left out.

    languages : that are spoken; where there is one, it is not told from the sound
    whole : whether waveforms are kept, for an encoder that is tuned
    seed : of what is learned from beside them as they are; None where nothing is learned
    """
    table = _rated_fully(speechocean762.read(folder))
    hearing = Hearing.of(languages, whole=whole)
    found = fit.features(
        speechocean762.paths(table),
        hearing.utterance,
        store=store,
        identity=hearing.identity,
        label="speech features",
        workers=workers,
    )
    heard = [i for i, arrays in enumerate(found) if len(arrays["rows"])]
    counts = [len(found[i]["rows"]) for i in heard]
    known = table.iloc[heard].reset_index(drop=True)
    again = Again(known, replace(hearing, whole=False), store, workers)
    return Examples(
        table=known,
        in_answers=Stretches.of((), ()) if seed is None else again.in_answers(seed),
        worse=Stretches.of((), ()) if seed is None else again.worse(),
        rows=np.concatenate([found[i]["rows"] for i in heard]).astype(np.float32),
        waveforms=[part for i in heard for part in parted(found[i])],
        owner=np.repeat(np.arange(len(heard)), counts),
        durations_s=np.concatenate([found[i]["durations_s"] for i in heard]),
        measures=np.stack([found[i]["measures"] for i in heard]),
        unheard=table.drop(index=table.index[heard]),
    )


@dataclass(frozen=True)
class Again:
    """Utterances of a table heard once more in other ways (cached)."""

    table: pd.DataFrame
    hearing: Hearing
    store: Path
    workers: int

    def in_answers(self, seed: int) -> Stretches:
        """Joined to answers."""
        paths = speechocean762.paths(self.table)
        joined = answers(self.table["person"].to_numpy(str), seed=seed)
        found = fit.features(
            [tuple(paths[i] for i in members) for members in joined],
            self.hearing.answer,
            store=self.store,
            identity=f"{self.hearing.identity} joined by {BETWEEN_S} s",
            label="the same in answers",
            workers=self.workers,
        )
        return Stretches.of(found, joined)

    def worse(self) -> Stretches:
        """Recorded worse."""
        paths = speechocean762.paths(self.table)
        others = robustness.others(paths)
        made_of = fit.digest(robustness.learned(), others.babble, others.talker)
        found = fit.features(
            paths,
            Worse(others, self.hearing),
            store=self.store,
            identity=f"{self.hearing.identity} recorded worse {made_of}",
            label="the same recorded worse",
            workers=self.workers,
        )
        return Stretches.of(found, [np.array([i]) for i in range(len(paths))])


def parted(arrays: dict[str, fit.Matrix]) -> Waveforms:
    """The waveform of each stretch, where they were kept."""
    ends = np.cumsum(arrays["lengths"]).astype(int)
    return np.split(arrays["waveforms"], ends[:-1]) if len(ends) else []


def _rated_fully(table: pd.DataFrame) -> pd.DataFrame:
    """Utterances of which every aspect has at least one rating. Raises BadTable if none has."""
    rated = [speechocean762.ratings(table, aspect) for aspect in speechocean762.aspects(table)]
    known = np.all([np.isfinite(ratings).any(axis=1) for ratings in rated], axis=0)
    if not known.any():
        raise BadTable("no utterance has a rating of every aspect that was rated")
    return table[known].reset_index(drop=True)


@lru_cache(maxsize=1)
def _whisper() -> Recogniser:
    """One a worker process."""
    return Recogniser(Listener(at_once=1))


@dataclass(frozen=True)
class Hearing:
    """How utterances become arrays.

    known : language that is spoken, where it is known
    whole : whether waveforms are kept, for an encoder that is tuned
    """

    known: str | None
    whole: bool

    @classmethod
    def of(cls, languages: tuple[str, ...], *, whole: bool) -> Hearing:
        """Where one language is spoken, it is not told from the sound."""
        return cls(languages[0] if len(languages) == 1 else None, whole)

    @property
    def identity(self) -> str:
        """What the arrays depend on."""
        measured_with = configs.load("speech_measures", SpeechConfig)
        written_with = configs.load("transcript", TranscriptConfig)
        decoded_with = written_with.model_dump_json(
            include={"beam_size", "max_compression", "max_units_per_s"}
        )
        settings = f"{measured_with.model_dump_json()} {decoded_with}"
        kept = "with waveforms" if self.whole else ""
        return f"{SPEECH.id} {identity()} {self.known} {kept} {settings}"

    def utterance(self, path: Path) -> dict[str, fit.Matrix]:
        """Arrays of a file."""
        waveform = opened(path)
        if waveform is None:
            return {"rows": np.empty((0, len(SPEECH.columns))), "durations_s": np.empty(0)}
        return self(waveform)[0]

    def answer(self, paths: tuple[Path, ...]) -> dict[str, fit.Matrix]:
        """Arrays of the files said one after another; `place` says of which each stretch is."""
        waveforms = [opened(path) for path in paths]
        silence = np.zeros(round(BETWEEN_S * SAMPLE_RATE), np.float32)
        joined = [part for sound in waveforms if sound is not None for part in (sound, silence)]
        lengths = [0 if sound is None else len(sound) + len(silence) for sound in waveforms]
        ends_s = np.cumsum(lengths) / SAMPLE_RATE
        arrays, _ = self(np.concatenate(joined), ends_s=(ends_s - BETWEEN_S / 2).tolist())
        middles_s = arrays.pop("middles_s")
        return arrays | {"place": np.searchsorted(ends_s, middles_s).astype(np.float32)}

    def __call__(
        self, waveform: Waveform, *, ends_s: Sequence[float] = ()
    ) -> tuple[dict[str, fit.Matrix], tuple[Segment, ...]]:
        """Arrays of an answer (rows of its stretches, …), and where it speaks.

        ends_s : of its sentences
        """
        whisper = _whisper()
        listening = whisper.listener.listen(waveform)
        decoded = whisper.decode(listening, known=self.known)
        found = speech_features(listening, decoded, ends_s=ends_s)
        measured = [found.measures[column.name] for column in SPEECH_MEASURES]
        kept = [part.astype(np.float16) for part in found.waveforms] if self.whole else []
        arrays: dict[str, fit.Matrix] = {
            "rows": found.rows,
            "waveforms": np.concatenate([np.empty(0, np.float16), *kept]),
            "lengths": np.array([len(part) for part in kept], np.float32),
            "durations_s": found.durations_s,
            "middles_s": np.array([(a + b) / 2 for a, b in found.stretches], np.float32),
            "measures": np.array([np.nan if value is None else value for value in measured]),
        }
        return arrays, listening.segments


BETWEEN_S = 0.7
"""Silence between sentences that are joined to an answer; they bring some of their own."""

SENTENCES = 6
"""Of one person that make an answer: half a minute, which is more than one window."""


def answers(people: npt.NDArray[np.str_], *, seed: int) -> list[Rows]:
    """Rows of each answer: all of a person's, in random order, SENTENCES at a time."""
    random = np.random.default_rng(seed)
    found: list[Rows] = []
    for person in np.unique(people):
        drawn = random.permutation(np.flatnonzero(people == person))
        found += np.split(drawn, range(SENTENCES, len(drawn), SENTENCES))
    return found
