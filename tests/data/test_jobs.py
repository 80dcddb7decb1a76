import shutil

import pytest
from pydantic import ValidationError

import configs
from data import jobs as bank
from data.jobs import (
    DELIVERY,
    LEVELS,
    Bank,
    JobsConfig,
    UnknownJob,
    UnknownQuestion,
    level_of,
    points_of,
)


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
    found = bank.bank().model_dump()
    found["jobs"]["teller"]["questions"]["cash_difference"]["competency"] = "luck"
    with pytest.raises(ValidationError, match="luck"):
        Bank.model_validate(found)


def test_a_question_of_two_jobs_is_refused():
    found = bank.bank().model_dump()
    questions = found["jobs"]["teller"]["questions"]
    found["jobs"]["risk_officer"]["questions"]["explain_app"] = questions["explain_app"]
    with pytest.raises(ValidationError, match="explain_app"):
        Bank.model_validate(found)


def test_an_example_of_a_question_nobody_asks_is_refused():
    found = bank.bank().model_dump()
    found["competencies"]["sql"]["levels"][0]["examples"][0]["question"] = "weather"
    with pytest.raises(ValidationError, match="weather"):
        Bank.model_validate(found)


def test_the_bank_has_twenty_questions_a_job_and_120_in_all():
    counts = {key: len(job.questions) for key, job in bank.jobs().items()}
    assert len(counts) == 6
    assert min(counts.values()) >= 20
    assert sum(counts.values()) >= 120


def test_every_competency_has_five_different_levels_each_with_an_example():
    for competency in bank.competencies().values():
        assert competency.definition.zh != competency.definition.en
        for language in bank.LANGUAGES:
            anchors = competency.anchors(language)
            assert len(set(anchors)) == LEVELS
            answers = [level.examples[0][language] for level in competency.levels]
            assert len(set(answers)) == LEVELS


def test_every_job_asks_easy_and_hard_questions():
    for job in bank.jobs().values():
        difficulties = {question.difficulty for question in job.questions.values()}
        assert min(difficulties) <= 2
        assert max(difficulties) >= 4


@pytest.mark.parametrize(
    ("points", "level"), [(0, 1), (12.4, 1), (12.5, 2), (50, 3), (87.4, 4), (87.5, 5), (100, 5)]
)
def test_points_have_the_nearest_level(points: float, level: int):
    assert level_of(points) == level


def test_a_level_and_its_points_are_one_thing():
    assert [level_of(points_of(level)) for level in range(1, LEVELS + 1)] == [1, 2, 3, 4, 5]


def test_the_bank_s_version_changes_with_any_text(tmp_path, monkeypatch):
    before = bank.bank().version
    copied = tmp_path / "configs"
    shutil.copytree(configs.FOLDER, copied)
    file = copied / "questions" / "teller.yaml"
    file.write_text(file.read_text().replace("time_limit_s: 90", "time_limit_s: 91", 1))
    monkeypatch.setattr(configs, "FOLDER", copied)
    assert bank.bank().version != before


def test_a_job_without_its_file_of_questions_is_refused(tmp_path, monkeypatch):
    copied = tmp_path / "configs"
    shutil.copytree(configs.FOLDER, copied)
    (copied / "questions" / "teller.yaml").unlink()
    monkeypatch.setattr(configs, "FOLDER", copied)
    with pytest.raises(ValueError, match="teller"):
        bank.bank()
