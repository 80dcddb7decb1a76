"""Learned from rated speech: what speech sounds like to the encoder, and what one voice does.

Familiarity is how near a stretch lies to the principal components of the speech that was
learned from (squared prediction error: Jackson & Mudholkar 1979, Technometrics 21(3));
voices are told apart by linear discriminants between the speakers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from data.contract import ENCODER_WIDTH, SPEECH_STATISTICS, VoiceLimits
from data.voices import LEAST_S, MOST_STRETCHES, apart

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

COLUMNS = len(SPEECH_STATISTICS) * ENCODER_WIDTH
"""Of a row that are read: the lowest layer, which tells voices best."""

COMPONENTS = 150
AXES = 50
SHRINKAGE = 0.1
"""Of the covariance within speakers, of whom there are few."""

LEAST_OFF = 1e-6
"""Squared distance of a stretch that lies on the components but for rounding."""

DRAWS = 20
"""Sets of stretches of each person and number."""

ONE_VOICE = 0.995
"""Share of answers of one person that are taken for such."""

FAMILIAR = 0.9
"""Of the familiarity of the thousandth utterance: what is less familiar is not like speech."""


@dataclass(frozen=True)
class Voices:
    """How a stretch sounds.

    mean, deviation : (COLUMNS,)
    components : (COLUMNS, k) orthonormal; usual : median distance of a stretch from them
    axes : (k, axes) on which one person has variance 1
    """

    mean: Floats
    deviation: Floats
    components: Floats
    usual: float
    axes: Floats

    @classmethod
    def fit(cls, rows: npt.NDArray[np.floating], people: npt.NDArray[np.str_]) -> Voices:
        """rows : (stretches, SPEECH width); people : whose each is"""
        scaler = StandardScaler().fit(rows[:, :COLUMNS].astype(float))
        standard = scaler.transform(rows[:, :COLUMNS])
        speakers = len(np.unique(people))
        k = min(COMPONENTS, max(2, len(rows) // 10))
        pca = PCA(k, svd_solver="randomized", random_state=0).fit(standard)
        components = pca.components_.T
        reduced = standard @ components
        discriminants = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
        axes = discriminants.fit(reduced, people).scalings_[:, : min(AXES, k, speakers - 1)]
        places = np.unique(people, return_inverse=True)[1]
        projected = reduced @ axes
        means = np.stack([projected[places == i].mean(axis=0) for i in range(speakers)])
        within = (projected - means[places]).std(axis=0)
        found = cls(scaler.mean_, scaler.scale_, components, 1.0, axes / within)
        return replace(found, usual=float(np.median(1 / found.familiarity(rows))))

    def _standard(self, rows: npt.NDArray[np.floating]) -> Floats:
        standard: Floats = (rows[:, :COLUMNS] - self.mean) / self.deviation
        return standard

    def familiarity(self, rows: npt.NDArray[np.floating]) -> Floats:
        """(stretches,) 1 where a stretch is as far off as usual, less where it is farther."""
        standard = self._standard(rows)
        off = (standard**2).sum(axis=1) - ((standard @ self.components) ** 2).sum(axis=1)
        found: Floats = self.usual / np.sqrt(np.maximum(off, LEAST_OFF))
        return found

    def voices(self, rows: npt.NDArray[np.floating]) -> Floats:
        """(stretches, axes)."""
        found: Floats = self._standard(rows) @ self.components @ self.axes
        return found


def with_voices(head: onnx.ModelProto, voices: Voices) -> onnx.ModelProto:
    """The head's graph with the outputs `familiarity` (n,) and `voice` (n, axes) beside."""
    tensors: dict[str, npt.NDArray[Any]] = {
        "first": np.array([0], np.int64),
        "last": np.array([COLUMNS], np.int64),
        "across": np.array([1], np.int64),
        "mean": voices.mean.astype(np.float32),
        "deviation": voices.deviation.astype(np.float32),
        "components": voices.components.astype(np.float32),
        "axes": voices.axes.astype(np.float32),
        "usual": np.array(voices.usual, np.float32),
        "least": np.array(LEAST_OFF, np.float32),
    }
    steps: tuple[tuple[str, Sequence[str], str], ...] = (
        ("Slice", ("features", "first", "last", "across"), "read"),
        ("Sub", ("read", "mean"), "centred"),
        ("Div", ("centred", "deviation"), "standard"),
        ("MatMul", ("standard", "components"), "reduced"),
        ("MatMul", ("reduced", "axes"), "voice"),
        ("Mul", ("standard", "standard"), "squares"),
        ("ReduceSum", ("squares", "across"), "whole"),
        ("Mul", ("reduced", "reduced"), "explained_squares"),
        ("ReduceSum", ("explained_squares", "across"), "explained"),
        ("Sub", ("whole", "explained"), "rest"),
        ("Max", ("rest", "least"), "off"),
        ("Sqrt", ("off",), "distance"),
        ("Div", ("usual", "distance"), "familiarity"),
    )
    outputs = {"features": "features", "voice": "voice", "familiarity": "familiarity"}

    def named(name: str) -> str:
        return outputs.get(name, f"voices/{name}")

    model = onnx.ModelProto()
    model.CopyFrom(head)
    for kind, inputs, output in steps:
        node = helper.make_node(kind, [named(name) for name in inputs], [named(output)])
        if kind == "ReduceSum":
            node.attribute.append(helper.make_attribute("keepdims", 0))
        model.graph.node.append(node)
    for name, values in tensors.items():
        model.graph.initializer.append(numpy_helper.from_array(values, named(name)))
    for name, shape in {"familiarity": ["n"], "voice": ["n", voices.axes.shape[1]]}.items():
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


