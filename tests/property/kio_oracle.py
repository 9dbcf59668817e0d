"""The independent codec `kio` as an oracle: strategies for its entities, its bytes, and comparing it with our messages.

Where kio differs on purpose:
- milliseconds are timedeltas and instants are datetimes there, and the field loses its `_ms`; instants go through a
  float of seconds, so those after 2039 come back a microsecond off and are not drawn;
- a uuid of zeros is None;
- error codes are an enum, so only the codes it knows are drawn;
- a tagged struct that was not sent has default values there and is None here.
"""

from __future__ import annotations

import datetime
import functools
import io
import types
import typing
import uuid
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import kio.index
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from kio.schema.index import LoadableEntityType, api_key_map, schema_name_map
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from moldau.protocol import api_keys
from moldau.protocol.message import Struct

KINDS = {"request": EntityType.request, "response": EntityType.response}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Fields that Kafka renamed after the version kio was made from (4.2); their bytes did not change.
RENAMED = {
    ("TxnOffsetCommitRequest", "generation_id"): "generation_id_or_member_epoch",  # KIP-1319
    ("StreamsGroupHeartbeatResponse", "acceptable_recovery_lag"): "acceptable_recovery_lag_legacy",
}


def known() -> Iterator[tuple[int, str, int]]:
    """Key, kind and version of everything that both kio and we know."""
    for key in api_keys.RANGES:
        for version, entities in schema_name_map.get(api_key_map.get(key, ""), {}).items():
            for kind, entity in KINDS.items():
                if entity in entities:
                    yield key, kind, version


def payload(key: int, kind: str, version: int) -> type[Any]:
    """kio's class of one message in one version."""
    load = kio.index.load_request_schema if kind == "request" else kio.index.load_response_schema
    return typing.cast("type[Any]", load(key, version))


def entity(name: str, version: int, kind: LoadableEntityType) -> type[Any]:
    """kio's class of a header or of a message that is no API."""
    return typing.cast("type[Any]", kio.index.load_entity_schema(name, version, kind))


def write(value: Any) -> bytes:
    out = io.BytesIO()
    entity_writer(type(value))(out, value)
    return out.getvalue()


def read(kind: type[Any], data: bytes) -> Any:
    value, size = entity_reader(kind)(data, 0)
    assert size == len(data)
    return value


# -- strategies ------------------------------------------------------------------------------------------------------


def _integers(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high)


# Lengths on both sides of 127, where a compact length takes a second byte.
_TEXT = st.text(max_size=8) | st.text("aä", min_size=124, max_size=130)
_BYTES = st.binary(max_size=8) | st.binary(min_size=124, max_size=130)
_MILLISECONDS = st.integers(-(1 << 31), (1 << 31) - 1)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": _integers(8),
    "int16": _integers(16),
    "int32": _integers(32),
    "int64": _integers(64),
    "uint16": _integers(16, signed=False),
    "float64": st.floats(allow_nan=False),
    "string": _TEXT,
    "bytes": _BYTES,
    "records": _BYTES,
    "uuid": st.uuids() | st.none(),
    "error_code": st.sampled_from(sorted(ErrorCode)),
    "timedelta_i32": _MILLISECONDS.map(lambda ms: datetime.timedelta(milliseconds=ms)),
    "timedelta_i64": st.integers(-(1 << 45), 1 << 45).map(lambda ms: datetime.timedelta(milliseconds=ms)),
    "datetime_i64": st.integers(0, 1 << 41).map(lambda ms: EPOCH + datetime.timedelta(milliseconds=ms)),
}


@functools.cache
def instances(kind: Any) -> st.SearchStrategy[Any]:
    """Random values of a kio class."""
    strategies = {field.name: _field(field) for field in fields(kind)}
    names = list(strategies)
    return st.tuples(*strategies.values()).map(lambda values: kind(**dict(zip(names, values, strict=True))))


def _field(field: Any) -> st.SearchStrategy[Any]:
    inner, optional = _without_none(field.type)
    kafka_type = field.metadata.get("kafka_type")
    is_array = typing.get_origin(inner) is tuple
    if is_array:
        element = _without_none(typing.get_args(inner)[0])[0]
        values = instances(element) if is_dataclass(element) else _PRIMITIVES[kafka_type]
        if is_dataclass(element):
            strategy: st.SearchStrategy[Any] = st.lists(values, max_size=2).map(tuple)
        else:
            strategy = st.lists(values, max_size=3).map(tuple) | values.map(lambda v: (v,) * 128)
    elif is_dataclass(inner):
        strategy = instances(inner)
    else:
        strategy = _PRIMITIVES[kafka_type]
    if optional and kafka_type != "uuid":
        return st.none() | strategy
    return strategy


def _without_none(type_: Any) -> tuple[Any, bool]:
    if typing.get_origin(type_) in (types.UnionType, typing.Union):
        (inner,) = (arg for arg in typing.get_args(type_) if arg is not types.NoneType)
        return inner, True
    return type_, False


# -- comparing -------------------------------------------------------------------------------------------------------


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where our value is not what kio's value says; empty when they agree."""
    if isinstance(ours, list):
        if not isinstance(theirs, tuple) or len(ours) != len(theirs):
            return [f"{path}: {ours!r} is not {theirs!r}"]
        return [d for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for d in differences(a, b, f"{path}[{i}]")]
    if is_dataclass(theirs) and (ours is None or isinstance(ours, Struct)):
        found = []
        for field in fields(theirs):
            value = getattr(theirs, field.name)
            if ours is None:  # a tagged struct that was not sent
                if value != field.default:
                    found.append(f"{path}.{field.name}: absent, expected {value!r}")
                continue
            name = RENAMED.get((type(theirs).__name__, field.name), field.name)
            if name not in ours.__slots__:
                name += "_ms"
            found += differences(getattr(ours, name), value, f"{path}.{name}")
        return found
    return [] if ours == _plain(ours, theirs) else [f"{path}: {ours!r} is not {theirs!r}"]


def _plain(ours: Any, value: Any) -> Any:
    if isinstance(value, datetime.timedelta):
        return value // datetime.timedelta(milliseconds=1)
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    if isinstance(value, uuid.UUID):
        return value.bytes
    if value is None and isinstance(ours, bytes):
        return bytes(16)
    if value is None and isinstance(ours, int):
        return -1  # an instant that is not known
    return value
