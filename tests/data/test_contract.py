import pytest
from pydantic import ValidationError

from data.contract import ScoreRequest


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh_Hans_CN", "zh"),
        ("en-US", "en"),
        ("EN", "en"),
        ("yue-HK", "yue"),
        (None, None),
    ],
)
def test_of_a_language_tag_the_language_is_kept(tag: str | None, language: str | None) -> None:
    assert ScoreRequest(job="teller", language=tag).language == language


@pytest.mark.parametrize("text", ["Chinese", "", "z", "-CN", "zh-", "中文", "zh CN", "zh\n"])
def test_what_is_no_language_tag_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ScoreRequest(job="teller", language=text)
