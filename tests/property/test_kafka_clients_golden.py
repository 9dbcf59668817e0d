"""Bytes and values written by kafka-clients 4.4.0 itself (tools/golden/KafkaClientsGolden.java).

The newest version of every message, and three fillings of what is newer than the other oracle knows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moldau.protocol import api_keys, registry
from moldau.protocol.errors import DecodeError
from moldau.protocol.message import Message, Struct

GOLDEN = Path(__file__).parents[1] / "golden" / "kafka_clients.json"
ENTRIES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())
IDS = [f"{api_keys.name(e['key'])}-{e['kind']}-{e['version']}-{e['filling']}" for e in ENTRIES]


def message_class(entry: dict[str, Any]) -> type[Message]:
    return (registry.request_class if entry["kind"] == "request" else registry.response_class)(entry["key"])


def differences(ours: Any, theirs: Any, path: str) -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, Struct):
        return [d for name, value in theirs.items() for d in differences(getattr(ours, name), value, f"{path}.{name}")]
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        return [d for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for d in differences(a, b, f"{path}[{i}]")]
    if isinstance(ours, bytes | memoryview):
        ours = ours.hex()
    return [] if ours == theirs and type(ours) is type(theirs) else [f"{path}: {ours!r} is not {theirs!r}"]


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_same_values_and_bytes(entry: dict[str, Any]) -> None:
    raw, version = bytes.fromhex(entry["hex"]), entry["version"]
    message, end = message_class(entry).decode_at(raw, version, 0)
    assert end == len(raw)
    assert differences(message, entry["values"], IDS[ENTRIES.index(entry)]) == []
    assert message.encode(version) == raw


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["filling"] == "full"], ids=lambda e: api_keys.name(e["key"]))
def test_cut_anywhere(entry: dict[str, Any]) -> None:
    """Every byte counts: what ends early is refused, whatever the place."""
    raw, kind = bytes.fromhex(entry["hex"]), message_class(entry)
    for end in range(len(raw)):
        with pytest.raises(DecodeError):
            kind.decode(raw[:end], entry["version"])


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e["filling"] == "defaults"], ids=lambda e: api_keys.name(e["key"])
)
def test_defaults_are_kafkas(entry: dict[str, Any]) -> None:
    kind = message_class(entry)
    assert kind().encode(entry["version"]) == bytes.fromhex(entry["hex"])


def test_every_client_api_is_there_in_its_newest_version() -> None:
    found = {(e["key"], e["kind"], e["version"]) for e in ENTRIES}
    assert found == {(k, kind, high) for k, (_, high) in api_keys.RANGES.items() for kind in ("request", "response")}
