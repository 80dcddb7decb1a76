import re

import pytest
import yaml
from pydantic import ValidationError

from evaluation.card import (
    Abstention,
    Approval,
    Architecture,
    BaseModelUsed,
    Calibration,
    Card,
    Change,
    Data,
    Explanation,
    GroupCount,
    Identity,
    Impact,
    IntendedUse,
    Law,
    Limitations,
    Metric,
    Metrics,
    Monitoring,
    Region,
    annex_iv_map,
    human_oversight,
    ll144_summary,
    missing,
    not_applicable,
    pipia_map,
    render_html,
)


def pearson(value: float | None, **more: object) -> Metric:
    row = {"type": "pearson", "target": "fluency", "value": value, "n": 40, "note": "one rater"}
    return Metric.model_validate(row | more)


def complete_card() -> Card:
    """What a recipe writes, and what publishing adds, for a version that does not exist."""
    return Card(
        identity=Identity(
            name="speech",
            summary="Fluency of a planted corpus.",
            version="3",
            date="2026-11-23",
            change_since_last="none, this is the first",
            sha256="ab" * 32,
            run="0123",
            git_commit="60a5733",
            registered_by="4567",
            licences=("Apache-2.0",),
        ),
        intended_use=IntendedUse(
            uses=("informing an interviewer",),
            users=("trained HR staff",),
            languages=("en",),
            out_of_scope=("deciding alone",),
            regions="everywhere but where it is off",
            off_in=(Region(region="EU", rule="Art. 5(1)(f)", effect="expression is off"),),
        ),
        architecture=Architecture(
            description="ridge on two columns",
            inputs="speech-1",
            outputs="points of 100",
            base_models=(BaseModelUsed(name="openai/whisper-base", licence="MIT", use="encoder"),),
        ),
        data=Data(
            n_people=40,
            n_recordings=120,
            dates="simulated in the test",
            consent_basis=not_applicable("nobody was recorded"),
            label_source="planted ratings",
            rater_icc=0.71,
            demographics=(GroupCount(column="gender", group="f", n=20),),
            split="by person",
            datasheet="in this test",
        ),
        metrics=Metrics(
            protocol="five folds by person",
            rows=(pearson(0.8, baseline={"length": 0.4}, human_ceiling=0.81),),
            length_adjusted=(pearson(0.7, type="partial_pearson"),),
            by_codec=not_applicable("nothing was encoded"),
            by_snr=not_applicable("no noise was added"),
        ),
        reliability=not_applicable("one answer a person"),
        criterion_validity=not_applicable("nobody was hired"),
        impact=(
            Impact(
                target="fluency",
                column="gender",
                group="f",
                n=20,
                selected=9,
                rate=0.45,
                ratio=0.9,
                cut="score over the median",
            ),
        ),
        calibration=Calibration(
            method="residual quantile",
            level=0.9,
            half_width=(pearson(12.5, type="half_width"),),
            coverage=(pearson(0.91, type="coverage"),),
        ),
        abstention=(Abstention(column="gender", group="f", n=20, abstained=1, share=0.05),),
        explanation=Explanation(method="leave words out", check="planted words come back"),
        limitations=Limitations(
            limitations=("read speech",), trade_offs=("small",), risks=("accent",)
        ),
        oversight=human_oversight(part="speech"),
        monitoring=Monitoring(thresholds=("r under .7",), retrain_trigger="two breaches"),
        change_log=(Change(date="2026-11-23", change="first"),),
        law=Law(
            annex_iv=annex_iv_map(risk_management="none yet", conformity="none yet"),
            pipia=pipia_map(purpose="test", impact="none", protection="none needed"),
            ll144=ll144_summary(audit="none was made"),
        ),
        approval=Approval(),
    )


def test_a_complete_card_misses_nothing() -> None:
    assert missing(complete_card()) == []


def test_an_empty_card_misses_every_field_but_the_approval_that_says_not_yet() -> None:
    gaps = missing(Card())
    assert {"identity.name", "data.consent_basis", "metrics.rows", "law.annex_iv"} <= set(gaps)
    assert not any(path.startswith("approval") for path in gaps)


@pytest.mark.parametrize("value", ["", "   "])
def test_blank_text_is_missing(value: str) -> None:
    card = complete_card()
    blank = card.model_copy(update={"oversight": value})
    assert missing(blank) == ["oversight"]


def test_a_metric_without_baseline_and_ceiling_must_say_why() -> None:
    card = complete_card()
    silent = pearson(0.8, note="")
    metrics = card.metrics.model_copy(update={"rows": (silent,)})
    assert missing(card.model_copy(update={"metrics": metrics})) == [
        "metrics.rows[0].baseline",
        "metrics.rows[0].human_ceiling",
    ]


def test_only_an_agreement_needs_a_baseline_and_a_ceiling() -> None:
    card = complete_card()
    row = Metric(type="coverage", target="fluency", value=0.9, low=0.8, high=1.0, n=40)
    section = card.calibration.model_copy(update={"coverage": (row,)})
    assert missing(card.model_copy(update={"calibration": section})) == []


def test_a_change_goes_before_those_of_the_version_before() -> None:
    card = complete_card()
    changed = card.with_change(Change(date="2026-12-01", change="more speakers"), card.change_log)
    assert changed.identity.change_since_last == "more speakers"
    assert [line.change for line in changed.change_log] == ["more speakers", "first"]


def test_everybody_and_baselines_are_named_in_the_table() -> None:
    text = complete_card().to_markdown()
    assert "| pearson | fluency | all | 0.8 | 40 | person | length=0.4 | 0.81 |" in text


def test_not_applicable_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        not_applicable(" ")


def test_publishing_fills_the_identity_and_nothing_else_moves() -> None:
    card = complete_card()
    published = card.with_identity(version="4", sha256="cd" * 32)
    assert (published.identity.version, published.identity.run) == ("4", "0123")
    assert published.model_copy(update={"identity": card.identity}) == card


def test_an_identity_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError):
        complete_card().with_identity(verion="4")


def test_the_card_comes_back_from_its_json() -> None:
    card = complete_card()
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_markdown_opens_with_metadata_the_hub_understands() -> None:
    text = complete_card().to_markdown()
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["license"] == "apache-2.0"
    assert header["language"] == ["en"]
    assert header["base_model"] == ["openai/whisper-base"]
    hub = pytest.importorskip("huggingface_hub")
    results = hub.ModelCard(text, ignore_metadata_errors=False).data.eval_results
    assert [(result.metric_type, result.metric_value) for result in results] == [("pearson", 0.8)]


def test_a_pipe_in_a_cell_stays_in_its_cell_of_the_markdown_table() -> None:
    card = complete_card().model_copy(update={"change_log": (Change(date="d", change="a|b"),)})
    assert "| d | a\\|b |" in card.to_markdown()


def test_the_page_loads_nothing_and_shows_text_as_text() -> None:
    attack = "<script>alert(1)</script>"
    page = render_html(complete_card().with_identity(summary=attack))
    assert attack not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//|url\(|@import""", page)


def test_the_page_has_each_section_in_chinese_and_english() -> None:
    page = render_html(complete_card())
    for heading in ("用途", "Intended use", "影响比表", "Impact tables", "人工监督", "校准"):
        assert heading in page


def test_the_page_of_an_incomplete_card_names_what_is_missing() -> None:
    assert "metrics.by_codec" in render_html(Card())
