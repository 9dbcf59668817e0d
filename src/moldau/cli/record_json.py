"""Records as JSON lines: what ``consume --format json`` prints and ``produce --format json`` reads.

::

    {"topic": "orders", "partition": 0, "offset": 42, "timestamp": 1767225600000, "timestamp_type": "create",
     "key": "k", "value": "v", "headers": [{"key": "trace", "value": "1"}]}

Bytes that are not UTF-8 stand under ``key_base64`` / ``value_base64`` instead of ``key`` / ``value``; null is null.
When producing, every field may be left out, a value that is no string is sent as its compact JSON text, and headers
may also be an object. Pure.
"""

import base64
import binascii
import json
from json.encoder import encode_basestring as _quoted
from typing import Any, Final

from moldau.cli.format_string import Record
from moldau.cli.lazy import did_you_mean

_TIMESTAMP_TYPES: Final = {0: None, 1: "create", 2: "log_append"}
_KNOWN: Final = frozenset(
    {"topic", "partition", "offset", "timestamp", "timestamp_type", "headers"}
    | {"key", "key_base64", "value", "value_base64"}
)


def to_json(record: Record) -> str:
    """One line, without the newline. Put together by hand: four times as quick as a dict through json.dumps."""
    timestamp_type, timestamp = record.timestamp()
    kind = _TIMESTAMP_TYPES.get(timestamp_type)
    headers = record.headers()
    shown = (
        ", ".join([f'{{"key": {_quoted(name)}, {_field("value", value)}}}' for name, value in headers])
        if headers
        else ""
    )
    return (
        f'{{"topic": {_quoted(record.topic() or "")}, "partition": {record.partition()}, '
        f'"offset": {record.offset()}, "timestamp": {timestamp if timestamp_type else "null"}, '
        f'"timestamp_type": {"null" if kind is None else _quoted(kind)}, '
        f'{_field("key", record.key())}, {_field("value", record.value())}, "headers": [{shown}]}}'
    )


def _field(name: str, raw: bytes | None) -> str:
    if raw is None:
        return f'"{name}": null'
    try:
        return f'"{name}": {_quoted(raw.decode())}'
    except UnicodeDecodeError:
        return f'"{name}_base64": "{base64.b64encode(raw).decode()}"'


class NewRecord:
    """A record to be produced; None where the command line or the client decides."""

    __slots__ = ("headers", "key", "partition", "timestamp", "value")

    def __init__(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        self.key = key
        self.value = value
        self.headers = headers
        self.partition = partition
        self.timestamp = timestamp


def from_json(line: bytes) -> NewRecord:
    """The record that a JSON line describes; ValueError with a sentence for people where it describes none."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError('not a JSON object such as {"key": "k", "value": "v"}')
    unknown = sorted(fields.keys() - _KNOWN)
    if unknown:
        hint = did_you_mean(unknown[0], sorted(_KNOWN)) or f" There are {', '.join(sorted(_KNOWN))}."
        raise ValueError(f"unknown field {unknown[0]!r}.{hint}")
    return NewRecord(
        _get(fields, "key"),
        _get(fields, "value"),
        _headers(fields.get("headers")),
        _integer(fields, "partition"),
        _integer(fields, "timestamp"),
    )


def _get(fields: dict[str, Any], name: str) -> bytes | None:
    coded = fields.get(name + "_base64")
    if coded is not None:
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError(f"{name}_base64 is not base64") from None
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        return _utf8(value, name)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a surrogate pair, which is no text") from None


def _headers(found: Any) -> list[tuple[str, bytes | None]] | None:
    if found is None:
        return None
    if isinstance(found, dict):
        found = [{"key": name, "value": value} for name, value in found.items()]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError('headers are an object, or a list such as [{"key": "k", "value": "v"}]')
    headers = []
    for each in found:
        name = each.get("key")
        if not isinstance(name, str):
            raise ValueError("a header has no key")
        headers.append((name, _get(each, "value")))
    return headers


def _integer(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is {value!r}, not a number from 0")
    return value
