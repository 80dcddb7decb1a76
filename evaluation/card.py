"""The model card of a registered version: its fields, what is missing, its three forms.

A card is made by a recipe, completed by publishing (`Card.with_identity`) and read
by auditors as JSON, Markdown or a page. A field that does not apply holds a
sentence that says why (`not_applicable`); an empty field is a missing one, and a
card with a missing field cannot be published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from data.contract import ContractMismatch, Record, first_fault
from data.registry import CARD

PAGES = Path(__file__).parent / "pages"

Slice = dict[str, str]
"""Column of predictions.csv -> the value rows must have; empty: everybody."""


def not_applicable(reason: str) -> str:
    """Content of a field that does not apply to this version.

    Raises ValueError without a reason: an empty field would only look filled.
    """
    if not reason.strip():
        raise ValueError("not_applicable needs a reason, got an empty one; say why in a sentence")
    return f"not applicable: {reason.strip()}"


# --- rows of the card's tables ---------------------------------------------------


class Metric(Record):
    """One measured number on people the head was not fitted on.

    type : one that `evaluation.rows` computes, or another name
    value, low, high : the estimate and its 95 % interval; None: undefined, see `note`
    unit : column of predictions.csv whose values were resampled for the interval
    n : how many of these the estimate rests on
    baseline : the same metric of simpler predictors (mean, length, unit weights)
    human_ceiling : the same metric for one rater against the mean of the others
    note : why a value, baseline or ceiling is not there
    """

    type: str = Field(title="指标 / Metric")
    target: str = Field(title="目标 / Target")
    slice: Slice = Field(default={}, title="人群 / Slice")
    value: float | None = Field(default=None, title="值 / Value")
    low: float | None = Field(default=None, title="下限 / Low")
    high: float | None = Field(default=None, title="上限 / High")
    n: int = Field(default=0, ge=0, title="单位数 / n")
    unit: str = Field(default="person", title="单位 / Resampled unit")
    baseline: dict[str, float | None] = Field(default={}, title="基线 / Baseline")
    human_ceiling: float | None = Field(default=None, title="人类上限 / Human ceiling")
    note: str = Field(default="", title="说明 / Note")


class Impact(Record):
    """One group's row of an impact table.

    target : of predictions.csv, whose scores selected
    column, group : e.g. `gender`, `female`; column `gender × ethnicity` when crossed
    rate : share selected, or share scoring above the median where `cut` says so
    ratio : rate over the highest rate; below .8 asks for a review, it is a flag
    low, high : 95 % interval of the ratio
    """

    target: str = Field(title="目标 / Target")
    column: str = Field(title="属性 / Attribute")
    group: str = Field(title="群体 / Group")
    n: int = Field(ge=0, title="人数 / n")
    selected: int = Field(ge=0, title="入选 / Selected")
    rate: float | None = Field(title="比率 / Rate")
    ratio: float | None = Field(title="影响比 / Impact ratio")
    low: float | None = Field(default=None, title="下限 / Low")
    high: float | None = Field(default=None, title="上限 / High")
    cut: str = Field(title="入选规则 / Selection rule")
    note: str = Field(default="", title="说明 / Note")


class Abstention(Record):
    """How often one group got no score."""

    column: str = Field(title="属性 / Attribute")
    group: str = Field(title="群体 / Group")
    n: int = Field(ge=0, title="回答数 / Responses")
    abstained: int = Field(ge=0, title="未评分 / Not scored")
    share: float = Field(ge=0, le=1, title="比例 / Share")


class Robustness(Record):
    """How far one condition of recording moves a target's score, in points of 100.

    None where nobody was scored. reasons : codes of those that were not
    """

    condition: str = Field(title="条件 / Condition")
    target: str = Field(title="目标 / Target")
    n: int = Field(ge=0, title="回答数 / Answers")
    abstained: int = Field(ge=0, title="未评分 / Not scored")
    reasons: str = Field(default="", title="原因 / Reasons")
    mean: float | None = Field(default=None, title="平均变化 / Mean change")
    median: float | None = Field(default=None, title="中位绝对变化 / Median change, absolute")
    p95: float | None = Field(default=None, title="95 百分位 / 95th percentile, absolute")


class Measured(Record):
    """One measure that people are shown beside a recording.

    low, high : its reference range, 10th to 90th percentile of the people named by source
    disturbed_by : what moves it besides the person
    """

    name: str = Field(title="测量 / Measure")
    unit: str = Field(title="单位 / Unit")
    meaning: str = Field(title="含义 / Meaning")
    low: float | None = Field(default=None, title="参考下限 / Reference low")
    high: float | None = Field(default=None, title="参考上限 / Reference high")
    source: str = Field(title="参考来源 / Reference from")
    disturbed_by: str = Field(title="干扰因素 / Disturbed by")


class Drift(Record):
    """How far one measure drifts when the same recordings are filmed otherwise.

    n : recordings in which it was measured; lost : of these, not measured under the change
    mean, worst : change in its unit; worst is absolute
    of_range : worst over the range between the recordings as they are
    """

    change: str = Field(title="改变 / Change")
    measure: str = Field(title="测量 / Measure")
    unit: str = Field(title="单位 / Unit")
    n: int = Field(ge=0, title="录像数 / Recordings")
    lost: int = Field(ge=0, title="未测到 / Lost")
    mean: float | None = Field(default=None, title="平均变化 / Mean drift")
    worst: float | None = Field(default=None, title="最大绝对变化 / Worst drift, absolute")
    of_range: float | None = Field(
        default=None, title="占录像间差距 / Worst over the range between recordings"
    )


class GroupCount(Record):
    """How many people of one group the version learned from."""

    column: str = Field(title="属性 / Attribute")
    group: str = Field(title="群体 / Group")
    n: int = Field(ge=0, title="人数 / n")


class BaseModelUsed(Record):
    """A pretrained model the version stands on."""

    name: str = Field(title="模型 / Model")
    licence: str = Field(title="许可 / Licence")
    use: str = Field(title="用途 / Use")
    sha256: str = Field(default="", title="SHA-256")


class Region(Record):
    """Where a part is off, and by which rule."""

    region: str = Field(title="地区 / Region")
    rule: str = Field(title="依据 / Rule")
    effect: str = Field(title="处理 / Effect")


class Change(Record):
    """One line of the change log."""

    date: str = Field(title="日期 / Date")
    change: str = Field(title="变更 / Change")


class Requirement(Record):
    """One legal requirement and where it is met, or that it is not met yet."""

    requirement: str = Field(title="要求 / Requirement")
    where: str = Field(title="所在 / Where")


# --- sections --------------------------------------------------------------------


class Identity(Record):
    """What this version is.

    Writing a version fills sha256, run and git_commit, which are of its training;
    registering it fills version and registered_by, the run of the registry it is in.
    """

    name: str = Field(default="", title="名称 / Name")
    summary: str = Field(default="", title="概要 / Summary")
    version: str = Field(default="", title="版本 / Version")
    date: str = Field(default="", title="日期 / Date")
    change_since_last: str = Field(
        default="", title="与上一版的差别 / Change since the last version"
    )
    sha256: str = Field(default="", title="文件 SHA-256 / SHA-256 of the head")
    run: str = Field(default="", title="训练记录 / Training run")
    git_commit: str = Field(default="", title="代码提交 / Git commit of the training")
    registered_by: str = Field(default="", title="登记记录 / Registered by run")
    licences: tuple[str, ...] = Field(default=(), title="许可 / Licences")


class IntendedUse(Record):
    """Who may use it for what, and where not. languages are ISO 639-1 codes."""

    uses: tuple[str, ...] = Field(default=(), title="预期用途 / Intended uses")
    users: tuple[str, ...] = Field(default=(), title="使用者 / Users")
    languages: tuple[str, ...] = Field(default=(), title="语言 / Languages")
    out_of_scope: tuple[str, ...] = Field(default=(), title="不得用于 / Out of scope")
    regions: str = Field(default="", title="适用地区 / Regions")
    off_in: tuple[Region, ...] | str = Field(default=(), title="停用地区 / Where a part is off")


class Architecture(Record):
    """What computes the score."""

    description: str = Field(default="", title="结构 / Architecture")
    inputs: str = Field(default="", title="输入 / Inputs")
    outputs: str = Field(default="", title="输出 / Outputs")
    base_models: tuple[BaseModelUsed, ...] | str = Field(default=(), title="基础模型 / Base models")


class Data(Record):
    """What it learned from. A number that does not apply is a sentence."""

    n_people: int | str = Field(default="", title="人数 / People")
    n_recordings: int | str = Field(default="", title="录音或回答数 / Recordings or answers")
    dates: str = Field(default="", title="日期 / Dates")
    consent_basis: str = Field(default="", title="同意依据 / Consent basis")
    label_source: str = Field(default="", title="标注来源 / Label source")
    rater_icc: float | str = Field(default="", title="评分者一致性 / Rater agreement (ICC)")
    demographics: tuple[GroupCount, ...] | str = Field(default=(), title="人口构成 / Demographics")
    split: str = Field(default="", title="划分 / Split by person")
    datasheet: str = Field(default="", title="数据说明 / Datasheet")


class Metrics(Record):
    """How well it agrees with people it was not fitted on."""

    protocol: str = Field(default="", title="方法 / Protocol")
    rows: tuple[Metric, ...] | str = Field(default=(), title="结果 / Results")
    length_adjusted: tuple[Metric, ...] | str = Field(
        default=(), title="去除长度后 / Length-adjusted"
    )
    by_codec: tuple[Metric, ...] | str = Field(default=(), title="按编码 / Per codec")
    by_snr: tuple[Metric, ...] | str = Field(
        default=(), title="按信噪比 / Per signal-to-noise ratio"
    )


class Calibration(Record):
    """Whether the interval of a score covers what it claims."""

    method: str = Field(default="", title="方法 / Method")
    level: float | str = Field(default="", title="名义覆盖率 / Nominal coverage")
    half_width: tuple[Metric, ...] | str = Field(
        default=(), title="半宽（百分制）/ Half width, points of 100"
    )
    coverage: tuple[Metric, ...] | str = Field(default=(), title="覆盖率 / Coverage")


class Explanation(Record):
    """How a score is explained and how the explanation was checked."""

    method: str = Field(default="", title="方法 / Method")
    check: str = Field(default="", title="检验 / Check")


class Limitations(Record):
    """What it cannot do and what may go wrong."""

    limitations: tuple[str, ...] = Field(default=(), title="局限 / Limitations")
    trade_offs: tuple[str, ...] = Field(default=(), title="取舍 / Trade-offs")
    risks: tuple[str, ...] = Field(default=(), title="风险 / Risks")


class Monitoring(Record):
    """When somebody must look, and when it must be trained again."""

    thresholds: tuple[str, ...] = Field(default=(), title="阈值 / Thresholds")
    retrain_trigger: str = Field(default="", title="重训条件 / Retrain trigger")


class Law(Record):
    """Which part of the card answers which legal requirement."""

    annex_iv: tuple[Requirement, ...] = Field(default=(), title="欧盟附件四 / EU AI Act Annex IV")
    pipia: tuple[Requirement, ...] = Field(
        default=(), title="个人信息保护影响评估 / PIPIA (PIPL Art. 55–56)"
    )
    ll144: str = Field(default="", title="纽约 LL144 摘要 / NYC Local Law 144 summary")


class Approval(Record):
    """Who answers for it, and until when the audit holds."""

    approver: str = Field(default="not yet approved", title="批准人 / Approver")
    audit_expiry: str = Field(default="not yet audited", title="审计到期 / Audit expiry")


class Card(Record):
    """All that must be said about one registered version."""

    identity: Identity = Field(default=Identity(), title="身份 / Identity")
    intended_use: IntendedUse = Field(default=IntendedUse(), title="用途 / Intended use")
    architecture: Architecture = Field(default=Architecture(), title="结构 / Architecture")
    data: Data = Field(default=Data(), title="数据 / Data")
    metrics: Metrics = Field(default=Metrics(), title="指标 / Metrics")
    reliability: tuple[Metric, ...] | str = Field(default=(), title="信度 / Reliability")
    criterion_validity: tuple[Metric, ...] | str = Field(
        default=(), title="效标效度 / Criterion validity"
    )
    impact: tuple[Impact, ...] | str = Field(default=(), title="影响比表 / Impact tables")
    calibration: Calibration = Field(default=Calibration(), title="校准 / Calibration")
    robustness: tuple[Robustness, ...] | str = Field(
        default="not measured", title="录制条件 / Worse recordings"
    )
    measures: tuple[Measured, ...] | str = Field(
        default="shown with every scorecard, with their reference ranges",
        title="测量 / Measures",
    )
    stability: tuple[Drift, ...] | str = Field(
        default="no measure of the face", title="拍摄条件 / Filmed otherwise"
    )
    abstention: tuple[Abstention, ...] | str = Field((), title="各群体未评分 / Abstention by group")
    explanation: Explanation = Field(default=Explanation(), title="解释 / Explanation")
    limitations: Limitations = Field(
        default=Limitations(), title="局限与风险 / Limitations and risks"
    )
    oversight: str = Field(default="", title="人工监督 / Human oversight")
    monitoring: Monitoring = Field(default=Monitoring(), title="监测 / Monitoring")
    change_log: tuple[Change, ...] = Field(default=(), title="变更记录 / Change log")
    law: Law = Field(default=Law(), title="法规对照 / Law")
    approval: Approval = Field(default=Approval(), title="批准 / Approval")

    def with_identity(self, **known: str) -> Card:
        """This card with some of `Identity` replaced, e.g. version, sha256, run, git_commit.

        Raises pydantic.ValidationError on a field that Identity does not have.
        """
        identity = Identity.model_validate({**self.identity.model_dump(), **known})
        return self.model_copy(update={"identity": identity})

    def with_change(self, change: Change, log: tuple[Change, ...] = ()) -> Card:
        """This card with what changed since the last version, whose change log is `log`."""
        card = self.with_identity(change_since_last=change.change)
        return card.model_copy(update={"change_log": (change, *log)})

    def to_markdown(self) -> str:
        """The card as Markdown under a Hugging Face metadata header."""
        header = yaml.safe_dump(_metadata(self), allow_unicode=True, sort_keys=False)
        blocks = [f"---\n{header}---", f"# {self.identity.name} {self.identity.version}".rstrip()]
        for title, fields in _sections(self):
            blocks.append(f"## {_english(title)}")
            blocks += [_markdown_field(name, value) for name, value in fields]
        return "\n\n".join(blocks) + "\n"


# --- what is missing -------------------------------------------------------------


def read_card(path: Path) -> Card:
    """The card in a version's folder, or in this file. Raises ContractMismatch when none fits."""
    path = path / CARD if path.is_dir() else path
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractMismatch(
            f"{path} is no card that this code can read {first_fault(error)}"
        ) from error


