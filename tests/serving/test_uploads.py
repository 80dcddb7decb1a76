from pathlib import Path

import pytest

from serving.api.problems import Problem
from serving.api.uploads import allowed


def refused(url: str, *prefixes: str) -> bool:
    with pytest.raises(Problem) as problem:
        allowed(url, prefixes)
    return (problem.value.status, problem.value.code) == (403, "url_not_allowed")


def test_nothing_may_be_fetched_unless_configured() -> None:
    assert refused("/etc/passwd")
    assert refused("s3://bucket/answers/a.mp4")


def test_a_file_of_an_allowed_folder_may_be_fetched(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    assert allowed(str(file), (str(tmp_path),)) == str(file)
    assert allowed(f"file://{file}", (f"file://{tmp_path}",)) == str(file)


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "link", "../answers2/a"])
def test_no_path_leads_out_of_an_allowed_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    assert refused(f"{folder}/{path}", str(folder))


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/other/a.mp4",
        "s3://bucket/answers2/a.mp4",
        "s3://bucket/answers/../other/a.mp4",
        "s3://bucket/answers//../other/a.mp4",
        "gs://bucket/answers/a.mp4",
        "simplecache::s3://bucket/answers/a.mp4",
        "zip://x::s3://bucket/answers/a.zip",
        "http://169.254.169.254/latest",
        "answers/a.mp4",
    ],
)
def test_no_address_leads_out_of_an_allowed_prefix(url: str) -> None:
    assert refused(url, "s3://bucket/answers")
    assert refused(url, "s3://bucket/answers/")


def test_an_object_under_an_allowed_prefix_may_be_fetched() -> None:
    url = "s3://bucket/answers/2026/a.mp4"
    assert allowed(url, ("s3://bucket/answers",)) == url
