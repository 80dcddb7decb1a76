import pandas as pd
import pytest
from pydantic import ValidationError

from data.weights import JobWeights, read_weights, weights_json


def test_the_composite_is_the_weighted_sum_of_standardised_predictors():
    weights = JobWeights(
        source="learned", predictors={"a": 2, "b": 1}, center={"a": 50}, scale={"a": 10}
    )
    table = pd.DataFrame({"b": [1.0, 2.0], "a": [60.0, 50.0], "ignored": [9.0, 9.0]})
    assert weights.composite(table).to_list() == [3, 2]


def test_shares_of_points_give_points():
    weights = JobWeights(source="chosen", predictors={"a": 0.75, "b": 0.25})
    assert weights.composite(pd.DataFrame({"a": [80.0], "b": [40.0]})).to_list() == [70]


def test_weights_written_are_the_weights_read(tmp_path):
    weights = {"teller": JobWeights(source="chosen", predictors={"客户导向": 1 / 3})}
    path = tmp_path / "weights.json"
    path.write_bytes(weights_json(weights))
    assert read_weights(path)["teller"].predictors == {"客户导向": 0.333333}
    assert "客户导向" in path.read_text(encoding="utf-8")


def test_a_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text('{"teller": {"source": "guessed", "predictors": {}}}')
    with pytest.raises(ValidationError, match="guessed"):
        read_weights(path)
