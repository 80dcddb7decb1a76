"""Changes under worse recordings and the widenings they ask for, on tables of known answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation.robustness import PLAIN, changes, widenings


def table(people: int = 60) -> pd.DataFrame:
    """Errors of 5 points; twice as large between 10 and 15 dB, thrice below 10 dB."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(people):
        rating = float(rng.uniform(40, 90))
        error = float(rng.uniform(-5, 5))
        for condition, snr_db, times in (
            (PLAIN, 30.0, 1), ("noise 20", 20.0, 1), ("noise 12", 12.0, 2), ("noise 7", 7.0, 3),
        ):  # fmt: skip
            known = {"person": f"p{person}", "item": f"i{person}", "target": "fluency"}
            score = rating + times * error
            signal = {"snr_db": snr_db, "bandwidth_hz": 8000.0, "reason": ""}
            plain = rating + error
            rows.append(
                {**known, "condition": condition, "rating": rating, "plain": plain, "score": score}
                | signal
            )
    return pd.DataFrame(rows)


def test_changes_are_those_from_the_recording_as_it_is():
    rows = table()
    error = (
        rows.loc[rows["condition"] == PLAIN, "score"]
        - rows.loc[rows["condition"] == PLAIN, "rating"]
    )
    found = {row.condition: row for row in changes(rows)}
    assert list(found) == ["noise 20", "noise 12", "noise 7"]
    assert found["noise 20"].median == 0
    assert found["noise 7"].median == pytest.approx(2 * error.abs().median())
    assert found["noise 7"].mean == pytest.approx(2 * error.mean())
    assert found["noise 7"].p95 == pytest.approx(2 * error.abs().quantile(0.95))
    assert (found["noise 7"].n, found["noise 7"].abstained) == (60, 0)


def test_who_is_not_scored_is_counted_with_the_reason():
    rows = table()
    quiet = (rows["condition"] == "noise 7") & (rows["person"] < "p3")
    rows.loc[quiet, ["score", "reason"]] = [np.nan, "too_noisy"]
    rows.loc[rows["condition"] == "noise 12", ["score", "reason"]] = [np.nan, "silence"]
    found = {row.condition: row for row in changes(rows)}
    assert (found["noise 7"].abstained, found["noise 7"].reasons) == (int(quiet.sum()), "too_noisy")
    assert found["noise 7"].median is not None
    assert (found["noise 12"].abstained, found["noise 12"].median) == (60, None)


def test_intervals_grow_where_errors_do_and_nowhere_else():
    found = {row.below: row.factor for row in widenings(table(), level=0.9)}
    assert set(found) == {10, 15}
    assert found[15] == pytest.approx(2, abs=0.01)
    assert found[10] == pytest.approx(3, abs=0.01)


def test_a_measure_that_does_not_matter_widens_nothing():
    rows = table()
    rows.loc[rows["condition"] == "noise 20", "bandwidth_hz"] = 3500
    assert {row.measure for row in widenings(rows, level=0.9)} == {"snr_db"}


def test_too_few_people_widen_nothing():
    assert widenings(table(people=5), level=0.9) == ()
