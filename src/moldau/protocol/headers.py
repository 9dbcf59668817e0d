"""Request and response headers: which version goes with which API version, and reading and writing them.

Header versions follow from the API version (KIP-482): a request has header 2 when its version is flexible, else 1; a
response 1 or 0. ApiVersions responses always have header 0, so that a client that knows less can read them (KIP-511).
"""

from __future__ import annotations

import struct

from moldau.protocol import api_keys
from moldau.protocol.errors import DecodeError, UnsupportedVersionError
from moldau.protocol.messages.headers import RequestHeader
from moldau.protocol.primitives import Buffer, skip_tags

_unpack_hhih = struct.Struct(">hhih").unpack_from
_pack_i = struct.Struct(">i").pack
_pack_ix = struct.Struct(">ix").pack


def request_header_version(api_key: int, version: int) -> int:
    """1 or 2. Raises `UnsupportedVersionError` for a key that has no messages here."""
    flexible_from = api_keys.FLEXIBLE_FROM.get(api_key)
    if flexible_from is None:
        raise UnsupportedVersionError(f"API key {api_key} ({api_keys.name(api_key)}), expected one that clients use")
    return 2 if version >= flexible_from else 1


def response_header_version(api_key: int, version: int) -> int:
    """0 or 1. Raises `UnsupportedVersionError` for a key that has no messages here."""
    if api_key == api_keys.API_VERSIONS:
        return 0
    return request_header_version(api_key, version) - 1


def decode_request_header(data: Buffer, pos: int = 0) -> tuple[RequestHeader, int]:
    """The header that begins at `pos`, in the version its own API key and version call for, and the position after it.

    Only the header is judged: its API version may be one that does not exist (ApiVersions answers that).
    Raises `DecodeError`, `UnsupportedVersionError` for an API key that has no messages here.
    """
    try:
        api_key, version, correlation_id, length = _unpack_hhih(data, pos)
        header_version = request_header_version(api_key, version)
        pos += 10
        client_id = None
        if length >= 0:
            client_id = str(data[pos : pos + length], "utf-8")
            pos += length
        elif length != -1:
            raise DecodeError(f"RequestHeader.client_id: length {length} before byte {pos}, expected -1 or more")
        if header_version == 2:
            tags = data[pos]
            pos += 1
            if tags:
                pos = skip_tags(memoryview(data), pos, tags)
    except (IndexError, struct.error, UnicodeDecodeError) as problem:
        raise DecodeError(f"request header in {len(data)} bytes: {problem}") from problem
    if pos > len(data):
        raise DecodeError(f"request header ends at byte {pos}, but only {len(data)} bytes came")
    header = RequestHeader(
        request_api_key=api_key, request_api_version=version, correlation_id=correlation_id, client_id=client_id
    )
    return header, pos


def encode_response_header(correlation_id: int, api_key: int, version: int) -> bytes:
    """The response header that goes before a body of this API and version."""
    if response_header_version(api_key, version):
        return _pack_ix(correlation_id)
    return _pack_i(correlation_id)
