"""Drifts of measures on tables of known answer, and the page that shows them."""

from __future__ import annotations

import pandas as pd
import pytest

from data.contract import Column
from evaluation.stability import NAMES, PLAIN, drifts, stability_page
from training.stability import CHANGES

COLUMNS = (Column("smile_share", "1", "time"), Column("blink_rate", "1/min", "blinks"))


def table() -> pd.DataFrame:
    """Smiles of .2 and .6 in two recordings; a blur takes .1 and .3, and the blinks of one."""
    values = {
        ("a", PLAIN, "smile_share"): 0.2, ("b", PLAIN, "smile_share"): 0.6,
        ("a", "blur", "smile_share"): 0.1, ("b", "blur", "smile_share"): 0.3,
        ("a", PLAIN, "blink_rate"): 8.0, ("b", PLAIN, "blink_rate"): 12.0,
        ("a", "blur", "blink_rate"): None, ("b", "blur", "blink_rate"): 13.0,
    }  # fmt: skip
    rows = [(*key, value, "") for key, value in values.items()]
    return pd.DataFrame(rows, columns=["recording", "change", "measure", "value", "reason"])


def test_drift_is_from_the_recording_as_it_is_and_loss_is_counted():
    smile, blinks = drifts(table(), COLUMNS)
    assert (smile.change, smile.measure, smile.n, smile.lost) == ("blur", "smile_share", 2, 0)
    assert smile.mean == pytest.approx(-0.2)
    assert smile.worst == pytest.approx(0.3)
    assert smile.of_range == pytest.approx(0.75)
    assert (blinks.n, blinks.lost) == (2, 1)
    assert blinks.mean == pytest.approx(1)
    assert blinks.of_range == pytest.approx(0.25)


def test_what_was_never_measured_has_no_drift():
    rows = table()
    rows.loc[rows["measure"] == "blink_rate", "value"] = None
    blinks = drifts(rows, COLUMNS)[1]
    assert (blinks.n, blinks.lost) == (0, 0)
    assert (blinks.mean, blinks.worst, blinks.of_range) == (None, None, None)


def test_recordings_that_are_alike_give_no_share_of_their_range():
    rows = table()
    rows.loc[(rows["change"] == PLAIN) & (rows["measure"] == "smile_share"), "value"] = 0.4
    smile = drifts(rows, COLUMNS)[0]
    assert smile.worst == pytest.approx(0.3)
    assert smile.of_range is None


def test_the_page_shows_every_drift_and_loads_nothing():
    page = stability_page(drifts(table(), COLUMNS), COLUMNS, 2)
    assert "失焦" in page
    for shown in ("-0.2", "(0.3)", "+1", "†1", "smile_share", "blink_rate"):
        assert shown in page
    assert "<script" not in page
    assert "src=" not in page
    assert "href=" not in page


def test_every_change_has_a_chinese_name():
    assert {change.name for change in CHANGES} == set(NAMES)
