"""The head of the competency recipe: a Gaussian process mean with an additive kernel.

    k = exp(−|c − c′|²) + memory · exp(−a|e − e′|² − q|s − s′|²) + level · exp(−10|s − s′|²)

c: weighted comparisons with the references, e: answer embedding, s: question embedding.
The first part holds for any question; the others remember answers and mean scores of the
questions learned from and fade to nothing for a question never seen. What they took over
would then be missing: by unseen question the sum scored 13 points low where the known
questions were marked leniently. So the first part is also fitted by itself, and the nearer
a question is to one learned from, the more the sum replaces it.
Source: additive Gaussian processes, Duvenaud et al. 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from scipy.linalg import cho_factor, cho_solve

from data.contract import (
    ENCODER,
    LANGUAGE,
    LANGUAGE_ANCHORS,
    LANGUAGE_COMPARISONS,
    LANGUAGE_MEASURES,
)
from data.jobs import points_of
from training.competency_levels import (
    ANCHORS_AT,
    BUILT_AT,
    COMPARED_AT,
    EVEN,
    LENGTH_AT,
    RATE_CAP,
    TOPICAL_AT,
    LevelModel,
)

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

COMPARISONS = slice(len(LANGUAGE_MEASURES), len(LANGUAGE_MEASURES) + len(LANGUAGE_COMPARISONS))
ANCHORS = slice(COMPARISONS.stop, COMPARISONS.stop + len(LANGUAGE_ANCHORS))
ANSWER = slice(ANCHORS.stop, ANCHORS.stop + ENCODER.width)
QUESTION = slice(ANSWER.stop, ANSWER.stop + ENCODER.width)
"""Columns of LANGUAGE features."""

CLIP = 3.0
"""Standard deviations beyond which a comparison says no more: answers in an interview are
longer than any in the corpus, and far from all examples a kernel says nothing."""

LEVEL_REACH = 10.0
"""Of the part that holds a question's mean score: different questions stay different."""

KERNEL = "comparisons alone for unseen questions"
"""Names a search: trials of another kernel are another study."""

OPSET, IR = 18, 10
"""ONNX versions that the serving runtime reads."""


@dataclass(frozen=True)
class Head:
    """What the search chooses; see CompetencyRecipe for the fields."""

    comparison_reach: float
    verdict_weight: float
    cosine_weight: float
    clause_weight: float
    new_weight: float
    size_weight: float
    memory: float
    answer_reach: float
    question_reach: float
    level: float
    noise: float
    unseen_noise: float

    @property
    def weights(self) -> Floats:
        """(comparisons,) what a standard deviation of each counts, its reach included."""
        each = np.array([self._weight(column.name) for column in LANGUAGE_COMPARISONS])
        return np.asarray(each * np.sqrt(self.comparison_reach / len(each)))

    def _weight(self, name: str) -> float:
        if name == "verdict":
            return self.verdict_weight
        if "cosine" in name:
            return self.cosine_weight
        if "clause" in name or "coverage" in name:
            return self.size_weight if name == "clause_ratio" else self.clause_weight
        if name.startswith("new_"):
            return self.new_weight
        return self.size_weight if name.startswith("log_") else 1.0


@dataclass(frozen=True)
class Distances:
    """What every head of one search shares.

    compared : (n, comparisons) standardised; answers, questions : (n, n) squared distances
    """

    compared: Floats
    answers: Floats
    questions: Floats

    @classmethod
    def of(cls, features: Features) -> Distances:
        """Of (n, LANGUAGE width) features, standardised by themselves."""
        answers, questions = (features[:, part].astype(float) for part in (ANSWER, QUESTION))
        return cls(
            standardised(features, *standard(features)),
            squared(answers, answers),
            squared(questions, questions),
        )

    def near(self, head: Head) -> Floats:
        """(n, n) covariance of the part that holds for any question."""
        compared = self.compared * head.weights
        return np.asarray(np.exp(-squared(compared, compared)))

    def remembered(self, head: Head) -> Floats:
        """(n, n) covariance of the parts that fade for a question never seen."""
        said = -head.answer_reach * self.answers - head.question_reach * self.questions
        return np.asarray(head.memory * np.exp(said) + head.level * self.known())

    def known(self) -> Floats:
        """(n, n) from 0 to 1: how far one's question is the other's."""
        return np.asarray(np.exp(-LEVEL_REACH * self.questions))


def cross_fitted(
    distances: Distances, head: Head, rating: Floats, scheme: list[tuple[Rows, Rows]]
) -> Floats:
    """(n,) points of 100 of each row from a head fitted on the rows dealt against it."""
    near, known = distances.near(head), distances.known()
    whole = near + distances.remembered(head)
    scores = np.empty(len(rating))
    for train, test in scheme:
        here, there = np.ix_(train, train), np.ix_(test, train)
        alone, mean = solve(near[here], rating[train], head.unseen_noise)
        effects, _ = solve(whole[here], rating[train], head.noise)
        unseen = near[there] @ alone
        gate = known[there].max(axis=1)
        scores[test] = np.clip(mean + unseen + gate * (whole[there] @ effects - unseen), 0, 100)
    return scores