@dataclass(frozen=True)
class Sounded:
    """Stretches of people that the axes were not learned from.

    voices : (stretches, axes); familiar : (stretches,)
    """

    people: npt.NDArray[np.str_]
    durations_s: Floats
    voices: Floats
    familiar: Floats

    def of(self, chosen: npt.NDArray[np.bool_]) -> Sounded:
        """The chosen stretches."""
        return Sounded(
            self.people[chosen],
            self.durations_s[chosen],
            self.voices[chosen],
            self.familiar[chosen],
        )


def limits(heard: Sounded, *, seed: int) -> VoiceLimits:
    """What people who were not learned from keep within.

    Voices but for one draw in two hundred of a person's stretches; of people with few the
    draws are much alike. Familiarity a tenth beyond the strangest stretch in a thousand.
    """
    long = heard.durations_s >= LEAST_S
    random = np.random.default_rng(seed)
    people = {
        person: np.flatnonzero(long & (heard.people == person)) for person in set(heard.people)
    }
    most = []
    for n in range(2, MOST_STRETCHES + 1):
        found = [
            apart(heard.voices[drawn], heard.durations_s[drawn])[0]
            for _, rows in sorted(people.items())
            if len(rows) >= n
            for drawn in (random.choice(rows, n, replace=False) for _ in range(DRAWS))
        ]
        if not found:
            break
        most.append(round(float(np.quantile(found, ONE_VOICE)), 3))
    least = float(np.quantile(heard.familiar[long], 0.001)) if long.any() else 0.0
    return VoiceLimits(min_familiarity=round(FAMILIAR * least, 3), max_apart=tuple(most))


def mixed(
    answers: Sequence[Rows], people: npt.NDArray[np.str_], alike: npt.NDArray[np.str_], *, seed: int
) -> Iterator[Rows]:
    """For each answer one of two voices in turn: every other stretch is another person's.

    answers : rows of the stretches of each; people : (stretches,) whose each is
    alike : (stretches,) only people with the same value take turns
    """
    random = np.random.default_rng(seed)
    for rows in answers:
        others = [
            other
            for other in answers
            if len(other) > 1
            and people[other[0]] != people[rows[0]]
            and alike[other[0]] == alike[rows[0]]
        ]
        if others:
            other = others[int(random.integers(len(others)))]
            yield np.concatenate([rows[::2], other[1::2]])