def missing(card: Card) -> list[str]:
    """Dotted paths of empty fields, e.g. `data.consent_basis`; empty when complete.

    A metric without a value, and an agreement without baseline or human ceiling, count as
    missing unless the note says why.
    """
    return [path for path, value in _leaves(card, "") if _empty(value)]


_MAY_BE_EMPTY = {
    *("slice", "note", "sha256", "low", "high", "reasons", "mean", "median", "p95"),
    *("worst", "of_range"),
}
"""Fields of table rows whose emptiness is content, or is judged with the row."""

_COMPARED = {"pearson", "spearman", "mae", "qwk"}
"""Types of metrics that say little without a baseline and a human ceiling."""


def _empty(value: object) -> bool:
    return value is None or value in ("", (), {}) or (isinstance(value, str) and not value.strip())


def _leaves(record: Record, path: str) -> Iterator[tuple[str, object]]:
    for name in type(record).model_fields:
        value = getattr(record, name)
        here = f"{path}.{name}" if path else name
        if isinstance(value, Record):
            yield from _leaves(value, here)
            continue
        yield here, value
        if isinstance(value, tuple):
            for i, item in enumerate(value):
                yield from _row_leaves(item, f"{here}[{i}]")


def _row_leaves(item: object, path: str) -> Iterator[tuple[str, object]]:
    if not isinstance(item, Record):
        yield path, item
        return
    excused = bool(getattr(item, "note", ""))
    alone = isinstance(item, Metric) and item.type not in _COMPARED
    may_be_empty = _MAY_BE_EMPTY | ({"baseline", "human_ceiling"} if alone else set())
    for name in type(item).model_fields:
        value = getattr(item, name)
        if name not in may_be_empty and not (excused and (value is None or value == {})):
            yield f"{path}.{name}", value


