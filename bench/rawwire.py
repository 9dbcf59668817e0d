"""Kafka's wire as rawload speaks it: requests encoded beforehand, connections that cost next to nothing, and who leads what.

Spoken versions: Produce 7, Fetch 11, ListOffsets 1, Metadata 1: the newest before the compact encoding, served by both brokers.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crc32c import crc32c

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
NOT_READY = {3, 5, 6}  # a topic just created: unknown, without leader, with the leader not there yet
CLIENT = b"load"


def varint(n: int) -> bytes:
    """Zigzag varint of a number that is not negative."""
    n <<= 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def batch(count: int, size: int) -> bytes:
    """A record batch (version 2, no compression) of ``count`` records without key, values of ``size`` bytes."""
    records = bytearray()
    for i in range(count):
        value = os.urandom(min(8, size)).ljust(size, b"x")
        body = b"\0" + varint(0) + varint(i) + b"\x01" + varint(size) + value + b"\0"
        records += varint(len(body)) + body
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", 0, count - 1, now, now, -1, -1, -1, count) + records
    rest = struct.pack(">ibI", -1, 2, crc32c(tail)) + tail
    return struct.pack(">qi", 0, len(rest)) + rest


def string(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def frame(key: int, version: int, body: bytes, correlation_id: int = 0) -> bytes:
    message = struct.pack(">hhi", key, version, correlation_id) + string(CLIENT) + body
    return struct.pack(">i", len(message)) + message


def produce_request(topic: bytes, partition: int, records: bytes, acks: int) -> bytes:
    body = struct.pack(">hhii", -1, acks, 30_000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(records))
    return frame(PRODUCE, 7, body + records)


def fetch_request(
    topic: bytes, offsets: dict[int, int], *, session: int = 0, epoch: int = -1, max_bytes: int = 50 << 20
) -> bytes:
    """``offsets``: what this request names; an incremental request of a session names nothing."""
    body = struct.pack(">iiiib", -1, 500, 1, max_bytes, 0) + struct.pack(">ii", session, epoch)
    if offsets:
        body += struct.pack(">i", 1) + string(topic) + struct.pack(">i", len(offsets))
        for partition, offset in offsets.items():
            body += struct.pack(">iiqqi", partition, -1, offset, -1, 1 << 20)
    else:
        body += struct.pack(">i", 0)
    return frame(FETCH, 11, body + struct.pack(">ih", 0, 0))


class Failed(Exception):
    """The broker answered an error, or closed the connection."""


class Connection(asyncio.BufferedProtocol):
    """Frames in, without copies of large ones; each whole frame goes to ``on_frame`` (the view is gone afterwards)."""

    SMALL = 256 << 10

    def __init__(self) -> None:
        self.on_frame: Callable[[memoryview], None] = lambda _: None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._small = memoryview(bytearray(self.SMALL))
        self._large: memoryview | None = None  # the buffer of one frame that does not fit the small buffer
        self._buffer = self._small
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_exception(Failed("the broker closed the connection"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        buffer, start = self._buffer, 0
        while self._filled - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if end > self._filled:
                break
            try:
                self.on_frame(buffer[start + 4 : end])
            except Failed as e:
                if not self.lost.done():
                    self.lost.set_exception(e)
                return
            start = end
        rest = self._filled - start
        target, need = self._small, 4
        if rest >= 4:
            need = 4 + int.from_bytes(buffer[start : start + 4], "big")
        if need > self.SMALL:
            if self._large is None or len(self._large) < need:
                self._large = memoryview(bytearray(need))
            target = self._large[:need]
        if rest and (start or target is not buffer):
            target[:rest] = (
                bytes(buffer[start : self._filled]) if target.obj is buffer.obj else buffer[start : self._filled]
            )
        self._buffer, self._filled = target, rest


async def connect(bootstrap: str) -> Connection:
    host, port = bootstrap.rsplit(":", 1)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    return connection


async def finished(done: Sequence[asyncio.Future[Any]], connections: Sequence[Connection]) -> None:
    """Waits until all of ``done`` are; raises ``Failed`` as soon as one of the connections cannot go on."""
    everything: asyncio.Future[Any] = asyncio.gather(*done)
    lost: list[asyncio.Future[Any]] = [c.lost for c in connections]
    await asyncio.wait([everything, *lost], return_when=asyncio.FIRST_COMPLETED)
    for connection in lost:
        if connection.done():
            everything.cancel()
            connection.result()
    everything.result()


async def call(connection: Connection, request: bytes) -> bytes:
    """One request and its answer."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    connection.on_frame = lambda view: answer.set_result(bytes(view))
    connection.transport.write(request)
    await finished([answer], [connection])
    return answer.result()


