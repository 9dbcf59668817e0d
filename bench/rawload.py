"""Raw Kafka load: requests encoded beforehand and sent over plain sockets, so that the client costs next to nothing.

Runs as a program of its own (it must not share an interpreter with what measures it) and prints one line of JSON::

    python -m bench.rawload produce BOOTSTRAP TOPIC --partitions 6 --records 1000000 --size 100 --batch-bytes 1000000
    python -m bench.rawload fetch   BOOTSTRAP TOPIC --partitions 6 --records 1000000 --size 100
    python -m bench.rawload idle    BOOTSTRAP TOPIC --partitions 1000 --connections 500 --seconds 20

``produce``  keeps ``--in-flight`` requests on each of ``--connections`` connections. A request holds one batch for one
partition; a connection stays on its own partition when there are at least as many connections as partitions, else it
goes round them. ``--batch-bytes 0`` puts one record in each request. The end offsets are read before and after: an
acknowledged record that did not arrive makes the program fail.
``fetch``    reads from offset 0 to ``--records`` on one connection, 1 MiB per partition and request, and counts every
batch.
``idle``     opens connections that each own ``partitions / connections`` partitions in a fetch session and long-poll as
a consumer with default settings does (500 ms, 1 byte), and prints ``ready`` once all sessions stand. After ``--seconds``,
or on SIGTERM, it closes them: a session left behind keeps its place among the broker's 1,000 for two minutes.

Spoken versions: Produce 7, Fetch 11, ListOffsets 1: the newest before the compact encoding, served by both brokers.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from crc32c import crc32c

PRODUCE, FETCH, LIST_OFFSETS = 0, 1, 2
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


async def end_offsets(connection: Connection, topic: bytes, partitions: int) -> list[int]:
    body = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">i", partitions)
    for p in range(partitions):
        body += struct.pack(">iq", p, -1)
    at, found = 4 + 4 + 2 + len(topic), [0] * partitions
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


def percentile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


class Producing:
    """One connection that keeps ``in_flight`` requests going until ``total`` are acknowledged."""

    def __init__(
        self, connection: Connection, requests: list[bytes], total: int, in_flight: int, error_at: int
    ) -> None:
        self.connection, self.requests, self.total = connection, requests, total
        self.sent = self.acknowledged = self.errors = 0
        self.sent_at: collections.deque[float] = collections.deque()
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error_at = error_at
        connection.on_frame = self.on_frame
        for _ in range(min(in_flight, total)):
            self.send()

    def send(self) -> None:
        self.sent_at.append(time.perf_counter())
        self.connection.transport.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1

    def on_frame(self, view: memoryview) -> None:
        self.latencies.append(time.perf_counter() - self.sent_at.popleft())
        self.acknowledged += 1
        if view[self.error_at] or view[self.error_at + 1]:
            self.errors += 1
        if self.sent < self.total:
            self.send()
        elif self.acknowledged == self.total and not self.done.done():
            self.done.set_result(None)


async def produce(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    per_batch = max(1, (o.batch_bytes - 61) // (o.size + 8)) if o.batch_bytes else 1
    records = batch(per_batch, o.size)
    requests = [produce_request(topic, p, records, o.acks) for p in range(o.partitions)]
    each = max(1, -(-o.records // per_batch) // o.connections)
    side = await connect(o.bootstrap)
    before = await end_offsets(side, topic, o.partitions)
    connections = [await connect(o.bootstrap) for _ in range(o.connections)]
    error_at = 4 + 4 + 2 + len(topic) + 4 + 4
    began = time.perf_counter()
    lanes = []
    for k, connection in enumerate(connections):
        if o.connections >= o.partitions:
            mine = [requests[k % o.partitions]]
        else:
            mine = [requests[(k + i * o.connections) % o.partitions] for i in range(o.partitions)]
        lanes.append(Producing(connection, mine, each, o.in_flight, error_at))
    await finished([lane.done for lane in lanes], connections)
    seconds = time.perf_counter() - began
    sent = each * o.connections * per_batch
    errors = sum(lane.errors for lane in lanes)
    after = await end_offsets(side, topic, o.partitions)
    if not errors and sum(after) - sum(before) != sent:
        raise Failed(f"{sent} records were acknowledged, {sum(after) - sum(before)} arrived")
    latencies = sorted(t for lane in lanes for t in lane.latencies)
    return {
        "records": sent,
        "requests": each * o.connections,
        "seconds": seconds,
        "errors": errors,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
    }


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


async def fetch(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    connection = await connect(o.bootstrap)
    await end_offsets(connection, topic, o.partitions)
    offsets = dict.fromkeys(range(o.partitions), 0)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    state = {"records": 0, "bytes": 0, "requests": 0, "empty": 0}
    latencies: list[float] = []
    sent_at = [0.0]

    def send() -> None:
        sent_at[0] = time.perf_counter()
        connection.transport.write(fetch_request(topic, offsets))

    def on_frame(view: memoryview) -> None:
        latencies.append(time.perf_counter() - sent_at[0])
        added = count_batches(view, offsets, len(topic))
        state["records"] += added
        state["bytes"] += len(view)
        state["requests"] += 1
        state["empty"] = 0 if added else state["empty"] + 1
        if state["records"] >= o.records or state["empty"] >= 10:
            done.set_result(None)
        else:
            send()

    connection.on_frame = on_frame
    began = time.perf_counter()
    send()
    await finished([done], [connection])
    seconds = time.perf_counter() - began
    if state["records"] < o.records:
        raise Failed(f"only {state['records']} of {o.records} records came")
    latencies.sort()
    return {
        "records": state["records"],
        "requests": state["requests"],
        "bytes": state["bytes"],
        "seconds": seconds,
        "errors": 0,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
    }


class Polling:
    """A consumer that has nothing to read: one fetch session, asked again at once after every answer."""

    def __init__(self, connection: Connection, topic: bytes, offsets: dict[int, int]) -> None:
        self.connection, self.topic, self.offsets = connection, topic, offsets
        self.session, self.epoch, self.polls = 0, 0, 0
        self.standing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = False
        connection.on_frame = self.on_frame
        connection.transport.write(fetch_request(topic, offsets, session=0, epoch=0))

    def on_frame(self, view: memoryview) -> None:
        error, session = struct.unpack_from(">hi", view, 8)
        if error:
            raise Failed(f"Fetch: error code {error}")
        if self.closing:
            if not session:
                self.closed.set_result(None)
            return  # else the answer to the poll that was under way
        if not session:
            raise Failed("a consumer got no fetch session: the broker's are all in use")
        self.polls += 1
        self.session = session
        self.epoch += 1
        if not self.standing.done():
            self.standing.set_result(None)
        self.connection.transport.write(fetch_request(self.topic, {}, session=session, epoch=self.epoch))

    def close(self) -> asyncio.Future[None]:
        """End the session, as a consumer does that is closed; done when the broker has answered."""
        self.closing = True
        self.connection.transport.write(fetch_request(self.topic, {}, session=self.session, epoch=-1))
        return self.closed


async def idle(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    side = await connect(o.bootstrap)
    ends = await end_offsets(side, topic, o.partitions)
    share = max(1, o.partitions // o.connections)
    pollers = []
    for k in range(o.connections):
        mine = {p % o.partitions: ends[p % o.partitions] for p in range(k * share, (k + 1) * share)}
        pollers.append(Polling(await connect(o.bootstrap), topic, mine))
    connections = [p.connection for p in pollers]
    await asyncio.wait_for(finished([p.standing for p in pollers], connections), 60)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end, over)
    print("ready", flush=True)
    before = sum(p.polls for p in pollers)
    began = time.perf_counter()
    asyncio.get_running_loop().call_later(o.seconds, end, over)
    await finished([over], connections)
    requests, seconds = sum(p.polls for p in pollers) - before, time.perf_counter() - began
    await asyncio.wait_for(finished([p.close() for p in pollers], connections), 60)
    return {"connections": len(pollers), "requests": requests, "seconds": seconds}


def end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def run(main: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    import uvloop

    return uvloop.run(main)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.rawload", description=__doc__)
    parser.add_argument("mode", choices=["produce", "fetch", "idle"])
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--batch-bytes", type=int, default=1_000_000)
    parser.add_argument("--acks", type=int, default=-1, choices=[-1, 1])
    parser.add_argument("--in-flight", type=int, default=5)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    return parser


def main() -> None:
    o = arguments().parse_args()
    modes = {"produce": produce, "fetch": fetch, "idle": idle}
    try:
        print(json.dumps(run(modes[o.mode](o))), flush=True)
    except Failed as e:
        sys.exit(f"rawload {o.mode}: {e}")


if __name__ == "__main__":
    main()
