from pathlib import Path

import pandas as pd
import pytest

from data.outcomes import BadTable
from training import behaviour

KIND = "I understand how hard this must be and I appreciate your work. Thank you."
COLD = "The report is late. Send it by Friday and copy the team."


def labelled(path: Path, kind: int = 40, cold: int = 40) -> Path:
    texts = [f"{KIND} Item {i}." for i in range(kind)] + [f"{COLD} Item {i}." for i in range(cold)]
    table = pd.DataFrame({"text": texts, "empathy": [1] * kind + [0] * cold})
    table.to_csv(path, index=False)
    return path


def test_a_behaviour_that_shows_in_the_wording_is_told_and_noise_is_not(tmp_path: Path):
    plain = behaviour.read(labelled(tmp_path / "plain.csv"), "empathy")
    assert behaviour.held_out(plain).accuracy.value == 1
    table = pd.read_csv(tmp_path / "plain.csv")
    mixed = table.assign(empathy=[i % 2 for i in range(len(table))])
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    noise = behaviour.held_out(behaviour.read(tmp_path / "mixed.csv", "empathy"))
    assert noise.accuracy.value < 0.6
    assert noise.majority == 0.5


def test_it_is_judged_on_texts_it_did_not_learn_from(tmp_path: Path):
    given = behaviour.read(labelled(tmp_path / "given.csv"), "empathy")
    new = behaviour.read(labelled(tmp_path / "new.csv", 30, 60), "empathy")
    found = behaviour.judged(given, new)
    assert (found.accuracy.value, found.accuracy.n) == (1, 90)
    assert found.majority == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"empathy": 2}, "0 or 1"),
        ({"empathy": 1}, "needs 20 texts"),
        ({"text": None}, "needs a text"),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(tmp_path: Path, change, message: str):
    table = pd.read_csv(labelled(tmp_path / "a.csv")).assign(**change)
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(BadTable, match=message):
        behaviour.read(tmp_path / "a.csv", "empathy")


def test_a_missing_column_is_named(tmp_path: Path):
    with pytest.raises(BadTable, match="warmth"):
        behaviour.read(labelled(tmp_path / "a.csv"), "warmth")


def test_the_shared_replies_are_told_apart_better_than_by_the_commoner_label(shared_data: Path):
    given = behaviour.read(shared_data / "siop2024" / "empathy.csv", "empathy")
    found = behaviour.held_out(given)
    assert found.accuracy.value > 0.61
    assert found.majority == 0.55
