"""Every message and version that kio knows: its bytes are our bytes, and both read the same values out of them."""

from __future__ import annotations

from typing import Any

import kio_oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kio.static.constants import EntityType

from moldau.protocol import api_keys, registry
from moldau.protocol.message import Message
from moldau.protocol.messages.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from moldau.protocol.messages.control_records import EndTxnMarker
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader

KNOWN = list(kio_oracle.known())
OTHERS: list[tuple[type[Message], str, int, EntityType]] = [
    (RequestHeader, "request_header", 1, EntityType.header),
    (RequestHeader, "request_header", 2, EntityType.header),
    (ResponseHeader, "response_header", 0, EntityType.header),
    (ResponseHeader, "response_header", 1, EntityType.header),
    (EndTxnMarker, "end_txn_marker", 0, EntityType.data),
    *((ConsumerProtocolSubscription, "consumer_protocol_subscription", v, EntityType.data) for v in range(4)),
    *((ConsumerProtocolAssignment, "consumer_protocol_assignment", v, EntityType.data) for v in range(4)),
]

few = settings(
    max_examples=4,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def agree(ours: type[Message], theirs: Any, version: int) -> None:
    expected = kio_oracle.write(theirs)
    message = ours.decode(expected, version)
    assert kio_oracle.differences(message, theirs, ours.__name__) == []
    written = message.encode(version)
    assert written == expected
    assert kio_oracle.read(type(theirs), written) == theirs
    assert ours.decode(memoryview(bytearray(b"x" + written)), version, 1) == message


@pytest.mark.parametrize(("key", "kind", "version"), KNOWN, ids=[f"{api_keys.name(k)}-{t}-{v}" for k, t, v in KNOWN])
def test_same_bytes_and_values(key: int, kind: str, version: int) -> None:
    ours = registry.request_class(key) if kind == "request" else registry.response_class(key)
    theirs = kio_oracle.payload(key, kind, version)

    @few
    @given(kio_oracle.instances(theirs))
    def check(value: Any) -> None:
        agree(ours, value, version)

    check()


@pytest.mark.parametrize(("ours", "name", "version", "kind"), OTHERS, ids=[f"{o[1]}-{o[2]}" for o in OTHERS])
def test_headers_and_topic_data(ours: type[Message], name: str, version: int, kind: EntityType) -> None:
    @few
    @given(kio_oracle.instances(kio_oracle.entity(name, version, kind)))
    def check(value: Any) -> None:
        agree(ours, value, version)

    check()


def test_kio_knows_all_but_the_newest() -> None:
    """What no oracle here covers is covered by golden bytes of Kafka's own client; see tests/golden."""
    ours = {
        (key, kind, version)
        for key, (low, high) in api_keys.RANGES.items()
        for kind in ("request", "response")
        for version in range(low, high + 1)
    }
    assert ours - set(KNOWN) == {
        (api_keys.API_VERSIONS, "request", 5),
        (api_keys.API_VERSIONS, "response", 5),
        (api_keys.TXN_OFFSET_COMMIT, "request", 6),
        (api_keys.TXN_OFFSET_COMMIT, "response", 6),
        (api_keys.DELETE_GROUPS, "request", 3),
        (api_keys.DELETE_GROUPS, "response", 3),
        (api_keys.STREAMS_GROUP_HEARTBEAT, "request", 1),
        (api_keys.STREAMS_GROUP_HEARTBEAT, "response", 1),
        (api_keys.STREAMS_GROUP_DESCRIBE, "request", 1),
        (api_keys.STREAMS_GROUP_DESCRIBE, "response", 1),
        (api_keys.STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, "request", 0),
        (api_keys.STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, "response", 0),
    }


def test_oracle_sees_a_difference() -> None:
    """The comparison itself can fail."""
    theirs = kio_oracle.payload(api_keys.HEARTBEAT, "request", 4)

    @few
    @given(kio_oracle.instances(theirs), st.integers(1, 5))
    def check(value: Any, more: int) -> None:
        message = registry.request_class(api_keys.HEARTBEAT).decode(kio_oracle.write(value), 4)
        message.generation_id += more  # type: ignore[attr-defined]
        assert kio_oracle.differences(message, value)

    check()