@dataclass(frozen=True)
class Fitted:
    """A head and the answers it remembers.

    centre, deviation : (comparisons,) of the answers learned from
    compared : (m, comparisons) standardised and weighted
    answers : (m, 512); questions : (q, 512), each once; asked : (m,) row of `questions`
    effects : (m,) what each answer adds; levels : (q,) what each question adds
    alone : (m,) what each answer adds to a question never seen
    """

    head: Head
    centre: Floats
    deviation: Floats
    compared: Floats
    answers: Floats
    questions: Floats
    asked: Rows
    effects: Floats
    levels: Floats
    alone: Floats
    mean: float

    def points(self, features: Features) -> Floats:
        """(n,) points of 100, not cut to the scale."""
        compared = standardised(features, self.centre, self.deviation) * self.head.weights
        said = squared(features[:, ANSWER].astype(float), self.answers)
        apart = squared(features[:, QUESTION].astype(float), self.questions)
        same = np.exp(-self.head.question_reach * apart)[:, self.asked]
        near = np.exp(-squared(compared, self.compared))
        kernel = near + self.head.memory * np.exp(-self.head.answer_reach * said) * same
        known = np.exp(-LEVEL_REACH * apart)
        whole, unseen = kernel @ self.effects + known @ self.levels, near @ self.alone
        return np.asarray(self.mean + unseen + known.max(axis=1) * (whole - unseen))


def fit_head(head: Head, features: Features, rating: Floats) -> Fitted:
    """The head with the answers of `features` (n, LANGUAGE width) remembered.

    rating : (n,) points of 100. Embeddings are rounded to what the graph stores.
    """
    centre, deviation = standard(features)
    kept = features.copy()
    kept[:, ANSWER.start :] = kept[:, ANSWER.start :].astype(np.float16)
    questions, asked = np.unique(kept[:, QUESTION].astype(float), axis=0, return_inverse=True)
    asked = asked.reshape(-1)
    distances = Distances.of(kept)
    near = distances.near(head)
    alone, mean = solve(near, rating, head.unseen_noise)
    effects, _ = solve(near + distances.remembered(head), rating, head.noise)
    return Fitted(
        head=head,
        centre=centre,
        deviation=deviation,
        compared=standardised(kept, centre, deviation) * head.weights,
        answers=kept[:, ANSWER].astype(float),
        questions=questions,
        asked=asked,
        effects=effects,
        levels=np.asarray(head.level * np.bincount(asked, effects, len(questions)), np.float64),
        alone=alone,
        mean=mean,
    )


def solve(kernel: Floats, rating: Floats, noise: float) -> tuple[Floats, float]:
    """Effects (n,) of the answers and the mean they are added to."""
    mean = float(rating.mean())
    noisy = kernel + noise * np.eye(len(rating))
    return np.asarray(cho_solve(cho_factor(noisy, lower=True), rating - mean)), mean


def standard(features: Features) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the comparisons."""
    compared = features[:, COMPARISONS].astype(float)
    return compared.mean(axis=0), np.maximum(compared.std(axis=0), 1e-6)


def standardised(features: Features, centre: Floats, deviation: Floats) -> Floats:
    """(n, comparisons) in standard deviations, cut at `CLIP`."""
    compared = features[:, COMPARISONS].astype(float)
    return np.asarray(np.clip((compared - centre) / deviation, -CLIP, CLIP))


def squared(ours: Floats, theirs: Floats) -> Floats:
    """(n, m) squared distances of rows."""
    squares = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * ours @ theirs.T, 0))


# --- the graph -------------------------------------------------------------------


class _Graph:
    """Nodes and constants of a graph in the making; each call returns a value's name."""

    def __init__(self) -> None:
        """Empty."""
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: npt.ArrayLike, kind: type[np.generic] = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def half(self, value: Floats) -> str:
        """A constant kept in 16 bits and computed with in 32."""
        return self.op("Cast", self.constant(value, np.float16), to=TensorProto.FLOAT)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def columns(self, features: str, part: slice) -> str:
        start, stop = (self.constant([end], np.int64) for end in (part.start, part.stop))
        return self.op("Slice", features, start, stop, self.constant([1], np.int64))

    def near(self, ours: str, theirs: str, reach: float) -> str:
        """exp(−reach · squared distance): (n, width), (m, width) → (n, m)."""
        axis = self.constant([1], np.int64)
        left = self.op("ReduceSumSquare", ours, axis, keepdims=1)
        right = self.op("Transpose", self.op("ReduceSumSquare", theirs, axis, keepdims=1))
        product = self.op("MatMul", ours, self.op("Transpose", theirs))
        twice = self.op("Mul", product, self.constant(2.0))
        distance = self.op("Relu", self.op("Sub", self.op("Add", left, right), twice))
        return self.op("Exp", self.op("Mul", distance, self.constant(-reach)))


