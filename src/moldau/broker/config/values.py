"""Values as Kafka reads and writes them: text to value, value to text, and the checks of the table's `valid` column.

Types and what they parse to: boolean -> bool; short, int, long -> int; double -> float; list -> tuple of str;
string, class, password -> str. None stands for Kafka's null. Source: Kafka's ConfigDef.parseType and convertToString.

The `valid` column:

    1..9       from 1 to 9        1..    at least 1       1..9|-1   from 1 to 9, or -1
    a,b,c      one of these; of a list, each element      ~a,b      the same, in any case
    !          not empty          =      the default only replicas  PARTITION:BROKER pairs, or *
    nonzero    anything but 0     hosts  HOST:COUNT pairs
    address    HOST:PORT, or empty
    a,b:PnDTnHnMn.nS   a, or b: and a length of time
"""

from __future__ import annotations

import re
from typing import Final

from . import duration
from .errors import InvalidValue

BOOLEAN: Final = "boolean"
STRING: Final = "string"
INT: Final = "int"
SHORT: Final = "short"
LONG: Final = "long"
DOUBLE: Final = "double"
LIST: Final = "list"
CLASS: Final = "class"
PASSWORD: Final = "password"
TYPES: Final = (BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST, CLASS, PASSWORD)

ONLY_DEFAULT: Final = "="

type_codes: Final = {
    BOOLEAN: 1,
    STRING: 2,
    INT: 3,
    SHORT: 4,
    LONG: 5,
    DOUBLE: 6,
    LIST: 7,
    CLASS: 8,
    PASSWORD: 9,
}
"""The type as DescribeConfigs 3+ writes it (ConfigType of DescribeConfigsResponse); 0 is unknown."""

Value = bool | int | float | str | tuple[str, ...] | None

_BITS = {SHORT: 16, INT: 32, LONG: 64}
# Compiled when they are first needed: most starts need none of them.
_DECIMAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_REPLICA = r"[0-9]+:[0-9]+"


def parse(type: str, text: str) -> Value:
    """Raises InvalidValue."""
    text = text.strip()
    bits = _BITS.get(type)
    if bits is not None:
        digits = text[1:] if text[:1] in ("+", "-") else text
        whole = digits.isascii() and digits.isdigit() and len(text) <= 20
        if not whole or not -(1 << bits - 1) <= int(text) < 1 << bits - 1:
            raise InvalidValue(f"expected a whole number of {bits} bits")
        return int(text)
    if type == BOOLEAN:
        lower = text.lower()
        if lower not in ("true", "false"):
            raise InvalidValue("expected true or false")
        return lower == "true"
    if type == LIST:
        if not text:
            return ()
        elements = tuple([each.strip() for each in text.split(",")])
        if "" in elements:
            raise InvalidValue("expected a comma-separated list without empty elements")
        return elements
    if type == DOUBLE:
        if not re.fullmatch(_DECIMAL, text):
            raise InvalidValue("expected a decimal number")
        return float(text)
    return text


def render(value: Value) -> str | None:
    """The text that Kafka shows for a value."""
    if value is None:
        return None
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return _render_double(value)
    return str(value)


def _render_double(value: float) -> str:
    """As Java writes a double: plain from 0.001 to below 10,000,000, with an exponent elsewhere."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    digits = repr(value).partition("e")[0].replace(".", "").lstrip("-0").rstrip("0") or "0"
    sign = "-" if mantissa.startswith("-") else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{int(exponent)}"


def check(type: str, valid: str, value: Value) -> None:
    """Hold a parsed value against the `valid` column. Raises InvalidValue."""
    if valid == "!":
        if not value:
            raise InvalidValue("expected something, not the empty string")
    elif valid == "nonzero":
        if value == 0:
            raise InvalidValue("expected a number above 0, or -1 for no limit")
    elif ".." in valid:
        _check_range(valid, value)
    elif valid == "replicas":
        if value != ("*",) and not all(re.fullmatch(_REPLICA, each) for each in _elements(value)):
            raise InvalidValue("expected PARTITION:BROKER,PARTITION:BROKER,... or *")
    elif valid == "hosts":
        pairs = [each.strip().rpartition(":") for each in str(value).split(",") if each.strip()]
        if not all(host.strip() and count.strip().isascii() and count.strip().isdigit() for host, _, count in pairs):
            raise InvalidValue("expected HOST:COUNT,HOST:COUNT,...")
    elif valid == "address":
        host, _, port = str(value).rpartition(":")
        digits = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
        if value and not (host and digits and (":" not in host or host[0] + host[-1] == "[]")):
            raise InvalidValue("expected HOST:PORT with a port from 0 to 65535, [HOST]:PORT for IPv6, or nothing")
    else:
        any_case = valid.startswith("~")
        allowed = valid.lstrip("~").split(",")
        for each in _elements(value):
            if valid.endswith(duration.FORM) and each.startswith(prefix := allowed[-1].removesuffix(duration.FORM)):
                duration.parse_duration(each.removeprefix(prefix))
            elif each not in allowed and not (any_case and each.lower() in (a.lower() for a in allowed)):
                raise InvalidValue(f"expected {'any' if type == LIST else 'one'} of {', '.join(allowed)}")


def _elements(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (render(value) or "",)


def _check_range(valid: str, value: Value) -> None:
    assert isinstance(value, int | float), f"{valid} is for numbers, {value!r} came"
    span, _, other = valid.partition("|")
    low, _, high = span.partition("..")
    if other and value == float(other):
        return
    if value < float(low) or (high and value > float(high)):
        expected = f"from {low} to {high}" if high else f"of at least {low}"
        raise InvalidValue(f"expected a number {expected}{f', or {other}' if other else ''}")
