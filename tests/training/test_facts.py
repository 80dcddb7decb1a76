import shutil
from pathlib import Path

import pytest

from data.outcomes import BadTable
from training.facts import Facts, facts


def test_a_known_corpus_is_recognised_by_its_content_and_not_by_its_form(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "siop2020"
    assert facts(folder).consent_basis == "published by its authors for research"
    shutil.copy(folder / "hires.csv", tmp_path)
    assert facts(tmp_path) == facts(folder)
    with (tmp_path / "hires.csv").open("a") as table:
        table.write("\n")
    assert facts(tmp_path) == Facts()


def test_what_an_owner_states_is_taken_and_the_rest_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("name: branch interviews\nlanguages: [zh]\n")
    found = facts(tmp_path)
    assert (found.name, found.languages, found.settings) == ("branch interviews", ("zh",), ())
    assert found.consent_basis == "unknown: the folder states nothing"


@pytest.mark.parametrize("text", ["consent: yes", "a: [", "just a sentence"])
def test_a_statement_that_is_no_fact_is_refused_with_the_facts_there_are(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(BadTable, match=r"(?s)dataset\.yaml.*consent_basis"):
        facts(tmp_path)
