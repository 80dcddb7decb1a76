import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

import configs
from data import outcomes
from data.simulate import SimulationConfig, simulate
from evaluation.fairness import smd
from evaluation.reliability import icc


def config(**changes: object) -> SimulationConfig:
    return configs.load("simulate", SimulationConfig, **changes)


def test_the_same_seed_gives_the_same_tables_and_another_seed_others():
    first, again, other = (simulate(config(people=50, seed=s)) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first.ratings, again.ratings)
    assert not first.ratings["rating"].equals(other.ratings["rating"])


def test_simulated_tables_pass_the_same_door_as_real_ones(tmp_path):
    made = simulate(config(people=50))
    made.write(tmp_path)
    found = outcomes.read(tmp_path)
    for name in outcomes.SCHEMAS:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(made, name))


def test_the_planted_group_gap_is_in_the_scores():
    made = simulate(config(people=20_000, gap={"products": 0.5}, raters=1))
    wide = made.scores.pivot(index="person", columns="name", values="score")
    group = made.groups.set_index("person")["group"].reindex(wide.index)
    for name, planted in {"products": 0.5, "teamwork": 0}.items():
        found = smd(wide.loc[group == "reference", name], wide.loc[group == "focal", name])
        assert found == pytest.approx(planted, abs=0.04)


def test_rater_error_gives_the_icc_that_arithmetic_gives():
    made = simulate(config(people=2000, rater_severity=0, rater_noise=15, score_sd=15, gap={}))
    one = made.ratings[made.ratings["target"] == "products"]
    table = one.pivot(index="person", columns="rater", values="rating")
    assert icc(table).single.value == pytest.approx(0.5, abs=0.03)


def test_the_planted_noise_gives_the_validity_that_arithmetic_gives():
    # noise as large as what the scores explain: r = 1 / √2
    made = simulate(
        config(hire_share=1, noise=1, supervisor_noise=0, supervisor_severity=0, gap={})
    )
    wide = made.scores.pivot(index="person", columns="name", values="score")
    performance = made.performance.groupby("person")["rating"].mean()
    composite = wide @ pd.Series(config().weights)
    assert np.corrcoef(composite, performance)[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.03)


def test_only_the_hired_have_performance_and_the_shares_are_as_asked():
    made = simulate(config(people=1000, hire_share=0.3, promoted_share=0.2))
    hired = made.hires.loc[made.hires["hired"], "person"]
    assert len(hired) == 300
    assert set(made.performance["person"]) == set(hired)
    assert len(made.promotions) == 60
    assert made.hires.loc[~made.hires["hired"], "retained"].isna().all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": {"sql": 0.5}}, "sum to 1"),
        ({"gap": {"charm": 1}}, "charm"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        config(**changes)
