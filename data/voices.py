"""Whether an answer sounds like one person speaking: familiar speech, and one voice.

Both are told from how each stretch sounds to the encoder, by axes that a speech version
learned. Voices are compared within one answer and with nobody else's, and are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.contract import VoiceLimits

Floats = npt.NDArray[np.floating]

LEAST_S = 1.5
"""Shorter stretches hold too few sounds to tell a voice by."""

MOST_STRETCHES = 16
"""Compared with each other, from all over the answer: of more the two parts that differ most
differ more, whoever speaks."""


def apart(voices: Floats, durations_s: Floats) -> tuple[float, int]:
    """How far apart the two parts of an answer are that differ most, and of how many stretches.

    The root of what lies between the two, as an analysis of variance counts it. Where a cut
    may lie is told by the axis on which the stretches differ most; 0 for less than two.

    voices : (stretches, axes), of variance 1 within one person; durations_s : (stretches,)
    """
    chosen = np.asarray(voices, float)[np.asarray(durations_s) >= LEAST_S]
    n = min(len(chosen), MOST_STRETCHES)
    if n < 2:
        return 0.0, n
    chosen = chosen[np.linspace(0, len(chosen) - 1, n).round().astype(int)]
    centred = chosen - chosen.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    sums = np.cumsum(centred[np.argsort(centred @ axis)], axis=0)[:-1]
    first = np.arange(1, n)
    between = (sums**2).sum(axis=1) * n / (first * (n - first))
    return float(np.sqrt(between.max())), n


def familiarity(stretches: Floats, durations_s: Floats) -> float | None:
    """Of an answer: the mean of its stretches that are long enough to tell; None without any."""
    durations_s = np.asarray(durations_s, float)
    weights = np.where(durations_s >= LEAST_S, durations_s, 0)
    return float(np.average(stretches, weights=weights)) if weights.any() else None


def no_one_person(
    familiar: float | None, distance: tuple[float, int], limits: VoiceLimits
) -> tuple[str, str] | None:
    """(code, sentence) when an answer is not one person speaking; None when it is.

    familiar, distance : as `familiarity` and `apart` give them
    """
    if familiar is not None and familiar < limits.min_familiarity:
        return (
            "unfamiliar_sound",
            f"Likeness to the speech the version learned from is {familiar:.2f}; "
            f"{limits.min_familiarity:.2f} is needed.",
        )
    far, stretches = distance
    if far > _most(limits.max_apart, stretches):
        return ("several_voices", "Parts of the answer sound like different voices.")
    return None


def _most(max_apart: Sequence[float], stretches: int) -> float:
    if stretches < 2 or not max_apart:
        return float("inf")
    return max_apart[min(stretches - 2, len(max_apart) - 1)]
