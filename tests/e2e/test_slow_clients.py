"""Clients that ask for much and never read, and clients that send half of a request: the broker's memory stays bounded, others go on."""

from __future__ import annotations

import socket
import struct
import subprocess
import time

import pytest
from support.wire import Wire, request
from test_round_trip import consume, create, produce

from moldau.protocol import api_keys
from moldau.protocol.messages.fetch import FetchPartition, FetchTopic
from moldau.server import server
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow

MIB = 1 << 20


def resident_mib(pid: int) -> float:
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) / 1024


def fetch(topic: str, offset: int) -> object:
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=50 * MIB)
    return request(
        api_keys.FETCH,
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=50 * MIB,
        topics=[FetchTopic(topic=topic, partitions=[partition])],
    )


def test_readers_that_never_read(moldau_broker_process: BrokerProcess) -> None:
    broker = moldau_broker_process
    create(broker.bootstrap, "t", 1)
    values = [b"%06d" % index + b"x" * 900_000 for index in range(70)]
    produce(broker.bootstrap, "t", values)
    before = resident_mib(broker.pid)
    wires = [Wire(broker.bootstrap) for _ in range(40)]
    try:
        for wire in wires:
            wire.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for offset in (0, 10):  # the second one is not even begun
                wire.link.sendall(wire.frame(fetch("t", offset), 11))  # type: ignore[arg-type]
        time.sleep(1)
        grown = resident_mib(broker.pid) - before
        # 40 answers of 50 MiB would be 2,000 MiB; the limit is 128, one answer and 40 small ones above it
        assert grown < 300, f"{grown:.0f} MiB"
        assert consume(broker.bootstrap, "t", 1, len(values)) == values
        assert resident_mib(broker.pid) - before < 300
    finally:
        for wire in wires:
            wire.link.close()


def test_writers_of_half_a_request(moldau_broker_process: BrokerProcess) -> None:
    broker = moldau_broker_process
    before = resident_mib(broker.pid)
    wires = [Wire(broker.bootstrap) for _ in range(20)]
    try:
        for wire in wires:
            wire.link.setblocking(False)
            wire.link.send(struct.pack(">i", 50 * MIB))
        chunk = bytes(MIB)
        for _ in range(40):
            for wire in wires:
                try:
                    wire.link.send(chunk)
                except BlockingIOError:
                    pass
            time.sleep(0.01)
        grown = resident_mib(broker.pid) - before
        # one large frame is let in, the other nineteen are not read
        assert grown < 100, f"{grown:.0f} MiB"
        create(broker.bootstrap, "t", 1)  # small requests go on
        produce(broker.bootstrap, "t", [b"x"])
    finally:
        for wire in wires:
            wire.link.close()
    produce(broker.bootstrap, "t", [b"y" * 900_000])  # room is given back when they leave
    assert len(consume(broker.bootstrap, "t", 1, 2)) == 2


def test_half_a_request_that_others_wait_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_STALLED_SECONDS", 0.3)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.05)
    with BrokerThread() as broker:
        create(broker.bootstrap, "t", 1)
        with Wire(broker.bootstrap) as hog:
            hog.link.sendall(struct.pack(">i", 50 * MIB) + bytes(200_000))
            time.sleep(0.5)
            assert broker.lifecycle.server.budget.held_bytes == 50 * MIB, "nobody waits: it may take its time"
            produce(broker.bootstrap, "t", [b"y" * 900_000])
            with pytest.raises((EOFError, ConnectionError)):
                hog.receive(1)
        assert broker.lifecycle.server.budget.held_bytes == 0


def test_a_reader_that_stopped_is_given_up_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_STALLED_SECONDS", 0.3)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.05)
    with BrokerThread() as broker:
        create(broker.bootstrap, "t", 1)
        produce(broker.bootstrap, "t", [b"x" * 900_000] * 20)
        with Wire(broker.bootstrap) as reader:
            reader.link.sendall(reader.frame(fetch("t", 0), 11))  # type: ignore[arg-type]
            time.sleep(0.6)
            outbox = broker.lifecycle.node.broker.outbox
            assert outbox.held_bytes > 4 * MIB
            outbox.limit_bytes = MIB
            deadline = time.monotonic() + 10
            while outbox.held_bytes and time.monotonic() < deadline:
                time.sleep(0.02)
            assert outbox.held_bytes == 0
            with pytest.raises((EOFError, ConnectionError)):
                reader.receive(100 * MIB)
