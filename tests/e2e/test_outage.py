"""A blob store that does not answer: clients are told an error that they try again, operators that it is no damage."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.wire import Wire, request
from test_round_trip import create, produce

from moldau.blobs.ports import BlobError
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.fetch import FetchPartition, FetchTopic
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsTopic
from moldau.testing import BrokerThread


def test_an_outage_is_told_once_and_passes(
    moldau_broker: BrokerThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create(moldau_broker.bootstrap, "t", 1)
    produce(moldau_broker.bootstrap, "t", [b"x" * 100] * 10)
    broker = moldau_broker.lifecycle.node.broker

    async def away(*_: Any) -> Any:
        raise BlobError("the store is away")

    topics = [FetchTopic(topic="t", partitions=[FetchPartition(partition=0, partition_max_bytes=10_000)])]
    fetch = request(api_keys.FETCH, max_wait_ms=0, min_bytes=1, max_bytes=10_000, topics=topics)
    times = [ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition(partition_index=0, timestamp=5)])]
    look = request(api_keys.LIST_OFFSETS, replica_id=-1, topics=times)
    with Wire(moldau_broker.bootstrap) as wire:
        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
            patched.setattr(broker.reader, "read_now", lambda *_: None)
            patched.setattr(broker.reader, "read", away)
            patched.setattr(broker.reader, "extent_bytes", away)
            for _ in range(20):
                part = wire.ask(fetch, 11).responses[0].partitions[0]
                assert part.error_code == error_codes.KAFKA_STORAGE_ERROR
            assert wire.ask(look, 5).topics[0].partitions[0].error_code == error_codes.KAFKA_STORAGE_ERROR
        said = [record.getMessage() for record in caplog.records if "the store is away" in record.getMessage()]
        assert len(said) == 1
        assert said[0].startswith("event=store_unavailable topic=t partition=0 offset=0 reads=1 ")
        part = wire.ask(fetch, 11).responses[0].partitions[0]
        assert (part.error_code, bool(part.records)) == (0, True)
