"""Questions as a test's items: hard, telling, worn, unfair? From the scores of interviews.

Ability is what a person's other questions say, freed of difficulty and raters (facets.py), so a
question is never compared with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import statsmodels.api as sm
from pydantic import Field
from statsmodels.stats.multitest import multipletests

import configs
from data.contract import Record, UndefinedMetric
from data.outcomes import GROUPS, conformed
from evaluation.agreement import CONFIDENCE, Floats
from evaluation.card import environment
from evaluation.facets import Facets, facets

Verdict = Literal["retire", "watch", "keep", "too_few"]

ANSWERS = pa.DataFrameSchema(
    {
        "person": pa.Column(str),
        "question": pa.Column(str),
        "score": pa.Column(float, pa.Check.in_range(0, 100), description="points of 100"),
        "rater": pa.Column(str, required=False, description="person or version that scored"),
        "answered_on": pa.Column("datetime64[ns]", required=False),
    },
    coerce=True,
)
"""One row: one score of one answer. A person is an opaque reference."""


class ItemsConfig(Record):
    """configs/items.yaml."""

    fewest_answers: int = Field(ge=2)
    fewest_of_group: int = Field(ge=10)
    fewest_persons: int = Field(ge=10)
    flat: float = Field(gt=0, lt=1)
    extreme: float = Field(ge=0, lt=50)
    overexposed: float = Field(gt=0, le=1)
    worn: float = Field(gt=0)
    negligible: float = Field(gt=0)
    large: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=1)


@dataclass(frozen=True)
class Items:
    """What the table says of its questions.

    questions : one row a question: verdict and reasons, n, mean, difficulty (points above the
        average question) with interval, discrimination (points its score rises for each point
        of ability; 1 is the average question) with interval, rest_correlation, exposure (share
        of the interviews that asked it), drift (points answers of people equally able rise for
        every 100 times asked) with interval and adjusted p; missing where there are too few
    differences : one row a question, attribute and group: n, difference (points from the
        reference group at equal ability) with interval, d (in SD of the question's scores), p
        adjusted over all rows (Benjamini and Hochberg), grows (whether it changes with
        ability), size (negligible, moderate, large)
    facets : the model of people, questions and raters behind it
    """

    questions: pd.DataFrame
    differences: pd.DataFrame
    facets: Facets


def items(
    answers: pd.DataFrame, groups: pd.DataFrame | None = None, config: ItemsConfig | None = None
) -> Items:
    """Judge each question of the table.

    answers : ANSWERS; groups : data.outcomes.GROUPS
    Raises BadTable, UndefinedMetric (facets.facets).
    """
    config = config or configs.load("items", ItemsConfig)
    answers = conformed(answers, ANSWERS, "answers")
    key = [name for name in ("person", "question", "rater") if name in answers]
    if answers.duplicated(key).any():
        raise UndefinedMetric(f"There is more than one score for the same {', '.join(key)}.")
    model = facets(answers)
    known = _abilities(model, model.answers)
    differences = _differences(known, groups, config)
    if unfair := set(differences.loc[differences["size"] == "large", "question"]):
        fair = model.answers[~model.answers["question"].isin(unfair)]
        if fair["question"].nunique() > 1:
            purified = _abilities(model, fair)
            differences = _differences(purified, groups, config)
    drift = _drifts(known, answers, config)
    told = {
        str(question): _discrimination(rows, config) for question, rows in known.groupby("question")
    }
    exposure = answers.groupby("question")["person"].nunique() / answers["person"].nunique()
    table = (
        model.questions.join(pd.DataFrame.from_dict(told, orient="index"))
        .join(exposure.rename("exposure"))
        .join(drift)
        .rename(columns={"low": "difficulty_low", "high": "difficulty_high"})
    )
    table.index.name = "question"
    large = differences[differences["size"] == "large"]
    moderate = differences[differences["size"] == "moderate"]
    judged = [
        _judged(row, set(large["question"]), set(moderate["question"]), config)
        for row in table.reset_index().to_dict("records")
    ]
    table = table.assign(
        verdict=[verdict for verdict, _ in judged],
        reasons=[", ".join(reasons) for _, reasons in judged],
    )
    order = {"retire": 0, "watch": 1, "keep": 2, "too_few": 3}
    table = table.sort_values("verdict", key=lambda column: column.map(order), kind="stable")
    return Items(table.reset_index(), differences, model)


def _abilities(model: Facets, anchors: pd.DataFrame) -> pd.DataFrame:
    """Each answer with what the person's answers to other anchors say.

    rest : mean of those, freed of difficulty and raters, weighted by how often each was rated;
    rest_variance : of its error; missing where the person answered no other
    """
    variance = model.answer + model.residual / anchors["n"]
    weighted = anchors.assign(weight=1 / variance, part=anchors["freed"] / variance)
    sums = weighted.groupby("person")[["weight", "part"]].sum()
    own = weighted.set_index(["person", "question"])[["weight", "part"]]
    keys = pd.MultiIndex.from_frame(model.answers[["person", "question"]])
    mine = own.reindex(keys, fill_value=0.0)
    whole = sums.reindex(model.answers["person"], fill_value=0.0)
    weight = whole["weight"].to_numpy() - mine["weight"].to_numpy()
    part = whole["part"].to_numpy() - mine["part"].to_numpy()
    some = weight > 1e-9
    return model.answers.assign(
        rest=np.where(some, part / np.where(some, weight, 1), np.nan),
        rest_variance=np.where(some, 1 / np.where(some, weight, 1), np.nan),
        ability=lambda rows: _shrunk(rows["rest"], rows["rest_variance"], model.person, model.mean),
    )


def _shrunk(rest: pd.Series, error: pd.Series, between: float, mean: float) -> pd.Series:
    """Best guess of the ability behind `rest`: drawn to the mean as far as it is uncertain.

    Regressing on it, not on `rest`, the slope is that on ability itself.
    """
    return mean + between / (between + error) * (rest - mean)


def _discrimination(rows: pd.DataFrame, config: ItemsConfig) -> dict[str, float]:
    rows = rows.dropna(subset="ability")
    if len(rows) < config.fewest_persons or rows["ability"].std() == 0:
        return {}
    slope, low, high, _ = _slope(rows["freed"], rows[["ability"]], "ability")
    return {
        "discrimination": slope,
        "discrimination_low": low,
        "discrimination_high": high,
        "rest_correlation": float(np.corrcoef(rows["freed"], rows["rest"])[0, 1])
        if rows["freed"].std() > 0
        else float("nan"),
    }


def _slope(
    outcome: pd.Series, predictors: pd.DataFrame, name: str
) -> tuple[float, float, float, float]:
    """Coefficient of one predictor, its interval and p; errors may differ in size (HC3)."""
    design = sm.add_constant(predictors.astype(float), has_constant="add")
    fit = sm.OLS(outcome.astype(float), design).fit(cov_type="HC3")
    low, high = fit.conf_int(alpha=1 - CONFIDENCE).loc[name]
    return float(fit.params[name]), float(low), float(high), float(fit.pvalues[name])


def _drifts(known: pd.DataFrame, answers: pd.DataFrame, config: ItemsConfig) -> pd.DataFrame:
    """Points for every 100 times a question was asked before, at equal ability."""
    columns = ["drift", "drift_low", "drift_high", "drift_p"]
    if "answered_on" not in answers or answers["answered_on"].isna().all():
        return pd.DataFrame(columns=columns, dtype=float)
    when = answers.groupby(["person", "question"])["answered_on"].min().rename("when").reset_index()
    dated = known.merge(when, on=["person", "question"]).dropna(subset=["when", "ability"])
    dated = dated.sort_values("when", kind="stable")
    dated["asked"] = dated.groupby("question").cumcount() / 100
    found = {}
    for question, rows in dated.groupby("question"):
        if len(rows) >= config.fewest_answers:
            found[question] = _slope(rows["freed"], rows[["asked", "ability"]], "asked")
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns, dtype=float)
    return table.assign(drift_p=_adjusted(table["drift_p"]))


DIFFERENCES = ("question", "attribute", "group", "reference", "n", "difference", "low", "high")


def _differences(
    known: pd.DataFrame, groups: pd.DataFrame | None, config: ItemsConfig
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    if groups is not None and len(groups):
        declared = conformed(groups, GROUPS, "groups")
        for attribute, labels in declared.groupby("attribute"):
            joined = known.merge(labels[["person", "group"]], on="person").dropna(subset="rest")
            rows += [{"attribute": attribute, **row} for row in _of(joined, config)]
    if not rows:
        return pd.DataFrame(columns=[*DIFFERENCES, "d", "p", "grows", "size"])
    table = pd.DataFrame(rows)
    table["p"] = _adjusted(table["p"])
    table["grows"] = _adjusted(table["p_grows"]) < config.alpha
    table["size"] = [
        _size(row["d"], row["p"], config) for row in table[["d", "p"]].to_dict("records")
    ]
    return table[[*DIFFERENCES, "d", "p", "grows", "size"]]


def _adjusted(p: pd.Series) -> Floats:
    """For as many tests: Benjamini and Hochberg 1995."""
    return np.asarray(multipletests(p, method="fdr_bh")[1]) if len(p) else np.zeros(0)


def _of(joined: pd.DataFrame, config: ItemsConfig) -> Iterator[dict[str, Any]]:
    """Each group against the largest, question by question, at equal ability.

    Ability is drawn to the mean of the person's own group: drawn to that of all, a group that
    is abler would seem favoured by every question (Shealy and Stout 1993).
    """
    reference = str(joined.groupby("person")["group"].first().value_counts().index[0])
    center = joined.groupby("group")["rest"].transform("mean")
    spread = float(((joined["rest"] - center) ** 2).mean())
    within = max(spread - float(joined["rest_variance"].mean()), 0.0)
    drawn = within / (within + joined["rest_variance"])
    joined = joined.assign(ability=center + drawn * (joined["rest"] - center))
    for question, rows in joined.groupby("question"):
        counts = rows["group"].value_counts()
        if counts.get(reference, 0) < config.fewest_of_group:
            continue
        for group in counts.index.drop(reference):
            if counts[group] >= config.fewest_of_group:
                pair = rows[rows["group"].isin([reference, group])]
                found = _compared(pair, str(group))
                yield {"question": question, "group": group, "reference": reference, **found}


def _compared(pair: pd.DataFrame, group: str) -> dict[str, float]:
    focal = (pair["group"] == group).astype(float)
    centred = pair["ability"] - pair["ability"].mean()
    both = pd.DataFrame({"focal": focal, "ability": centred})
    difference, low, high, p = _slope(pair["freed"], both, "focal")
    crossed = both.assign(grows=focal * centred)
    spread = pair["freed"].groupby(focal).var(ddof=1)
    counts = focal.value_counts()
    pooled = float(np.sqrt((spread * (counts - 1)).sum() / (counts.sum() - 2)))
    return {
        "n": float(focal.sum()),
        "difference": difference,
        "low": low,
        "high": high,
        "d": difference / pooled if pooled > 0 else 0.0,
        "p": p,
        "p_grows": _slope(pair["freed"], crossed, "grows")[3],
    }


def _size(d: float, p: float, config: ItemsConfig) -> str:
    if abs(d) <= config.negligible or p >= config.alpha:
        return "negligible"
    return "large" if abs(d) > config.large else "moderate"


def _judged(
    row: dict[Any, Any], large: set[str], moderate: set[str], config: ItemsConfig
) -> tuple[Verdict, list[str]]:
    """The verdict and its reasons; those that retire first."""
    if row["n"] < config.fewest_answers:
        return "too_few", []
    against: dict[str, bool] = {
        "unfair": row["question"] in large,
        "flat": row.get("discrimination_high", np.nan) < config.flat,
        "worn": row["drift"] >= config.worn and row["drift_p"] < config.alpha,
    }
    doubtful = {
        "unfair_moderately": row["question"] in moderate - large,
        "too_easy": row["mean"] > 100 - config.extreme,
        "too_hard": row["mean"] < config.extreme,
        "overexposed": row["exposure"] > config.overexposed,
    }
    reasons = [name for name, found in (against | doubtful).items() if found]
    return ("retire" if any(against.values()) else "watch" if reasons else "keep"), reasons


# --- page ---------------------------------------------------------------------

MAP = (640, 360)
"""Width and height of the map in its own units."""


def items_page(found: Items) -> str:
    """One HTML page that stands alone: a map of the questions, then each with its numbers."""
    pages: dict[str, Callable[..., object]] = {"number": _number}
    return (
        environment(pages)
        .get_template("items.html")
        .render(
            found=found,
            questions=found.questions.to_dict("records"),
            differences=found.differences[found.differences["size"] != "negligible"]
            .sort_values("d", key=np.abs, ascending=False)
            .to_dict("records"),
            raters=found.facets.raters.reset_index(names="rater").to_dict("records"),
            points=_points(found.questions),
            size=MAP,
            counts=found.questions["verdict"].value_counts().to_dict(),
            reliability=[(n, found.facets.reliability(n)) for n in (1, 2, 3, 4, 6, 8)],
        )
    )


def _points(questions: pd.DataFrame) -> list[dict[str, Any]]:
    """Each question's place on the map: difficulty to the right, discrimination up."""
    known = questions.dropna(subset="discrimination")
    if known.empty:
        return []
    width, height = MAP
    reach = max(float(known["difficulty"].abs().max()), 1.0)
    top = max(float(known["discrimination"].max()), 1.5)
    bottom = min(float(known["discrimination"].min()), 0.0)
    return [
        {
            "question": row["question"],
            "verdict": row["verdict"],
            "x": width * (0.5 + 0.47 * row["difficulty"] / reach),
            "y": height * (0.96 - 0.9 * (row["discrimination"] - bottom) / (top - bottom)),
            "title": f"{row['question']}: {row['difficulty']:+.1f}, {row['discrimination']:.2f}",
        }
        for row in known.to_dict("records")
    ]


def _number(value: float, digits: int = 1, sign: str = "") -> str:
    return "–" if value is None or np.isnan(value) else f"{value:{sign}.{digits}f}"
