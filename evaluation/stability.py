"""How far each measure of the face drifts when the same clip is filmed otherwise.

The table has one row a recording, change and measure: recording, change, measure, value
(missing where it was not measured) and reason (the code, where nothing of the face was).
The change `plain` is the recording as it is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.contract import Column
from evaluation.card import Drift, environment

PLAIN = "plain"


def drifts(table: pd.DataFrame, columns: tuple[Column, ...]) -> tuple[Drift, ...]:
    """One row a change and measure, in the order of the table and the columns."""
    values = table.pivot_table(
        index=["measure", "recording"], columns="change", values="value", dropna=False, sort=False
    )
    changes = [str(name) for name in table["change"].unique() if name != PLAIN]
    return tuple(
        _drift(values.loc[[column.name]], change, column)
        for change in changes
        for column in columns
        if column.name in values.index.get_level_values("measure")
    )


def _drift(values: pd.DataFrame, change: str, column: Column) -> Drift:
    """values : of one measure, a row a recording, a column a change"""
    plain = values[PLAIN]
    moved = (values[change] - plain).dropna()
    lost = int((plain.notna() & values[change].isna()).sum())
    between = float(np.ptp(plain.dropna())) if plain.notna().any() else 0.0
    worst = float(moved.abs().max()) if len(moved) else None
    return Drift(
        change=change,
        measure=column.name,
        unit=column.unit,
        n=int(plain.notna().sum()),
        lost=lost,
        mean=float(moved.mean()) if len(moved) else None,
        worst=worst,
        of_range=worst / between if worst is not None and between > 0 else None,
    )


def stability_page(rows: tuple[Drift, ...], columns: tuple[Column, ...], recordings: int) -> str:
    """One HTML page that stands alone: measures down, changes across, the larger the darker."""
    changes = list(dict.fromkeys(row.change for row in rows))
    cells = {(row.measure, row.change): row for row in rows}
    return (
        environment({"short": _short})
        .get_template("stability.html")
        .render(
            columns=[column for column in columns if (column.name, changes[0]) in cells],
            changes=changes,
            cells=cells,
            recordings=recordings,
            names=NAMES,
        )
    )


def _short(value: float, sign: str = "") -> str:
    """Two digits that count, and no more than three decimals."""
    rounded = float(f"{value:.2g}") if abs(value) < 100 else round(value)
    return f"{round(rounded, 3) + 0.0:{sign}g}" if abs(rounded) >= 0.0005 else "0"


NAMES = {
    "mirror": "左右镜像",
    "light x 1.6": "光线 × 1.6",
    "light x 0.4": "光线 × 0.4",
    "blur": "失焦",
    "half size": "尺寸减半",
    "150 kbit/s": "150 kbit/s 压缩",
    "10 frames/s": "每秒 10 帧",
    "warm hue": "偏暖色",
    "darker skin": "较深肤色（绘制）",
    "glasses": "眼镜（绘制）",
}
"""Changes in Chinese."""
