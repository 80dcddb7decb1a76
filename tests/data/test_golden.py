"""The extractors give today what they gave when the starter versions were fitted.

A version stores the id of its features. An extractor that gives other values for the
same columns under the same id would score people on features no head was fitted on.
`python -m tests.data.test_golden` writes golden.json anew.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from data import language
from data.contract import (
    ENCODER_WIDTH,
    EXPRESSION,
    LANGUAGE,
    LANGUAGE_COMPARISONS,
    SPEECH,
    SPEECH_LAYERS,
    SPEECH_STATISTICS,
    TOKEN_MEASURES,
    WORD_MEASURES,
)
from data.expression import expression_measures
from data.face import FaceTracker
from data.listening import Listener
from data.recording import open_recording
from data.speech import speech_features
from data.transcript import Recogniser
from data.watching import expression_series

GOLDEN = Path(__file__).with_name("golden.json")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
SETS = {"speech": SPEECH, "expression": EXPRESSION, "language": LANGUAGE}
TOLERANCE = {"speech": 0.12, "expression": 0.03, "language": 0.03}
"""Of the size of a block. int8 arithmetic of another processor moved speech by up to .10."""

Blocks = dict[str, list[float]]


@cache
def extracted(name: str) -> Blocks:
    """Block of columns -> values; wide blocks by their first 16 columns."""
    return {"speech": _speech, "expression": _expression, "language": _language}[name]()


def _speech() -> Blocks:
    waveform = open_recording(SAMPLE).waveform
    assert waveform is not None
    listener = Listener()
    listening = listener.listen(waveform)
    decoded = Recogniser(listener).decode(listening, expected="en")
    features = speech_features(listening, decoded)
    row = features.rows.mean(axis=0)
    names = [f"layer {layer} {name}" for layer in SPEECH_LAYERS for name in SPEECH_STATISTICS]
    blocks = np.split(row[: len(names) * ENCODER_WIDTH], len(names))
    found = {name: _listed(block[:16]) for name, block in zip(names, blocks, strict=True)}
    for name, columns in (("words", WORD_MEASURES), ("tokens", TOKEN_MEASURES)):
        found[name] = _listed(row[[SPEECH.names.index(column.name) for column in columns]])
    return found | {
        f"measure {name}": _listed([value])
        for name, value in features.measures.items()
        if value is not None
    }


def _expression() -> Blocks:
    with FaceTracker() as tracker:
        config = tracker.config
        series = expression_series(open_recording(SAMPLE).frames(config.quick_rate_hz), tracker)
    blocks = {
        "mean of blendshapes": _listed(np.nanmean(series.values[:, :14], axis=0)),
        "mean of angles": _listed(np.nanmean(series.values[:, 15:21], axis=0)),
        "deviation of angles": _listed(np.nanstd(series.values[:, 15:21], axis=0)),
    }
    measures = expression_measures(series, config)
    return blocks | {
        f"measure {name}": _listed([value]) for name, value in measures.items() if value is not None
    }


def _language() -> Blocks:
    row = language.extract(
        "我会先听客户把话说完，再核对他的流水，然后给出两个方案。",
        "客户因为扣费而生气，你会怎么做？",
        ["先倾听客户，核对扣费记录，说明原因，再提出解决方案。"],
    )
    named = language.measures(row)
    blocks = {f"measure {name}": _listed([value]) for name, value in named.items()}
    compared = len(named) + len(LANGUAGE_COMPARISONS)
    return blocks | {
        "comparisons": _listed(row[len(named) : compared]),
        "embedding": _listed(row[compared : compared + 16]),
    }


def _listed(values: npt.ArrayLike) -> list[float]:
    return [round(float(value), 5) for value in np.asarray(values).ravel()]


@pytest.mark.parametrize("name", SETS)
def test_an_extractor_gives_the_values_its_versions_were_fitted_on(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    found = extracted(name)
    assert golden["id"] == SETS[name].id, "new columns: write golden.json anew"
    assert found.keys() == golden["blocks"].keys()
    moved = [
        block
        for block, values in found.items()
        if _moved(values, golden["blocks"][block], TOLERANCE[name])
    ]
    assert not moved, (
        f"{name}: {', '.join(moved)} changed. If that is meant: bump FeatureSet.version in "
        "data/contract.py, fit the starter versions again and write golden.json anew."
    )


def _moved(values: list[float], before: list[float], tolerance: float) -> bool:
    """Whether a value moved by more than the tolerance, measured by the block's size."""
    size = float(np.abs(before).max()) or 1.0
    return not np.allclose(values, before, rtol=0, atol=tolerance * size)


def test_a_changed_value_is_noticed() -> None:
    golden = json.loads(GOLDEN.read_text())["speech"]["blocks"]["layer 4 mean"]
    assert _moved([value * 1.2 for value in golden], golden, TOLERANCE["speech"])
    assert not _moved(golden, golden, TOLERANCE["speech"])


if __name__ == "__main__":
    found = {name: {"id": one.id, "blocks": extracted(name)} for name, one in SETS.items()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
