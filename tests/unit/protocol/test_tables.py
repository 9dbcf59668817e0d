"""API keys, error codes, and the registry that finds a message's class."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kio.schema.errors import ErrorCode

from moldau.protocol import api_keys, error_codes, registry
from moldau.protocol.errors import UnsupportedVersionError


def test_names_of_apis() -> None:
    assert api_keys.PRODUCE == 0
    assert api_keys.name(0) == "Produce"
    assert api_keys.name(api_keys.OFFSET_FOR_LEADER_EPOCH) == "OffsetForLeaderEpoch"
    assert api_keys.name(58) == "Envelope"
    assert api_keys.name(4711) == "ApiKey(4711)"


def test_ranges_of_some_apis() -> None:
    """As the design lists them; the unstable version of InitProducerId is left out."""
    assert api_keys.RANGES[api_keys.PRODUCE] == (3, 13)
    assert api_keys.RANGES[api_keys.FETCH] == (4, 18)
    assert api_keys.RANGES[api_keys.INIT_PRODUCER_ID] == (0, 5)
    assert api_keys.RANGES[api_keys.SHARE_FETCH] == (1, 2)
    assert api_keys.RANGES[api_keys.TXN_OFFSET_COMMIT] == (0, 6)
    assert set(api_keys.RANGES) == set(api_keys.FLEXIBLE_FROM)
    assert not {4, 5, 6, 7, 52, 58, 63, 82, 94} & set(api_keys.RANGES)


@pytest.mark.parametrize("key", api_keys.RANGES)
def test_registry_agrees_with_the_tables(key: int) -> None:
    for kind in (registry.request_class(key), registry.response_class(key)):
        assert key == kind.API_KEY
        assert api_keys.FLEXIBLE_FROM[key] == kind.FLEXIBLE_FROM
        assert api_keys.RANGES[key][0] == kind.MIN_VERSION
        assert api_keys.RANGES[key][1] <= kind.MAX_VERSION
    assert api_keys.RANGES[key][1] == registry.request_class(key).MAX_VERSION
    assert registry.request_class(key).__name__ == api_keys.name(key) + "Request"
    assert registry.response_class(key).__name__ == api_keys.name(key) + "Response"


@pytest.mark.parametrize("key", [-1, 4, 82, 4711])
def test_registry_refuses_other_keys(key: int) -> None:
    with pytest.raises(UnsupportedVersionError, match="has no messages here"):
        registry.request_class(key)


@pytest.mark.slow
def test_registry_imports_nothing_until_asked() -> None:
    code = (
        "import sys; from moldau.protocol import registry, headers; "
        "print([m for m in sys.modules if m.startswith('moldau.protocol.messages.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['moldau.protocol.messages.headers']"


def test_error_codes_are_kafkas() -> None:
    """Names, numbers and retriable as kio has them for Kafka 4.2."""
    for code in ErrorCode:
        assert getattr(error_codes, code.name.upper()) == code.value
        assert error_codes.name(code.value) == code.name.upper()
        assert error_codes.is_retriable(code.value) == code.retriable, code


def test_newest_and_unknown_error_codes() -> None:
    assert error_codes.STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED == 135
    assert error_codes.name(4711) == "ErrorCode(4711)"
    assert not error_codes.is_retriable(4711)
