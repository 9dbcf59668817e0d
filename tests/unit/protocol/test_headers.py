"""Header versions, and reading and writing headers."""

from __future__ import annotations

import pytest

from moldau.protocol import api_keys
from moldau.protocol.errors import DecodeError, UnsupportedVersionError
from moldau.protocol.headers import (
    decode_request_header,
    encode_response_header,
    request_header_version,
    response_header_version,
)
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader


@pytest.mark.parametrize(
    ("key", "version", "request_version", "response_version"),
    [
        (api_keys.PRODUCE, 8, 1, 0),
        (api_keys.PRODUCE, 9, 2, 1),
        (api_keys.API_VERSIONS, 2, 1, 0),
        (api_keys.API_VERSIONS, 3, 2, 0),
        (api_keys.API_VERSIONS, 99, 2, 0),
        (api_keys.SASL_HANDSHAKE, 1, 1, 0),
        (api_keys.CONSUMER_GROUP_HEARTBEAT, 0, 2, 1),
    ],
)
def test_header_versions(key: int, version: int, request_version: int, response_version: int) -> None:
    assert request_header_version(key, version) == request_version
    assert response_header_version(key, version) == response_version


@pytest.mark.parametrize("key", [-1, 4, 52, 82, 4711])
def test_keys_that_are_not_for_clients(key: int) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"API key {key}"):
        request_header_version(key, 0)
    with pytest.raises(UnsupportedVersionError):
        decode_request_header(key.to_bytes(2, "big", signed=True) + bytes(20))


@pytest.mark.parametrize("client_id", [None, "", "client-ä"])
@pytest.mark.parametrize("version", [8, 9])
def test_same_as_the_generated_header(client_id: str | None, version: int) -> None:
    header = RequestHeader(request_api_version=version, correlation_id=-7, client_id=client_id)
    header_version = request_header_version(api_keys.PRODUCE, version)
    raw = header.encode(header_version)
    assert decode_request_header(b"xy" + raw + b"body", 2) == (header, len(raw) + 2)
    assert decode_request_header(memoryview(bytearray(raw))) == (header, len(raw))
    assert RequestHeader.decode(raw, header_version) == header
    for end in range(len(raw)):
        with pytest.raises(DecodeError):
            decode_request_header(raw[:end])


def test_tagged_fields_of_a_header_are_skipped() -> None:
    raw = RequestHeader(request_api_version=9).encode(2)
    tagged = raw[:-1] + b"\x01\x05\x02ab"
    assert decode_request_header(tagged)[1] == len(tagged)


def test_malformed_client_ids() -> None:
    head = RequestHeader(request_api_version=9).encode(1)[:8]
    with pytest.raises(DecodeError, match="length -2"):
        decode_request_header(head + b"\xff\xfe\x00")
    with pytest.raises(DecodeError, match="utf-8"):
        decode_request_header(head + b"\x00\x01\xff\x00")


@pytest.mark.parametrize(("key", "version"), [(0, 8), (0, 9), (18, 3), (18, 0)])
def test_response_header(key: int, version: int) -> None:
    header_version = response_header_version(key, version)
    assert encode_response_header(7, key, version) == ResponseHeader(correlation_id=7).encode(header_version)
