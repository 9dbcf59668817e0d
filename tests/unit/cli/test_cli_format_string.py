"""kcat's format strings."""

import pytest
from cli_fakes import FakeRecord

from moldau.cli.format_string import FormatString, unescape

RECORD = FakeRecord(
    topic="orders",
    partition=3,
    offset=42,
    timestamp=(1, 1_767_225_600_000),
    key=b"k1",
    value=b"value",
    headers=[("a", b"1"), ("b", None)],
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%t %p %o %k %s %h %T\\n", b"orders 3 42 k1 value a=1,b= 1767225600000\n"),
        ("%K/%S", b"2/5"),
        ("%R%s", b"\x00\x00\x00\x05value"),
        ("100%%\\t\\x41\\r\\0\\\\", b"100%\tA\r\x00\\"),
        ("no token", b"no token"),
        ("", b""),
        ("é%k", "ék1".encode()),
        ("%%s", b"%s"),
    ],
)
def test_formats(text: str, expected: bytes) -> None:
    assert FormatString(text).render(RECORD) == expected


def test_null_has_length_minus_one_and_the_text_that_was_asked_for() -> None:
    record = FakeRecord(key=None, value=None)
    assert FormatString("%k|%s|%K|%S|%R", b"NULL").render(record) == b"NULL|NULL|-1|-1|\xff\xff\xff\xff"


@pytest.mark.parametrize(("text", "culprit"), [("%q", "'%q'"), ("%", "'%'"), ("\\q", "\\\\q"), ("a\\", "'\\\\'")])
def test_unknown_tokens_are_named(text: str, culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        FormatString(text)


@pytest.mark.parametrize(("text", "expected"), [("\\n", b"\n"), ("%\\t%", b"%\t%"), (":", b":"), ("\\xff", b"\xff")])
def test_unescape(text: str, expected: bytes) -> None:
    assert unescape(text) == expected


def test_unescape_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="unknown escape"):
        unescape("\\q")
