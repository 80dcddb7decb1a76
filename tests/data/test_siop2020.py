import pandas as pd
import pytest

from data.corpora import siop2020
from data.outcomes import BadTable

ROW = {
    "SJ_Most_1": 3.0,
    "SJ_Time_1": 53.0,
    "Scenario1_Time": 40.0,
    "Biodata_01": 2.0,
    **dict.fromkeys(siop2020.RATINGS, 3.5),
    "High_Performer": 1,
    "Protected_Group": 0,
    "Retained": 1,
}
TABLE = pd.DataFrame([{"UNIQUE_ID": "07", **ROW}, {"UNIQUE_ID": "8", **ROW, "Biodata_01": None}])


def test_each_answer_is_a_column_a_missing_one_too_and_times_are_left_out(tmp_path):
    TABLE.to_csv(tmp_path / "hires.csv", index=False)
    found = siop2020.read(tmp_path)
    assert found.predictors.to_dict("index") == {
        "07": {"SJ_Most_1=3": 1, "Biodata_01=2": 1, "Biodata_01=none": 0},
        "8": {"SJ_Most_1=3": 1, "Biodata_01=2": 0, "Biodata_01=none": 1},
    }
    assert found.high_performer.to_list() == [True, True]
    assert found.protected.to_list() == [False, False]
    assert siop2020.is_here(tmp_path)


def test_a_folder_of_another_form_is_refused(tmp_path):
    assert not siop2020.is_here(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"hires\.csv"):
        siop2020.read(tmp_path)
    TABLE.drop(columns="Retained").to_csv(tmp_path / "hires.csv", index=False)
    with pytest.raises(ValueError, match="no column Retained"):
        siop2020.read(tmp_path)
    TABLE.drop(columns=["SJ_Most_1", "Biodata_01"]).to_csv(tmp_path / "hires.csv", index=False)
    with pytest.raises(ValueError, match="needs item columns"):
        siop2020.read(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"Retained": None}, r"hires\.csv: Retained: .*row 2"),
        ({"High_Performer": "no"}, r"hires\.csv: High_Performer: .*'no' in row 2"),
        ({"Biodata_01": "five"}, r"hires\.csv: Biodata_01: .*'five' in row 2"),
        ({"Biodata_01": 2.5}, r"hires\.csv: Biodata_01: whole number fails for 2\.5 in row 2"),
        ({"Teamwork": "good"}, r"hires\.csv: Teamwork: .*'good' in row 2"),
        ({"UNIQUE_ID": None}, r"hires\.csv: UNIQUE_ID: .*row 2"),
    ],
)
def test_a_cell_that_is_no_answer_is_refused_by_column_and_row(wrong, says, tmp_path):
    table = TABLE.astype(object)
    for column, cell in wrong.items():
        table.loc[0, column] = cell
    table.to_csv(tmp_path / "hires.csv", index=False)
    with pytest.raises(BadTable, match=says):
        siop2020.read(tmp_path)


def test_the_shared_hires_have_the_published_shape(shared_data):
    found = siop2020.read(shared_data / "siop2020")
    assert len(found.predictors) == 5890
    items = {name.split("=")[0] for name in found.predictors.columns}
    assert len(items) == 120 - 11
    per_item = found.predictors.T.groupby(lambda name: name.split("=")[0]).sum()
    assert (per_item == 1).all().all()
