from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import configs
from data.contract import ContractMismatch
from training.promote import PromotionConfig, Verdict, compare, promote
from training.publish import Built, champion, publish

Build = Callable[..., Built]
CONFIG = configs.load("promotion", PromotionConfig, repeats=100)
PEOPLE = 200


def held_out(
    noise: float, *, extra_group_noise: float = 0, gap: float = 0, people: int = PEOPLE
) -> pd.DataFrame:
    """Ratings, the same whatever is asked for, with scores that miss them by `noise` points.

    In group f they miss by more (`extra_group_noise`), or lie lower (`gap`).
    """
    random = np.random.default_rng(0)
    rating = random.normal(60, 10, people)
    female = np.arange(people) % 2 == 0
    error = random.normal(size=people) * (noise + extra_group_noise * female)
    return pd.DataFrame(
        {
            "person": [f"p{i}" for i in range(people)],
            "item": "answer",
            "target": "fluency",
            "rating": rating,
            "score": rating + error - gap * female,
            "gender": np.where(female, "f", "m"),
        }
    )


@pytest.fixture
def verdict(client: MlflowClient, build: Build) -> Callable[..., Verdict]:
    """The verdict on a second version with these predictions against a first with those."""

    def decide(challenger: pd.DataFrame, incumbent: pd.DataFrame) -> Verdict:
        publish(build(incumbent), change="first")
        return promote("speech", publish(build(challenger), change="second"), CONFIG)

    return decide


def test_a_better_version_is_promoted_and_the_reasons_say_by_how_much(
    client: MlflowClient, verdict: Callable[..., Verdict]
) -> None:
    found = verdict(held_out(4), held_out(10))
    assert found.promoted
    assert champion(client, "speech") == "2"
    assert found.reasons[0].startswith("fluency: r changes by +0.2")
    assert "on 200 common rows" in found.reasons[0]
    assert any("fluency by gender: gap in agreement" in reason for reason in found.reasons)


def test_a_worse_version_is_refused_and_the_reason_says_by_how_much(
    client: MlflowClient, verdict: Callable[..., Verdict]
) -> None:
    found = verdict(held_out(10), held_out(4))
    assert not found.promoted
    assert champion(client, "speech") == "1"
    assert found.reasons[0].startswith("fluency: r changes by -0.2")
    assert found.reasons[0].endswith("that is worse")


def test_the_same_predictions_are_no_worse_and_no_less_fair(
    verdict: Callable[..., Verdict],
) -> None:
    assert verdict(held_out(6), held_out(6)).promoted


def test_a_handful_of_people_in_common_decides_nothing() -> None:
    other = held_out(10).assign(person=lambda rows: "other " + rows["person"])
    challenger = pd.concat([held_out(4).head(4), other.tail(196)])
    objections, _ = compare(challenger, held_out(4), CONFIG, outputs={"fluency"})
    assert "rows of 4 people in common, of at least 200 each" in objections[0]


def test_a_larger_corpus_around_the_champions_people_is_judged_on_those() -> None:
    more = held_out(4, people=1000)
    assert compare(more, held_out(4), CONFIG, outputs={"fluency"})[0] == []


def test_a_version_that_this_code_could_not_load_is_not_promoted(
    client: MlflowClient, build: Build
) -> None:
    publish(build(held_out(10)), change="first")
    built = build(held_out(4))
    newer = built.manifest.model_copy(update={"feature_set": "speech-0-00000000"})
    found = promote("speech", publish(replace(built, manifest=newer), change="older"), CONFIG)
    assert not found.promoted
    assert "speech-0-00000000" in found.reasons[0]
    assert champion(client, "speech") == "1"


def test_a_first_version_that_this_code_could_not_load_is_no_champion(
    client: MlflowClient, build: Build
) -> None:
    built = build(held_out(4))
    newer = built.manifest.model_copy(update={"feature_set": "speech-0-00000000"})
    publish(replace(built, manifest=newer), change="older")
    assert champion(client, "speech") is None


def test_a_gap_that_grew_within_what_chance_does_is_reported_and_not_refused() -> None:
    objections, findings = compare(held_out(4), held_out(10), CONFIG, outputs={"fluency"})
    assert objections == []
    [impact] = [reason for reason in findings if "impact ratio" in reason]
    assert "0.113 → 0.148, a change of +0.035 (-" in impact


@pytest.mark.parametrize(
    ("challenger", "complaint"),
    [
        (held_out(3, gap=8), "gap in mean score − rating"),
        (held_out(3, gap=8), "loss of impact ratio at one half selected"),
        (held_out(2, extra_group_noise=8), "gap in agreement"),
    ],
)
def test_a_version_that_agrees_as_well_but_is_less_fair_is_refused_and_says_so(
    client: MlflowClient,
    verdict: Callable[..., Verdict],
    challenger: pd.DataFrame,
    complaint: str,
) -> None:
    found = verdict(challenger, held_out(8))
    assert not found.promoted
    assert champion(client, "speech") == "1"
    assert not any("that is worse" in reason for reason in found.reasons)
    [why] = [reason for reason in found.reasons if complaint in reason]
    assert why.startswith("fluency by gender")
    assert "that is less fair" in why


def test_a_group_of_fewer_people_than_the_smallest_that_counts_does_not_decide() -> None:
    few = CONFIG.model_copy(update={"min_group": 101})
    objections, findings = compare(held_out(3, gap=8), held_out(8), few, outputs={"fluency"})
    assert objections == []
    assert len(findings) == 1


def test_a_version_with_no_rows_in_common_is_refused(verdict: Callable[..., Verdict]) -> None:
    others = held_out(1).assign(person=lambda table: "other-" + table["person"])
    found = verdict(others, held_out(10))
    assert not found.promoted
    assert "rows of 0 people in common" in found.reasons[0]