# --- texts that versions share ---------------------------------------------------


def human_oversight(*, part: str) -> str:
    """How people stay in charge of the score of `part`, as this service works."""
    return (
        f"The {part} score informs a person and decides nothing: this service knows no 推荐复试 "
        "or 淘汰, HR's own system records who decided, when and why. A provisional score, a part "
        "without a score or words supplied by the caller mark the scorecard for a person to watch "
        "the response; a wide interval is shown and does not. The candidate may ask for "
        "explanation, human review or deletion."
    )


def annex_iv_map(*, risk_management: str, conformity: str) -> tuple[Requirement, ...]:
    """The nine points of EU AI Act Annex IV and where each is answered.

    risk_management, conformity : what exists today under points 5 and 8, in a
        sentence; if nothing exists, say so.
    """
    places = (
        ("1. General description", "Identity; Intended use; Architecture"),
        ("2. Elements and development", "Architecture; Data; Metrics; Human oversight"),
        ("3. Monitoring, functioning, control", "Limitations and risks; Human oversight"),
        ("4. Appropriateness of the metrics", "Metrics; Reliability; Criterion validity"),
        ("5. Risk management system (Art. 9)", risk_management),
        ("6. Changes through the lifecycle", "Change log"),
        ("7. Standards applied", "no harmonised standard is claimed"),
        ("8. EU declaration of conformity", conformity),
        ("9. Post-market monitoring (Art. 72)", "Monitoring"),
    )
    return tuple(Requirement(requirement=point, where=where) for point, where in places)


