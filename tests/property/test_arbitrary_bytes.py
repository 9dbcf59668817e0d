"""No bytes make a decoder raise anything but DecodeError, or take memory out of proportion to what came."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from moldau.protocol import api_keys, registry
from moldau.protocol.errors import DecodeError, UnsupportedVersionError
from moldau.protocol.headers import decode_request_header

# Bytes that lead far into a message: small counts, short lengths, the ends of varints.
_LIKELY = st.lists(
    st.sampled_from(
        [b"\0", b"\1", b"\2", b"\3", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\0\1", b"\xff\xff", b"\0\0\0\1", b"a"]
    ),
    max_size=60,
).map(b"".join)
_ANY = st.binary(max_size=80) | _LIKELY


@pytest.mark.parametrize("key", api_keys.RANGES, ids=api_keys.name)
def test_only_decode_errors(key: int) -> None:
    low, high = api_keys.RANGES[key]

    @settings(
        max_examples=30,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=_ANY, version=st.integers(low, high), request=st.booleans())
    @example(data=b"\x7f" * 40, version=low, request=True)
    @example(data=b"\xff" * 40, version=high, request=False)
    def check(data: bytes, version: int, request: bool) -> None:
        kind = registry.request_class(key) if request else registry.response_class(key)
        try:
            message, end = kind.decode_at(data, version, 0)
        except DecodeError:
            return
        assert end <= len(data)
        written = message.encode(version)
        assert kind.decode(written, version) == message or "nan" in repr(message)

    check()


@settings(max_examples=100)
@given(data=_ANY)
def test_request_header(data: bytes) -> None:
    try:
        header, end = decode_request_header(data)
    except (DecodeError, UnsupportedVersionError):
        return
    assert end <= len(data)
    assert header.request_api_key in api_keys.RANGES


@pytest.mark.parametrize("key", api_keys.RANGES, ids=api_keys.name)
def test_memory_is_bounded_by_what_came(key: int) -> None:
    """4 KiB of ones, of empty arrays, of the largest counts: never more than a fixed factor of the input."""
    low, high = api_keys.RANGES[key]
    inputs = [
        b"\x01" * 4096,
        b"\x00" * 4096,
        b"\x02\x01" * 2048,
        b"\x7f\xff\xff\xff" * 1024,
        b"\xff\xff\xff\xff\x07" * 819,
    ]
    for kind in (registry.request_class(key), registry.response_class(key)):
        for version in {low, high}:
            for data in inputs:
                tracemalloc.start()
                try:
                    kind.decode(data, version)
                except DecodeError:
                    pass
                finally:
                    peak = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                assert peak < 400 * len(data), f"{kind.__name__} {version} {data[:8]!r}: {peak} bytes"