def test_rows_are_compared_where_both_versions_have_them() -> None:
    objections, findings = compare(
        held_out(4), held_out(10).iloc[:120], CONFIG, outputs={"fluency"}
    )
    assert objections == []
    assert "on 120 common rows" in findings[0]


def test_a_version_without_predictions_is_refused(verdict: Callable[..., Verdict]) -> None:
    found = verdict(held_out(1).iloc[:0], held_out(10))
    assert found == Verdict(False, ("it has no held-out predictions to be judged by",))


def test_against_a_champion_without_predictions_agreement_above_zero_is_enough(
    client: MlflowClient, verdict: Callable[..., Verdict]
) -> None:
    found = verdict(held_out(10), held_out(10).iloc[:0])
    assert found.promoted
    assert "the champion has no predictions to compare with" in found.reasons[0]
    assert champion(client, "speech") == "2"


def test_against_a_champion_without_predictions_chance_is_not_enough() -> None:
    guesses = held_out(1).assign(score=np.random.default_rng(1).normal(size=PEOPLE))
    objections, findings = compare(guesses, held_out(1).iloc[:0], CONFIG, outputs={"fluency"})
    assert findings == []
    assert "is not shown to be above zero" in objections[0]


def test_a_composite_needs_one_of_its_jobs_outcomes_above_zero_and_none_below() -> None:
    none = held_out(1).iloc[:0]
    chance = np.random.default_rng(1).normal(size=PEOPLE)

    def outcomes(job: str, **ratings: object) -> pd.DataFrame:
        parts = [
            held_out(8).assign(item=job, target=f"{job}.{name}", **({} if r is None else r))
            for name, r in ratings.items()
        ]
        return pd.concat(parts, ignore_index=True)

    unrelated, opposite = {"rating": chance}, {"rating": -held_out(8)["rating"]}
    teller = outcomes("teller", performance=None, retained=unrelated)
    objections, findings = compare(teller, none, CONFIG, outputs=())
    assert objections == []
    assert "teller.retained: r" in findings[1]
    analyst = outcomes("analyst", performance=unrelated)
    objections, _ = compare(pd.concat([teller, analyst]), none, CONFIG, outputs=())
    assert [reason.split(":")[0] for reason in objections] == ["analyst.performance"]
    leaver = outcomes("teller", performance=None, retained=opposite)
    objections, _ = compare(leaver, none, CONFIG, outputs=())
    assert objections[0].endswith("is below zero")


def test_scores_that_are_all_the_same_are_refused() -> None:
    objections, _ = compare(
        held_out(1).assign(score=50.0), held_out(10), CONFIG, outputs={"fluency"}
    )
    assert "undefined" in objections[0]
    objections, _ = compare(
        held_out(1).assign(score=50.0), held_out(10).iloc[:0], CONFIG, outputs={"fluency"}
    )
    assert "undefined" in objections[0]


def test_ways_of_holding_out_are_compared_apart() -> None:
    """A gain on known questions does not hide a loss on unseen ones."""

    def both(unseen: float, known: float) -> pd.DataFrame:
        parts = [
            held_out(noise).assign(item=split, split=split)
            for split, noise in (("unseen", unseen), ("known", known))
        ]
        return pd.concat(parts, ignore_index=True)

    objections, findings = compare(both(10, 1), both(6, 8), CONFIG, outputs={"fluency"})
    assert [reason.split(":")[0] for reason in objections] == ["fluency, unseen"]
    assert objections[0].endswith("that is worse")
    assert any(reason.startswith("fluency, known: r changes by +") for reason in findings)


def test_a_version_that_no_longer_gives_a_score_of_the_champion_is_refused(
    client: MlflowClient, build: Build
) -> None:
    publish(build(held_out(10), targets=("fluency", "prosody")), change="x")
    found = promote("speech", publish(build(held_out(4)), change="x"), CONFIG)
    assert not found.promoted
    assert found.reasons[0] == "prosody: it gives no such score, the champion does"


def test_a_score_of_the_head_without_held_out_predictions_is_refused(
    client: MlflowClient, build: Build
) -> None:
    both = pd.concat([held_out(10), held_out(10).assign(target="prosody")])
    publish(build(both, targets=("fluency", "prosody")), change="first")
    untested = build(held_out(4), targets=("fluency", "prosody"))
    found = promote("speech", publish(untested, change="second"), CONFIG)
    assert not found.promoted
    assert found.reasons[0] == (
        "prosody: its head gives this score and it has no held-out predictions of it"
    )
    assert champion(client, "speech") == "1"


def test_the_champion_is_not_promoted_again(client: MlflowClient, build: Build) -> None:
    assert promote("speech", publish(build(held_out(4)), change="x"), CONFIG) == Verdict(
        False, ("version 1 is the champion already",)
    )


def test_a_registry_whose_champion_was_taken_away_takes_any_complete_version(
    client: MlflowClient, build: Build
) -> None:
    version = publish(build(held_out(4)), change="x")
    client.delete_registered_model_alias("speech", "champion")
    assert promote("speech", version, CONFIG) == Verdict(True, ("there was no champion",))
    assert champion(client, "speech") == version


def test_an_unknown_version_is_a_mismatch_that_names_those_there_are(
    client: MlflowClient, build: Build
) -> None:
    publish(build(held_out(4)), change="x")
    with pytest.raises(ContractMismatch, match="no speech version 9; it has 1"):
        promote("speech", "9", CONFIG)


def test_the_shipped_margins_are_those_of_the_file() -> None:
    shipped = configs.load("promotion", PromotionConfig)
    assert 0 < shipped.metric_margin < shipped.group_gap_margin < 0.1
