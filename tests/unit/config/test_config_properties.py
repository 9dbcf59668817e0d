"""Java's .properties format."""

from __future__ import annotations

import pytest

from moldau.broker.config.properties import PropertiesError, parse


def pairs(text: str) -> list[tuple[str, str]]:
    return [(key, value) for key, value, _ in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", [("a", "1")]),
        ("a:1", [("a", "1")]),
        ("a 1", [("a", "1")]),
        ("  a  =  1 ", [("a", "1 ")]),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("a = b = c", [("a", "b = c")]),
        ("# c\n! c\n\n  # c\na=1", [("a", "1")]),
        ("a=1,\\\n   2,\\\n\t3\nb=4", [("a", "1,2,3"), ("b", "4")]),
        ("a=1\\\\\nb=2", [("a", "1\\"), ("b", "2")]),
        ("a=1\\", [("a", "1")]),
        ("a=x\\\n# no comment", [("a", "x# no comment")]),
        ("a\\=b\\:c\\ d=1", [("a=b:c d", "1")]),
        ("a=\\t\\n\\r\\f\\q", [("a", "\t\n\r\fq")]),
        ("a=\\u0041\\u00e9", [("a", "A\u00e9")]),
        ("a=\\ud83d\\ude00", [("a", "\U0001f600")]),
        ("a=1\r\nb=2\rc=3", [("a", "1"), ("b", "2"), ("c", "3")]),
        ("a=1\na=2", [("a", "1"), ("a", "2")]),
        ("a=C:\\\\data", [("a", "C:\\data")]),
        ("", []),
    ],
)
def test_parse(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(text) == expected


def test_lines_are_counted_where_a_pair_begins() -> None:
    assert [number for _, _, number in parse("# c\na=1\\\n2\n\nb=3")] == [2, 5]


@pytest.mark.parametrize("text", ["a=\\u12", "a=\\uxyzw", "\n\na=\\u"])
def test_a_broken_escape_names_its_line(text: str) -> None:
    with pytest.raises(PropertiesError, match=r"line [13]: .* four hexadecimal digits"):
        parse(text)
