"""A fetch that copies a lot out of the stores lets others have their turn, and gives what it gave without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.talker import Gone, Talker, batch_of

from moldau.broker import fetch_reading
from moldau.broker.broker import Broker
from moldau.broker.options import Options
from moldau.log.refresher import Refresher
from moldau.protocol import api_keys
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from moldau.testing import BrokerThread

PARTITIONS = 6
VALUE = b"x" * 20_000


def asked(isolation_level: int, max_bytes: int = 1 << 20) -> FetchRequest:
    partitions = [
        FetchPartition(partition=n, current_leader_epoch=-1, fetch_offset=0, partition_max_bytes=1 << 20)
        for n in range(PARTITIONS)
    ]
    return FetchRequest(
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_epoch=-1,
        topics=[FetchTopic(topic="old", partitions=partitions)],
    )


def records(answer: Any) -> list[bytes]:
    (topic,) = answer.responses
    assert {each.error_code for each in topic.partitions} == {0}
    return [bytes(each.records) for each in topic.partitions]


@pytest.mark.parametrize("isolation_level", [0, 1])
def test_others_have_their_turn(monkeypatch: pytest.MonkeyPatch, isolation_level: int) -> None:
    options = Options()
    options.tail_cache_bytes = 1000
    with BrokerThread(options) as running, Talker(running.bootstrap) as wire:
        wire.create_topic("old", PARTITIONS)
        for partition in range(PARTITIONS):
            for _ in range(3):
                wire.produce("old", partition, batch_of([VALUE]))
        broker: Broker = running.lifecycle.node.broker
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(count)

        read_at: list[int] = []
        read_now = broker.reader.read_now

        def noted(*args: Any) -> Any:
            read_at.append(turns)
            return read_now(*args)

        monkeypatch.setattr(broker.reader, "read_now", noted)
        whole = records(wire.call(api_keys.FETCH, 11, asked(isolation_level)))
        assert [len(each) > 3 * len(VALUE) for each in whole] == [True] * PARTITIONS
        assert len(set(read_at)) == 1, "little enough for one turn"
        running._loop.call_soon_threadsafe(count)
        read_at.clear()
        monkeypatch.setattr(fetch_reading, "STEP_BYTES", 100_000)
        assert records(wire.call(api_keys.FETCH, 11, asked(isolation_level))) == whole
        assert len(read_at) == PARTITIONS, "nothing is read twice"
        assert len(set(read_at)) == PARTITIONS // 2
        monkeypatch.setattr(fetch_reading, "STEP_BYTES", 1)
        part = records(wire.call(api_keys.FETCH, 11, asked(isolation_level, max_bytes=2 * len(whole[0]))))
        assert part == [*whole[:2], *[b""] * (PARTITIONS - 2)]


@pytest.mark.parametrize(("shared", "pause"), [(False, 0.0), (True, fetch_reading.STEP_PAUSE_SECONDS)])
def test_where_stores_are_shared_it_pauses_for_others(
    monkeypatch: pytest.MonkeyPatch, shared: bool, pause: float
) -> None:
    """Their commits take several turns of the loop, and each would wait for a step."""
    options = Options()
    options.tail_cache_bytes = 1000
    with BrokerThread(options) as running, Talker(running.bootstrap) as wire:
        wire.create_topic("old", PARTITIONS)
        for partition in range(PARTITIONS):
            wire.produce("old", partition, batch_of([VALUE]))
        slept: list[float] = []

        async def noted(seconds: float) -> None:
            slept.append(seconds)

        monkeypatch.setattr(fetch_reading, "sleep", noted)
        monkeypatch.setattr(fetch_reading, "STEP_BYTES", 1)
        monkeypatch.setattr(Refresher, "shared", property(lambda _: shared))
        read = records(wire.call(api_keys.FETCH, 11, asked(0)))
    assert all(len(each) > len(VALUE) for each in read)
    assert slept == [pause] * (PARTITIONS - 2), "the first is read at once, the second in the task's first turn"


def test_who_cannot_be_answered_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in a fetch that goes on in a task: the client hears of it at once, and the log says what it was."""
    options = Options()
    options.tail_cache_bytes = 1000
    with BrokerThread(options) as running, Talker(running.bootstrap, timeout=5.0) as wire:
        wire.create_topic("old", PARTITIONS)
        wire.produce("old", 0, batch_of([VALUE]))

        async def fails(*_: Any) -> None:
            raise RuntimeError("not foreseen")

        reader = running.lifecycle.node.broker.reader
        monkeypatch.setattr(reader, "read_now", lambda *_: None)
        monkeypatch.setattr(reader, "read", fails)
        with pytest.raises(Gone, match="hung up"):
            wire.call(api_keys.FETCH, 11, asked(0))
    assert "event=reply_failed" in caplog.text
    assert "not foreseen" in caplog.text


def test_nor_is_one_left_alone_that_waited(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in a long poll whose time is over."""
    with BrokerThread(Options()) as running, Talker(running.bootstrap, timeout=5.0) as wire:
        wire.create_topic("old", PARTITIONS)
        wire.produce("old", 0, batch_of([VALUE]))

        def fails(*_: Any) -> None:
            raise RuntimeError("not foreseen")

        monkeypatch.setattr(running.lifecycle.node.broker.reader, "read_now", fails)
        request = asked(0)
        request.min_bytes, request.max_wait_ms = 1 << 20, 50
        with pytest.raises(Gone, match="hung up"):
            wire.call(api_keys.FETCH, 11, request)
    assert "event=reply_failed" in caplog.text
    assert "not foreseen" in caplog.text