def pipia_map(*, purpose: str, impact: str, protection: str) -> tuple[Requirement, ...]:
    """PIPL Art. 55–56: what an impact assessment of this version must weigh.

    purpose : why the processing is lawful, legitimate and necessary
    impact : on the person's rights, and the security risks
    protection : measures, and why they are in proportion to the risk
    """
    rows = (
        ("Art. 56(1) purpose and method lawful, legitimate, necessary", purpose),
        ("Art. 56(2) impact on rights and security risks", impact),
        ("Art. 56(3) measures lawful, effective, proportionate", protection),
        ("Art. 55 occasion", "automated decision support; voice and face may be sensitive data"),
        ("Art. 56 retention", "the employer keeps the assessment at least three years"),
    )
    return tuple(Requirement(requirement=point, where=where) for point, where in rows)


def ll144_summary(*, audit: str) -> str:
    """The Local Law 144 summary. audit : its date and auditor, or that there was none."""
    return (
        f"Bias audit: {audit.rstrip('.')}. Source of the data, people of unknown group, numbers, "
        "selection or scoring rates and impact ratios: see Data and Impact tables. Candidates "
        "are told at least ten business days before use."
    )


# --- forms -----------------------------------------------------------------------


def render_html(card: Card) -> str:
    """One page that stands alone: nothing is loaded from elsewhere."""
    page = _pages().get_template("card.html")
    return page.render(card=card, sections=_sections(card), missing=missing(card))


