"""The levels: what raises them, what may not, and that the graph gives the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import spearmanr

from data.contract import LANGUAGE
from training import competency_levels as levels
from training.competency_head import Head, fit_head, onnx_head
from training.competency_levels import (
    ANCHORS_AT,
    BUILT,
    BUILT_AT,
    INPUTS,
    LENGTH_AT,
    TOPICAL_AT,
    LevelModel,
    fit_levels,
    length_effect,
    level_inputs,
)

Floats = npt.NDArray[np.float64]
OPTIONS = {"penalty": 1.0, "most": 2.0, "topic_penalty": 1.0, "length_effect": 5.0}
CHECKS = LANGUAGE.names.index("checks")


def answers(n: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], Floats, npt.NDArray[np.int_]]:
    """Features, quality and levels that rise with checks told and with the quality."""
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(size=(n, len(LANGUAGE.columns)))).astype(np.float32)
    quality = rng.uniform(0, 100, n)
    told = np.log1p(np.minimum(features[:, CHECKS].astype(float), 4))
    slope = 2 * (told - told.mean()) / told.std() + (quality - 50) / 25 + rng.logistic(size=n)
    return features, quality, 1 + np.digitize(slope, [-2.5, -1, 1, 2.5])


def fitted(n: int = 600, **changed: float) -> tuple[LevelModel, Floats, npt.NDArray[np.int_]]:
    features, quality, known = answers(n)
    inputs = level_inputs(features, quality, OPTIONS["length_effect"])
    model = fit_levels(inputs, known, np.ones(n, bool), **{**OPTIONS, **changed})
    return model, inputs, known


def test_what_raises_the_level_is_found_and_new_answers_are_put_in_order():
    model, _, _ = fitted()
    features, quality, known = answers(300, seed=1)
    points = model.points(level_inputs(features, quality, OPTIONS["length_effect"]))
    assert spearmanr(points, known).statistic > 0.6
    largest = np.argsort(-np.abs(model.weights))[:2]
    built = 1 + len(levels.COMPARED) + len(ANCHORS_AT)
    assert set(largest) == {0, built + BUILT.index("checks")}


def test_probabilities_of_higher_levels_are_lower_and_points_stay_on_the_scale():
    model, inputs, _ = fitted()
    above = model.above(inputs)
    assert (np.diff(above, axis=1) < 0).all()
    assert (model.points(inputs) >= 0).all()
    assert (model.points(inputs) <= 100).all()


def test_no_weight_is_beyond_its_bounds_and_generalities_never_help():
    model, _, _ = fitted(most=0.1)
    built = model.weights[-len(BUILT) :]
    assert (np.abs(built) <= 0.1 + 1e-9).all()
    assert built[BUILT.index("generalities")] <= 0
    others = np.delete(built, BUILT.index("generalities"))
    assert (others >= 0).all()


def test_more_of_what_is_good_never_lowers_the_points():
    model, _, _ = fitted()
    features, quality, _ = answers(50, seed=2)
    before = model.points(level_inputs(features, quality, 5.0))
    for column, name in zip(BUILT_AT, BUILT, strict=True):
        more = features.copy()
        more[:, column] += 1
        after = model.points(level_inputs(more, quality, 5.0))
        gained = after - before
        assert (gained <= 1e-9 if name == "generalities" else gained >= -1e-9).all(), name


def test_the_ninth_of_a_kind_says_no_more_than_the_fourth():
    model, _, _ = fitted()
    features, quality, _ = answers(10, seed=3)
    features[:, CHECKS] = 4
    four = model.points(level_inputs(features, quality, 5.0))
    features[:, CHECKS] = 9
    np.testing.assert_allclose(model.points(level_inputs(features, quality, 5.0)), four)


def test_the_gradient_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch):
    """The search is handed a gradient; it must be the loss's own."""
    seen = {}

    def caught(loss, begin, **options):  # type: ignore[no-untyped-def]
        seen["loss"], seen["begin"] = loss, begin
        return real(loss, begin, **options)

    real = levels.minimize
    monkeypatch.setattr(levels, "minimize", caught)
    fitted(120)
    at = seen["begin"] + np.random.default_rng(0).normal(0, 0.1, len(seen["begin"]))
    numeric = approx_fprime(at, lambda x: seen["loss"](x)[0], 1e-6)
    np.testing.assert_allclose(seen["loss"](at)[1], numeric, rtol=1e-3, atol=2e-3)


def test_words_to_another_question_lower_the_level_and_words_to_this_one_do_not():
    features, quality, known = answers(600)
    other = np.arange(600) % 3 == 0
    features[:, TOPICAL_AT] += np.where(other, 0, 2)[:, None].astype(np.float32)
    inputs = level_inputs(features, quality, 5.0)
    model = fit_levels(inputs, np.where(other, 1, known), ~other, **OPTIONS)
    expected = model.above(inputs).sum(axis=1) * 25
    lowered = model.points(inputs) / expected
    assert np.median(lowered[other]) < 0.3
    assert np.quantile(lowered[~other], 0.05) > 0.95


def test_a_level_without_an_example_is_refused():
    features, quality, known = answers(100)
    inputs = level_inputs(features, quality, 0.0)
    with pytest.raises(ValueError, match="no example of level 5"):
        fit_levels(inputs, np.minimum(known, 4), np.ones(100, bool), **OPTIONS)


def test_what_words_that_add_nothing_bring_is_taken_out():
    short, log_short = np.array([40.0, 60.0]), np.log([50.0, 100.0])
    assert length_effect(short, short + 10 * np.log(2), log_short, log_short + np.log(2)) == (
        pytest.approx(10)
    )
    assert length_effect(short, short - 5, log_short, log_short + 1) == 0
    features, _, _ = answers(2)
    features[:, LENGTH_AT] = log_short
    told = level_inputs(features, short, 10.0)[:, 0]
    assert told == pytest.approx((short - 10 * log_short) / 100, abs=1e-5)


def test_the_graph_gives_the_level_that_the_model_gives():
    features, _, _ = answers(300)
    wide = features / 10
    rating = 50 + 20 * np.tanh(wide[:, LANGUAGE.names.index("coverage")].astype(float))
    ones = dict.fromkeys(Head.__dataclass_fields__, 0.5)
    head = fit_head(Head(**ones), wide, rating)
    quality = head.points(wide)
    known = np.resize([1, 2, 3, 4, 5], 300)
    off = np.arange(300) % 4 == 0
    inputs = level_inputs(wide, quality, 5.0)
    model = fit_levels(inputs, known, ~off, **OPTIONS)
    graph = onnxruntime.InferenceSession(onnx_head(head, model), providers=["CPUExecutionProvider"])
    found = graph.run(["points"], {"features": wide})[0]
    assert found.shape == (300, 2)
    assert inputs.shape == (300, INPUTS + len(TOPICAL_AT))
    np.testing.assert_allclose(found[:, 1], model.points(inputs), atol=0.3)
