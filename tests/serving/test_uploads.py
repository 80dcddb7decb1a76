from pathlib import Path

import pytest

from serving.api.problems import Problem
from serving.api.uploads import PARTS, Form, allowed
from serving.settings import ServingConfig
from serving.store import Store


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


def part(name: str, value: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def fed(store: Store, config: ServingConfig, body: bytes) -> Form:
    form = Form("b", config.limits, store.vault.new)
    form.feed(body)
    return form


def test_a_form_of_countless_empty_parts_is_refused(store: Store, config: ServingConfig) -> None:
    few = b"".join(part(f"field{number}") for number in range(PARTS))
    assert len(fed(store, config, few + b"--b--\r\n").draft.fields) == PARTS
    with pytest.raises(Problem) as problem:
        fed(store, config, few + part("one more"))
    assert (problem.value.status, problem.value.code) == (413, "too_many_parts")


def test_the_names_of_fields_count_as_their_values_do(store: Store, config: ServingConfig) -> None:
    limits = config.limits.model_copy(update={"request_bytes": 1000})
    small = config.model_copy(update={"limits": limits})
    fed(store, small, part("job", "v" * 900))
    for body in (part("n" * 1000), part("job", "v" * 1000)):
        with pytest.raises(Problem) as problem:
            fed(store, small, body)
        assert (problem.value.status, problem.value.code) == (413, "request_too_large")
