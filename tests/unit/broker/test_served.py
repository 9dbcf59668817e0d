"""What is advertised stands beside what is there."""

from __future__ import annotations

import importlib

import pytest

from moldau.broker import served
from moldau.protocol import api_keys
from moldau.protocol.registry import request_class, response_class
from tools.docs import compatibility


@pytest.mark.parametrize("key", sorted(served.VERSIONS), ids=api_keys.name)
def test_each_served_api_has_a_handler_and_messages_for_its_versions(key: int) -> None:
    low, high = served.VERSIONS[key]
    kafka_low, kafka_high = api_keys.RANGES[key]
    assert (low == kafka_low or key == api_keys.PRODUCE) and high <= kafka_high  # noqa: PT018
    module = importlib.import_module(served.MODULES[key])
    assert hasattr(module, "handle") != hasattr(module, "begin")
    assert (module.__doc__ or "").startswith(api_keys.name(key))
    assert high <= request_class(key).MAX_VERSION
    assert high <= response_class(key).MAX_VERSION


def test_each_api_is_served_or_has_a_reason() -> None:
    later = {name for names in compatibility.LATER.values() for name in names}
    missing = {api_keys.name(key) for key in api_keys.RANGES if key not in served.VERSIONS}
    assert missing == later
    assert set(compatibility.DIFFERS) <= {api_keys.name(key) for key in served.VERSIONS}
