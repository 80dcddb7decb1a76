import pandas as pd
import pytest

from data import outcomes

HIRES = pd.DataFrame(
    {
        "person": ["007", "b"],
        "job": "teller",
        "decided_on": "2025-03-01",
        "hired": [True, False],
        "retained": [True, None],
    }
)
RATINGS = pd.DataFrame(
    {"person": "007", "item": "r1", "target": "fluency", "rater": ["x", "y"], "rating": [70, 80]}
)
PERFORMANCE = pd.DataFrame({"person": ["007"], "period": ["2025"], "rater": ["z"], "rating": [4]})


def test_what_is_written_is_read_again_with_the_same_types(tmp_path):
    written = outcomes.checked({"hires": HIRES, "ratings": RATINGS, "performance": PERFORMANCE})
    written.write(tmp_path)
    found = outcomes.read(tmp_path)
    for name in outcomes.SCHEMAS:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(written, name))
    assert found.hires["person"].to_list() == ["007", "b"]
    assert found.hires["retained"].isna().to_list() == [False, True]
    assert found.promotions.empty


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"ratings": RATINGS.assign(rating=[70, 101])}, r"ratings.csv: rating: .*101.* in row 3"),
        ({"ratings": RATINGS.assign(rater="x")}, "ratings.csv: person: .*unique.*'007'"),
        ({"ratings": RATINGS.drop(columns="rating")}, "ratings.csv: .*'rating'"),
        ({"ratings": RATINGS.assign(name="Wang")}, "ratings.csv: .*'name'"),
        ({"ratings": RATINGS.assign(person=["007", None])}, "ratings.csv: person: .*row 3"),
        ({"hires": HIRES.assign(hired=["yes", "no"])}, "hires.csv: hired: .*'yes' in row 2.*'no'"),
        ({"hires": HIRES.assign(hired=["1", None])}, "hires.csv: hired: .*row 3"),
        (
            {"hires": HIRES.assign(retained=["left", None])},
            "hires.csv: retained: .*'left' in row 2",
        ),
        ({"hires": HIRES.assign(decided_on="soon")}, "hires.csv: decided_on"),
        ({"hires": HIRES, "performance": PERFORMANCE.assign(person="b")}, "not hired.*e.g. b"),
        ({"salaries": HIRES}, "unknown table salaries"),
    ],
)
def test_a_table_that_breaks_its_schema_is_refused_by_name(tables, says):
    with pytest.raises(outcomes.BadTable, match=says):
        outcomes.checked(tables)


@pytest.mark.parametrize(
    ("written", "read"), [(("true", "FALSE"), [True, False]), ((1, 0), [True, False])]
)
def test_a_boolean_is_true_false_1_or_0(written, read):
    found = outcomes.checked({"hires": HIRES.assign(hired=list(written))}).hires
    assert found["hired"].to_list() == read


def test_a_group_called_01_na_or_none_keeps_its_name(tmp_path):
    text = "person,attribute,group\n007,site,01\n008,site,NA\n009,site,None\n"
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8")
    groups = outcomes.read(tmp_path).groups
    assert groups["person"].to_list() == ["007", "008", "009"]
    assert groups["group"].to_list() == ["01", "NA", "None"]


def test_an_empty_group_is_refused(tmp_path):
    (tmp_path / "groups.csv").write_text("person,attribute,group\n007,site,\n", encoding="utf-8")
    with pytest.raises(outcomes.BadTable, match=r"groups\.csv: group: .*row 2"):
        outcomes.read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_a_csv_of_chinese_excel_is_read(encoding, tmp_path):
    (tmp_path / "a.csv").write_text("person,group\n甲,女性\n", encoding=encoding)
    assert outcomes.read_csv(tmp_path / "a.csv").to_dict("list") == {
        "person": ["甲"],
        "group": ["女性"],
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a.csv: No columns"),
        (b"a,b\n1,2\n3,4,5\n", "a.csv: .*line 3"),
        (b"a,b\n1,2,3\n4,5,6\n", "a.csv: its rows have more cells"),
        ("a,b\n1,2\n".encode("utf-16"), "a.csv is text in neither UTF-8 nor GB18030"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(content, says, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(outcomes.BadTable, match=says):
        outcomes.read_csv(tmp_path / "a.csv")


def test_a_folder_without_tables_says_which_were_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"hires\.csv.*found none"):
        outcomes.read(tmp_path)