async def leaders(bootstrap: str, topic: bytes, partitions: int) -> dict[str, list[int]]:
    """HOST:PORT of each broker that leads partitions below ``partitions`` of the topic, and which. ``bootstrap``: one address or several."""
    connection = await connect(bootstrap.split(",")[0])
    request = frame(METADATA, 1, struct.pack(">i", 1) + string(topic))
    try:
        for patience in range(100, -1, -1):
            addresses, led = parse_metadata(await call(connection, request))
            known = {p: addresses[node] for p, node in led.items() if node in addresses and p < partitions}
            if len(known) == partitions:
                break
            if not patience:
                raise Failed(f"Metadata: only {len(known)} of {partitions} partitions have leaders")
            await asyncio.sleep(0.2)
    finally:
        connection.transport.close()
    by_address: dict[str, list[int]] = {}
    for partition in range(partitions):
        by_address.setdefault(known[partition], []).append(partition)
    return by_address


def parse_metadata(answer: bytes) -> tuple[dict[int, str], dict[int, int]]:
    """From a Metadata 1 answer about one topic: node id to HOST:PORT, and partition to leader (those without error)."""
    at = 4

    def take(form: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from(">" + form, answer, at)
        at += struct.calcsize(">" + form)
        return values

    def text() -> str:
        nonlocal at
        (length,) = take("h")
        value = answer[at : at + max(length, 0)].decode()
        at += max(length, 0)
        return value

    addresses = {}
    for _ in range(take("i")[0]):
        (node,) = take("i")
        host = text()
        addresses[node] = f"{host}:{take('i')[0]}"
        text()  # rack
    take("i")  # controller
    led = {}
    for _ in range(take("i")[0]):
        take("h")
        text()
        take("b")
        for _ in range(take("i")[0]):
            error, partition, leader = take("hii")
            for _ in range(2):  # replicas, in-sync replicas
                (count,) = take("i")
                at += 4 * count
            if not error:
                led[partition] = leader
    return addresses, led


async def end_offsets(connection: Connection, topic: bytes, partitions: Sequence[int]) -> dict[int, int]:
    """Of partitions that the connection's broker leads."""
    body = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">i", len(partitions))
    for p in partitions:
        body += struct.pack(">iq", p, -1)
    at, found = 4 + 4 + 2 + len(topic), {}
    for patience in range(100, -1, -1):
        answer = await call(connection, frame(LIST_OFFSETS, 1, body))
        (count,) = struct.unpack_from(">i", answer, at)
        errors = set()
        for i in range(count):
            partition, error, _, offset = struct.unpack_from(">ihqq", answer, at + 4 + i * 22)
            errors.add(error)
            found[partition] = offset
        if errors == {0}:
            break
        if not patience or not errors <= NOT_READY | {0}:
            raise Failed(f"ListOffsets: error codes {sorted(errors)}")
        await asyncio.sleep(0.2)
    return found


async def all_ends(by_leader: Mapping[str, Sequence[int]], topic: bytes) -> dict[int, int]:
    """End offsets of all partitions, each asked of its leader."""
    ends: dict[int, int] = {}
    for address, partitions in by_leader.items():
        side = await connect(address)
        try:
            ends.update(await end_offsets(side, topic, partitions))
        finally:
            side.transport.close()
    return ends


def percentile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def count_batches(view: memoryview, offsets: dict[int, int], topic_length: int) -> int:
    """Records that a Fetch 11 answer adds; ``offsets`` move on. Costs a few operations per batch, none per record."""
    error, _session, topics = struct.unpack_from(">hii", view, 8)
    if error:
        raise Failed(f"Fetch: error code {error}")
    at, added = 18, 0
    for _ in range(topics):
        at += 2 + topic_length
        (partitions,) = struct.unpack_from(">i", view, at)
        at += 4
        for _ in range(partitions):
            partition, error, _, _, _, aborted = struct.unpack_from(">ihqqqi", view, at)
            if error:
                raise Failed(f"Fetch of partition {partition}: error code {error}")
            at += 34 + max(aborted, 0) * 16 + 4
            (length,) = struct.unpack_from(">i", view, at)
            at += 4
            end = at + max(length, 0)
            while at + 61 <= end:
                base, batch_length = struct.unpack_from(">qi", view, at)
                if at + 12 + batch_length > end:
                    break  # the broker may cut the last batch short
                (last_delta,) = struct.unpack_from(">i", view, at + 23)
                following = base + last_delta + 1
                added += following - max(base, offsets[partition])
                offsets[partition] = following
                at += 12 + batch_length
            at = end
    return added
