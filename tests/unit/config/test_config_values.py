"""Values: text in, value out, text again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moldau.broker.config.errors import InvalidValue
from moldau.broker.config.values import Value, check, parse, render


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("boolean", "true", True),
        ("boolean", " FALSE ", False),
        ("int", " 5 ", 5),
        ("int", "+5", 5),
        ("int", "-2147483648", -(2**31)),
        ("long", "9223372036854775807", 2**63 - 1),
        ("short", "-32768", -(2**15)),
        ("double", "0.5", 0.5),
        ("double", "1E3", 1000.0),
        ("list", "", ()),
        ("list", "a, b ,c", ("a", "b", "c")),
        ("string", " a b ", "a b"),
        ("password", "x", "x"),
    ],
)
def test_parse(type_: str, text: str, value: Value) -> None:
    parsed = parse(type_, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("boolean", "yes"),
        ("boolean", ""),
        ("int", ""),
        ("int", "1_000"),
        ("int", "٣"),
        ("int", "2147483648"),
        ("int", "1.0"),
        ("int", "9" * 5000),
        ("long", "9223372036854775808"),
        ("short", "32768"),
        ("double", "nan"),
        ("double", "1,5"),
        ("list", "a,"),
        ("list", ",a"),
    ],
)
def test_parse_refuses(type_: str, text: str) -> None:
    with pytest.raises(InvalidValue, match="expected"):
        parse(type_, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (False, "false"),
        (-1, "-1"),
        (("a", "b"), "a,b"),
        ((), ""),
        (0.5, "0.5"),
        (0.0, "0.0"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (1e7, "1.0E7"),
        (9999999.0, "9999999.0"),
        (0.00012, "1.2E-4"),
        (-123456789.0, "-1.23456789E8"),
    ],
)
def test_render(value: Value, text: str | None) -> None:
    assert render(value) == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_longs_round_trip(number: int) -> None:
    assert parse("long", render(number) or "") == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_round_trip(number: float) -> None:
    assert parse("double", render(number) or "") == number


@pytest.mark.parametrize(
    ("type_", "valid", "value"),
    [
        ("int", "1..9|-1", -1),
        ("int", "1..9|-1", 9),
        ("int", "0..", 0),
        ("double", "0..1", 1.0),
        ("string", "a,b", "b"),
        ("string", "~UP,DOWN", "up"),
        ("list", "a,b", ("a", "b")),
        ("list", "a,b", ()),
        ("string", "!", "x"),
        ("list", "replicas", ("0:1", "2:3")),
        ("list", "replicas", ("*",)),
        ("long", "nonzero", -7),
    ],
)
def test_check_takes(type_: str, valid: str, value: Value) -> None:
    check(type_, valid, value)


@pytest.mark.parametrize(
    ("type_", "valid", "value", "expected"),
    [
        ("int", "1..9|-1", 0, "from 1 to 9, or -1"),
        ("int", "1..9|-1", 10, "from 1 to 9, or -1"),
        ("int", "1..", 0, "of at least 1"),
        ("string", "a,b", "B", "one of a, b"),
        ("list", "a,b", ("a", "c"), "any of a, b"),
        ("string", "!", "", "not the empty string"),
        ("list", "replicas", ("0",), "PARTITION:BROKER"),
        ("long", "nonzero", 0, "above 0, or -1"),
    ],
)
def test_check_refuses(type_: str, valid: str, value: Value, expected: str) -> None:
    with pytest.raises(InvalidValue, match=expected):
        check(type_, valid, value)
