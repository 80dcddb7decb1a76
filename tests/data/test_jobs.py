import pytest
from pydantic import ValidationError

import configs
from data import jobs as bank
from data.jobs import DELIVERY, JobsConfig, UnknownJob, UnknownQuestion


def test_every_job_has_three_or_more_questions_in_both_languages():
    for job in bank.jobs().values():
        assert len(job.questions) >= 3
        for question in job.questions.values():
            assert len(question.key_points.zh) == len(question.key_points.en) >= 4
            assert len(question.references.zh) == len(question.references.en) >= 1
            assert question.text["zh"] != question.text["en"]


def test_every_weighted_competency_of_a_job_is_defined_and_asked():
    known = bank.competencies()
    for job in bank.jobs().values():
        assert set(job.competencies) <= set(known)
        assert {q.competency for q in job.questions.values()} == set(job.competencies)
        assert job.weights["expression"] == 0
        assert sum(job.weights.values()) == pytest.approx(1)


def test_delivery_aspects_are_not_competencies():
    assert not set(DELIVERY) & set(bank.job("teller").competencies)


def test_the_sample_question_is_there_in_english():
    question = bank.job("relationship_manager").question("unhappy_customer")
    assert question.key == "unhappy_customer"
    assert "unhappy customer" in question.text["en"]
    assert len(question.comparisons("en")) == 3


def test_an_unknown_job_is_refused_with_the_known_ones_named():
    with pytest.raises(UnknownJob, match="relationship_manager"):
        bank.job("astronaut")


def test_an_unknown_question_is_refused_with_the_known_ones_named():
    with pytest.raises(UnknownQuestion, match="suspected_fraud"):
        bank.job("teller").question("unhappy_customer")


def test_weights_that_do_not_sum_to_one_are_refused():
    config = configs.load("jobs", JobsConfig).model_dump()
    config["jobs"]["teller"]["weights"]["fluency"] = 0.5
    with pytest.raises(ValidationError, match="sum to 1"):
        JobsConfig.model_validate(config)


def test_a_question_for_a_competency_nobody_defined_is_refused():
    config = configs.load("jobs", JobsConfig).model_dump()
    config["jobs"]["teller"]["questions"]["cash_difference"]["competency"] = "luck"
    with pytest.raises(ValidationError, match="luck"):
        JobsConfig.model_validate(config)