@cache
def _pages() -> Environment:
    return environment({"cell": _cell, "table": _table, "zh": _chinese, "en": _english})


def environment(filters: Mapping[str, Callable[..., object]]) -> Environment:
    """Of the templates in pages/, with these filters besides Jinja's own."""
    pages = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= filters
    return pages


def _sections(card: Card) -> list[tuple[str, list[tuple[str, object]]]]:
    """(title, [(field title, value)]) in the card's order; a plain field has title ''."""
    sections: list[tuple[str, list[tuple[str, object]]]] = []
    for name, field in type(card).model_fields.items():
        value = getattr(card, name)
        fields = [("", value)]
        if isinstance(value, Record):
            fields = [
                (part.title or "", getattr(value, key))
                for key, part in type(value).model_fields.items()
            ]
        sections.append((field.title or "", fields))
    return sections


def _chinese(title: str) -> str:
    return title.split("/")[0].strip()


def _english(title: str) -> str:
    return title.split("/")[-1].strip()


def _table(value: object) -> tuple[list[str], list[list[str]]] | None:
    """(column titles, cells) of a tuple of records without its empty columns; else None."""
    if not isinstance(value, tuple) or not value or not isinstance(value[0], Record):
        return None
    fields = type(value[0]).model_fields
    rows = [[_cell_of(row, name) for name in fields] for row in value]
    titles = [field.title or name for name, field in fields.items()]
    kept = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    return [titles[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _cell_of(row: Record, name: str) -> str:
    return _cell(getattr(row, name)) or ("all" if name == "slice" else "")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_cell(item) or '–'}" for key, item in value.items())
    return str(value)


def _markdown_field(title: str, value: object) -> str:
    heading = f"**{_english(title)}**" if title else ""
    table = _table(value)
    if table is not None:
        titles, rows = table
        lines = [_markdown_row([_english(title) for title in titles]), "|---" * len(titles) + "|"]
        return "\n".join([heading, "", *lines, *map(_markdown_row, rows)]).strip()
    if isinstance(value, tuple):
        return "\n".join([heading, "", *(f"- {item}" for item in value)]).strip()
    return f"{heading}: {_cell(value)}" if heading else _cell(value)


def _markdown_row(cells: list[str]) -> str:
    escaped = (" ".join(cell.replace("|", "\\|").split()) for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _metadata(card: Card) -> dict[str, Any]:
    """Keys and forms of the Hugging Face model card metadata."""
    rows = card.metrics.rows if isinstance(card.metrics.rows, tuple) else ()
    base = card.architecture.base_models
    metadata: dict[str, Any] = {
        "language": list(card.intended_use.languages),
        **_licence(card.identity.licences),
        "tags": ["interview-scoring", "human-oversight-required"],
        "base_model": [model.name for model in base] if isinstance(base, tuple) else [],
        "model-index": [{"name": card.identity.name, "results": _results(rows, card)}],
    }
    return {key: value for key, value in metadata.items() if value}


def _licence(licences: tuple[str, ...]) -> dict[str, str]:
    """The hub knows one licence by its lower-case id; several, or a sentence, are `other`."""
    if len(licences) == 1 and re.fullmatch(r"[A-Za-z0-9.\-]+", licences[0]):
        return {"license": licences[0].lower()}
    return {"license": "other", "license_name": "; ".join(licences)} if licences else {}


def _results(rows: tuple[Metric, ...], card: Card) -> list[dict[str, Any]]:
    results = []
    for row in rows:
        if row.value is None:
            continue
        name = f"{row.type}, {row.target}, {_cell(row.slice) or 'all'}"
        metric = {"type": row.type, "name": name, "value": row.value}
        dataset = {"type": "tabular", "name": card.data.label_source or "not stated"}
        task = {"type": "tabular-regression", "name": row.target}
        results.append({"task": task, "dataset": dataset, "metrics": [metric]})
    return results
