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
        ({"hires": HIRES.assign(decided_on="soon")}, "hires.csv: decided_on"),
        ({"hires": HIRES, "performance": PERFORMANCE.assign(person="b")}, "not hired.*e.g. b"),
        ({"salaries": HIRES}, "unknown table salaries"),
    ],
)
def test_a_table_that_breaks_its_schema_is_refused_by_name(tables, says):
    with pytest.raises(outcomes.BadTable, match=says):
        outcomes.checked(tables)


def test_a_folder_without_tables_says_which_were_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"hires\.csv.*found none"):
        outcomes.read(tmp_path)
