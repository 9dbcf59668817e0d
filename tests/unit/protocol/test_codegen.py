"""The generator, on definitions made for the test: no jar needed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moldau.protocol.errors import DecodeError, EncodeError
from tools.codegen import definitions, emit_module, names
from tools.codegen.definitions import Versions

SHOP: dict[str, Any] = {
    "apiKey": 99,
    "type": "request",
    "name": "ShopRequest",
    "validVersions": "0-3",
    "flexibleVersions": "2+",
    "latestVersionUnstable": True,
    "commonStructs": [
        {"name": "Price", "versions": "0+", "fields": [{"name": "Cents", "type": "uint16", "versions": "0+"}]}
    ],
    "fields": [
        {"name": "HTTPName", "type": "string", "versions": "0+", "nullableVersions": "1+", "default": "null"},
        {"name": "From", "type": "int8", "versions": "1", "default": "0x7f"},
        {"name": "Fast", "type": "bool", "versions": "1+", "default": "true", "ignorable": True},
        {"name": "Best", "type": "Price", "versions": "0+"},
        {"name": "All", "type": "[]Price", "versions": "0+"},
        {"name": "Rates", "type": "[]float64", "versions": "2+", "ignorable": True},
        {"name": "Ids", "type": "[]uuid", "versions": "3+", "taggedVersions": "3+", "tag": 0},
    ],
}


def shop() -> dict[str, Any]:
    """The generated module's names."""
    message = definitions.read("// a comment\n" + json.dumps(SHOP))
    assert message is not None
    namespace: dict[str, Any] = {"__name__": "shop"}
    exec(emit_module.module([message], "Shop."), namespace)
    return namespace


@pytest.mark.parametrize(
    ("kafka", "python"),
    [("TopicId", "topic_id"), ("MaxTimestampMs", "max_timestamp_ms"), ("HTTPName", "http_name"), ("From", "from_")],
)
def test_names(kafka: str, python: str) -> None:
    assert names.snake(kafka) == python


def test_versions() -> None:
    assert Versions.parse("3") == Versions(3, 3)
    assert Versions.parse("1-4") == Versions(1, 4)
    assert 9000 in Versions.parse("2+")
    assert 0 not in Versions.parse("none")
    assert 0 not in Versions.parse(None)


def test_message_without_a_valid_version_is_left_out() -> None:
    assert definitions.read(json.dumps({**SHOP, "validVersions": "none"})) is None


def test_two_structs_of_one_name_are_refused() -> None:
    price = {"name": "Other", "type": "Price", "versions": "0+", "fields": []}
    with pytest.raises(ValueError, match="Price is defined twice"):
        definitions.read(json.dumps({**SHOP, "fields": [*SHOP["fields"], price]}))


def test_class_made_from_a_definition() -> None:
    names_ = shop()
    request = names_["ShopRequest"]
    assert (request.MIN_VERSION, request.MAX_VERSION, request.FLEXIBLE_FROM) == (0, 2, 2)
    assert request.LATEST_UNSTABLE
    message = request()
    assert (message.http_name, message.from_, message.fast, message.ids) == (None, 127, True, [])
    assert message.best == names_["Price"](cents=0)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_round_trip_and_every_cut(version: int) -> None:
    names_ = shop()
    price = names_["Price"]
    message = names_["ShopRequest"](http_name="x", best=price(cents=65_535), all=[price(cents=1), price(cents=2)])
    if version >= 2:
        message.rates = [0.5]
    if version == 3:
        message.ids = [bytes(range(16))]
    raw = message.encode(version)
    assert names_["ShopRequest"].decode_at(raw, version, 0) == (message, len(raw))
    for end in range(len(raw)):
        with pytest.raises(DecodeError):
            names_["ShopRequest"].decode(raw[:end], version)


def test_bytes_of_each_layout() -> None:
    message = shop()["ShopRequest"](http_name="x")
    assert message.encode(0) == b"\0\1x" + b"\0\0" + b"\0\0\0\0"
    assert message.encode(1) == b"\0\1x" + b"\x7f\1" + b"\0\0" + b"\0\0\0\0"
    assert message.encode(2) == b"\2x" + b"\1" + b"\0\0\0" + b"\1" + b"\1" + b"\0"
    assert message.encode(3) == message.encode(2)


def test_what_a_version_cannot_carry() -> None:
    request = shop()["ShopRequest"]
    assert request(http_name="x", fast=False, rates=[1.0]).encode(0) == request(http_name="x").encode(0)
    with pytest.raises(EncodeError, match=r"ShopRequest\.from_ is 5, which version 2"):
        request(from_=5).encode(2)
    with pytest.raises(EncodeError, match=r"ShopRequest\.ids"):
        request(ids=[bytes(16)]).encode(2)
    with pytest.raises(EncodeError, match=r"ShopRequest\.http_name is None"):
        request().encode(0)