def onnx_head(fitted: Fitted, levels: LevelModel | None = None) -> bytes:
    """The fitted head as a graph: features (n, LANGUAGE width) → points (n, 1 or 2).

    The first column is the answer's quality; the second, where there is a model of levels,
    the expected level in points.
    """
    graph, head = _Graph(), fitted.head
    raw = graph.op("Sub", graph.columns("features", COMPARISONS), graph.constant(fitted.centre))
    scaled = graph.op("Div", raw, graph.constant(fitted.deviation))
    cut = graph.op("Clip", scaled, graph.constant(-CLIP), graph.constant(CLIP))
    compared = graph.op("Mul", cut, graph.constant(head.weights))
    near = graph.near(compared, graph.constant(fitted.compared), 1.0)
    answer = graph.columns("features", ANSWER)
    said = graph.near(answer, graph.half(fitted.answers), head.answer_reach)
    question, questions = graph.columns("features", QUESTION), graph.half(fitted.questions)
    same = graph.near(question, questions, head.question_reach)
    asked = graph.op("Gather", same, graph.constant(fitted.asked, np.int64), axis=1)
    remembered = graph.op("Mul", graph.op("Mul", said, asked), graph.constant(head.memory))
    kernel = graph.op("Add", near, remembered)
    answers = graph.op("MatMul", kernel, graph.constant(fitted.effects[:, None]))
    known = graph.near(question, questions, LEVEL_REACH)
    marked = graph.op("MatMul", known, graph.constant(fitted.levels[:, None]))
    unseen = graph.op("MatMul", near, graph.constant(fitted.alone[:, None]))
    more = graph.op("Sub", graph.op("Add", answers, marked), unseen)
    gate = graph.op("ReduceMax", known, graph.constant([1], np.int64), keepdims=1)
    told = graph.op("Add", unseen, graph.op("Mul", gate, more))
    points = graph.op("Add", told, graph.constant(fitted.mean))
    if levels is not None:
        points = graph.op("Concat", points, _level_points(graph, levels, points), axis=1)
    graph.nodes[-1].output[0] = "points"
    return bytes(_model(graph, 1 if levels is None else 2).SerializeToString())


def _level_points(graph: _Graph, levels: LevelModel, quality: str) -> str:
    """(n, 1) as `LevelModel.points` has it of `level_inputs`."""

    def gathered(columns: Sequence[int]) -> str:
        return graph.op("Gather", "features", graph.constant(columns, np.int64), axis=1)

    def apart(columns: Sequence[int]) -> str:
        found = gathered(columns)
        mean = graph.op("ReduceMean", found, graph.constant([1], np.int64), keepdims=1)
        return graph.op("Sub", found, mean)

    cut = graph.op("Clip", quality, graph.constant(0.0), graph.constant(100.0))
    length = graph.op("Mul", gathered([LENGTH_AT]), graph.constant(levels.length_effect))
    earned = graph.op("Sub", cut, length)
    built = graph.op("Min", gathered(BUILT_AT), graph.constant(RATE_CAP))
    inputs = graph.op(
        "Concat",
        graph.op("Mul", earned, graph.constant(0.01)),
        gathered(COMPARED_AT),
        apart(ANCHORS_AT[::2]),
        apart(ANCHORS_AT[1::2]),
        graph.op("Log", graph.op("Add", built, graph.constant(1.0))),
        axis=1,
    )
    centred = graph.op("Sub", inputs, graph.constant(levels.centre))
    weights = (levels.weights / levels.deviation)[:, None]
    slope = graph.op("MatMul", centred, graph.constant(weights))
    above = graph.op("Sigmoid", graph.op("Sub", slope, graph.constant(levels.thresholds)))
    expected = graph.op("ReduceSum", above, graph.constant([1], np.int64), keepdims=1)
    topical = graph.op(
        "MatMul", gathered(TOPICAL_AT), graph.constant(levels.topic_weights[:, None])
    )
    clear = graph.op("Sub", topical, graph.constant(levels.topic_threshold))
    share = graph.op("Mul", graph.op("Sigmoid", clear), graph.constant(1 / EVEN))
    told = graph.op("Mul", expected, graph.op("Min", share, graph.constant(1.0)))
    return graph.op("Mul", told, graph.constant(points_of(2)))


def _model(graph: _Graph, outputs: int) -> ModelProto:
    shape = [None, len(LANGUAGE.columns)]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
    points = helper.make_tensor_value_info("points", TensorProto.FLOAT, [None, outputs])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "competency", [features], [points], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    checker.check_model(model)
    return model
