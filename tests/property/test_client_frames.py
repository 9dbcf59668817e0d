"""Frames that real clients and Apache Kafka 4.3.1 exchanged, recorded with tools/capture.py.

Each is read whole, cut anywhere, and written again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moldau.protocol import api_keys, registry
from moldau.protocol.errors import DecodeError
from moldau.protocol.headers import (
    decode_request_header,
    encode_response_header,
    request_header_version,
    response_header_version,
)
from moldau.protocol.message import Message
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader

GOLDEN = Path(__file__).parents[1] / "golden" / "client_frames.json"
FRAMES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())


def name_of(frame: dict[str, Any]) -> str:
    return f"{frame['client']}-{api_keys.name(frame['key'])}-{frame['version']}-{frame['kind']}"


def decode(frame: dict[str, Any], raw: bytes) -> tuple[RequestHeader | ResponseHeader, Message, int]:
    key, version = frame["key"], frame["version"]
    header: RequestHeader | ResponseHeader
    if frame["kind"] == "request":
        header, pos = decode_request_header(raw)
        kind = registry.request_class(key)
    else:
        header, pos = ResponseHeader.decode_at(raw, response_header_version(key, version), 0)
        kind = registry.response_class(key)
    message, end = kind.decode_at(raw, version, pos)
    return header, message, end


@pytest.mark.parametrize("frame", FRAMES, ids=name_of)
def test_read_and_written_again(frame: dict[str, Any]) -> None:
    raw, key, version = bytes.fromhex(frame["hex"]), frame["key"], frame["version"]
    header, message, end = decode(frame, raw)
    assert end == len(raw)
    if isinstance(header, RequestHeader):
        assert (header.request_api_key, header.request_api_version) == (key, version)
        head = header.encode(request_header_version(key, version))
    else:
        head = encode_response_header(header.correlation_id, key, version)
    assert head + message.encode(version) == raw


@pytest.mark.parametrize("frame", FRAMES, ids=name_of)
def test_cut_anywhere(frame: dict[str, Any]) -> None:
    raw = bytes.fromhex(frame["hex"])
    for end in range(len(raw)):
        with pytest.raises(DecodeError):
            decode(frame, raw[:end])


def test_every_client_is_there() -> None:
    clients = {frame["client"] for frame in FRAMES}
    assert {"librdkafka", "librdkafka_newer", "kafka_python", "aiokafka", "aiokafka_newer", "java"} <= clients
    for client in clients:
        for kind in ("request", "response"):
            keys = {f["key"] for f in FRAMES if f["client"] == client and f["kind"] == kind}
            assert {api_keys.API_VERSIONS, api_keys.METADATA, api_keys.PRODUCE, api_keys.FETCH} <= keys
    transactions = {api_keys.END_TXN, api_keys.ADD_OFFSETS_TO_TXN, api_keys.CONSUMER_GROUP_HEARTBEAT}
    assert transactions <= {f["key"] for f in FRAMES if f["client"] == "librdkafka_newer"}
