"""Raw Kafka load: requests encoded beforehand and sent over plain sockets, so that the client costs next to nothing.

Runs as a program of its own (it must not share an interpreter with what measures it) and prints one line of JSON::

    python -m bench.rawload produce BOOTSTRAP TOPIC --partitions 6 --records 1000000 --size 100 --batch-bytes 1000000
    python -m bench.rawload fetch   BOOTSTRAP TOPIC --partitions 6 --records 1000000 --size 100
    python -m bench.rawload scan    BOOTSTRAP TOPIC --partitions 6 --seconds 10 --mb-s 50
    python -m bench.rawload trip    BOOTSTRAP TOPIC --partitions 6 --records 300 --size 100
    python -m bench.rawload idle    BOOTSTRAP TOPIC --partitions 1000 --connections 500 --seconds 20

Requests for a partition go to the leader that Metadata names at the start; BOOTSTRAP may hold several addresses.

``produce``  keeps ``--in-flight`` requests on each of ``--connections`` connections to each leader. A request holds one
batch for one partition; a connection stays on its own partition when there are at least as many connections as the
leader has partitions, else it goes round them. ``--batch-bytes 0`` puts one record in each request. ``--rate``: so many
requests a second on each connection whatever comes back, their latency counted from when they were due. The end offsets
are read before and after: an acknowledged record that did not arrive makes the program fail.
``fetch``    reads from offset 0 to ``--records``, one connection to each leader, 1 MiB per partition and request, and counts
every batch.
``scan``     reads from offset 0 to the end, again and again for ``--seconds``, at ``--mb-s`` at most (0: as fast as it goes).
``trip``     sends one record at a time to each partition, while a consumer waits for it on a connection of its own; the next
follows when the record was acknowledged and has arrived.
``idle``     opens connections that each own ``partitions / connections`` partitions in a fetch session and long-poll as
a consumer with default settings does (500 ms, 1 byte), and prints ``ready`` once all sessions stand. After ``--seconds``,
or on SIGTERM, it closes them: a session left behind keeps its place among the broker's 1,000 for two minutes. They all go
to the first broker of BOOTSTRAP.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import signal
import struct
import sys
import time
from collections.abc import Coroutine
from typing import Any

from bench.rawwire import (
    Connection,
    Failed,
    all_ends,
    batch,
    connect,
    count_batches,
    end_offsets,
    fetch_request,
    finished,
    leaders,
    percentile,
    produce_request,
)


class Producing:
    """One connection that keeps ``in_flight`` requests going, or sends ``rate`` a second, until ``total`` are acknowledged."""

    def __init__(
        self,
        connection: Connection,
        requests: list[bytes],
        total: int,
        in_flight: int,
        error_at: int,
        rate: float = 0.0,
    ) -> None:
        self.connection, self.requests, self.total = connection, requests, total
        self.sent = self.acknowledged = self.errors = 0
        self.sent_at: collections.deque[float] = collections.deque()
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error_at = error_at
        self.rate = rate
        connection.on_frame = self.on_frame
        if rate:
            self.due = time.perf_counter()
            self.tick()
        else:
            for _ in range(min(in_flight, total)):
                self.send(time.perf_counter())

    def send(self, due: float) -> None:
        self.sent_at.append(due)
        self.connection.transport.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1

    def tick(self) -> None:
        now = time.perf_counter()
        while self.sent < self.total and self.due <= now:
            self.send(self.due)
            self.due += 1 / self.rate
        if self.sent < self.total:
            asyncio.get_running_loop().call_later(max(0.0, self.due - time.perf_counter()), self.tick)

    def on_frame(self, view: memoryview) -> None:
        self.latencies.append(time.perf_counter() - self.sent_at.popleft())
        self.acknowledged += 1
        if view[self.error_at] or view[self.error_at + 1]:
            self.errors += 1
        if self.acknowledged == self.total and not self.done.done():
            self.done.set_result(None)
        elif self.sent < self.total and not self.rate:
            self.send(time.perf_counter())


def tail_of(latencies: list[float], name: str = "") -> dict[str, float]:
    """Percentiles of seconds, in ms."""
    latencies.sort()
    return {f"{name}p50_ms": percentile(latencies, 0.5) * 1e3, f"{name}p99_ms": percentile(latencies, 0.99) * 1e3}


async def produce(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    per_batch = max(1, (o.batch_bytes - 61) // (o.size + 8)) if o.batch_bytes else 1
    records = batch(per_batch, o.size)
    by_leader = await leaders(o.bootstrap, topic, o.partitions)
    before = await all_ends(by_leader, topic)
    error_at = 4 + 4 + 2 + len(topic) + 4 + 4
    plans: list[tuple[Connection, list[bytes], int]] = []
    for address, partitions in by_leader.items():
        requests = [produce_request(topic, p, records, o.acks) for p in partitions]
        share = o.records * len(partitions) / o.partitions
        each = max(1, -(-int(share) // per_batch) // o.connections)
        for k in range(o.connections):
            if o.connections >= len(requests):
                mine = [requests[k % len(requests)]]
            else:
                mine = [requests[(k + i * o.connections) % len(requests)] for i in range(len(requests))]
            plans.append((await connect(address), mine, each))
    began = time.perf_counter()
    lanes = [Producing(c, mine, each, o.in_flight, error_at, o.rate) for c, mine, each in plans]
    await finished([lane.done for lane in lanes], [lane.connection for lane in lanes])
    seconds = time.perf_counter() - began
    sent = sum(lane.total for lane in lanes) * per_batch
    errors = sum(lane.errors for lane in lanes)
    arrived = sum((await all_ends(by_leader, topic)).values()) - sum(before.values())
    if not errors and arrived != sent:
        raise Failed(f"{sent} records were acknowledged, {arrived} arrived")
    return {
        "records": sent,
        "requests": sum(lane.total for lane in lanes),
        "seconds": seconds,
        "errors": errors,
        **tail_of([t for lane in lanes for t in lane.latencies]),
    }


class Fetching:
    """One connection that reads the partitions of its leader until what is wanted of all is there, or nothing comes any more."""

    def __init__(self, connection: Connection, topic: bytes, partitions: list[int], state: dict[str, int]) -> None:
        self.connection, self.topic, self.state = connection, topic, state
        self.offsets = dict.fromkeys(partitions, 0)
        self.latencies: list[float] = []
        self.empty = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.on_frame = self.on_frame
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.connection.transport.write(fetch_request(self.topic, self.offsets))

    def on_frame(self, view: memoryview) -> None:
        self.latencies.append(time.perf_counter() - self.sent_at)
        state = self.state
        added = count_batches(view, self.offsets, len(self.topic))
        state["records"] += added
        state["bytes"] += len(view)
        state["requests"] += 1
        self.empty = 0 if added else self.empty + 1
        if state["records"] >= state["wanted"] or self.empty >= 10:
            self.done.set_result(None)
        else:
            self.send()


async def fetch(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    by_leader = await leaders(o.bootstrap, topic, o.partitions)
    await all_ends(by_leader, topic)
    state = {"records": 0, "bytes": 0, "requests": 0, "wanted": o.records}
    connections = [(await connect(address), partitions) for address, partitions in by_leader.items()]
    began = time.perf_counter()
    lanes = [Fetching(connection, topic, partitions, state) for connection, partitions in connections]
    await finished([lane.done for lane in lanes], [lane.connection for lane in lanes])
    seconds = time.perf_counter() - began
    if state.pop("wanted") > state["records"]:
        raise Failed(f"only {state['records']} of {o.records} records came")
    return {**state, "seconds": seconds, "errors": 0, **tail_of([t for lane in lanes for t in lane.latencies])}


class Scanning:
    """One connection that reads the partitions of its leader from their beginning, again and again."""

    def __init__(self, connection: Connection, topic: bytes, partitions: list[int], bytes_a_second: float) -> None:
        self.connection, self.topic, self.partitions, self.pace = connection, topic, partitions, bytes_a_second
        self.offsets = dict.fromkeys(partitions, 0)
        self.bytes = self.requests = 0
        self.sent_at = 0.0
        connection.on_frame = self.on_frame
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.connection.transport.write(fetch_request(self.topic, self.offsets))

    def on_frame(self, view: memoryview) -> None:
        """The pace is that of each request: what came late is not made up for."""
        self.bytes += len(view)
        self.requests += 1
        if not count_batches(view, self.offsets, len(self.topic)):
            self.offsets = dict.fromkeys(self.partitions, 0)
        wait = self.sent_at + len(view) / self.pace - time.perf_counter() if self.pace else 0.0
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self.send)
        else:
            self.send()


async def scan(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    by_leader = await leaders(o.bootstrap, topic, o.partitions)
    connections = [(await connect(address), partitions) for address, partitions in by_leader.items()]
    lanes = [Scanning(c, topic, led, o.mb_s * 1e6 * len(led) / o.partitions) for c, led in connections]
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(o.seconds, end, over)
    began = time.perf_counter()
    await finished([over], [lane.connection for lane in lanes])
    found = {"bytes": sum(lane.bytes for lane in lanes), "requests": sum(lane.requests for lane in lanes)}
    return {**found, "seconds": time.perf_counter() - began, "errors": 0}


class Trip:
    """One partition: a record, its acknowledgement, its arrival; then the next."""

    def __init__(
        self, producer: Connection, consumer: Connection, topic: bytes, partition: int, end: int, size: int, total: int
    ) -> None:
        self.producer, self.consumer, self.topic, self.total = producer, consumer, topic, total
        self.request = produce_request(topic, partition, batch(1, size), -1)
        self.offsets = {partition: end}
        self.errors = 0
        self.acks: list[float] = []
        self.trips: list[float] = []
        self.error_at = 4 + 4 + 2 + len(topic) + 4 + 4
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        producer.on_frame, consumer.on_frame = self.on_ack, self.on_records
        consumer.transport.write(fetch_request(topic, self.offsets))
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.producer.transport.write(self.request)

    def on_ack(self, view: memoryview) -> None:
        self.acks.append(time.perf_counter() - self.sent_at)
        self.errors += bool(view[self.error_at] or view[self.error_at + 1])
        self.follow()

    def on_records(self, view: memoryview) -> None:
        if count_batches(view, self.offsets, len(self.topic)):
            self.trips.append(time.perf_counter() - self.sent_at)
        if len(self.trips) < self.total:
            self.consumer.transport.write(fetch_request(self.topic, self.offsets))
        self.follow()

    def follow(self) -> None:
        if len(self.acks) != len(self.trips):
            return
        if len(self.trips) < self.total:
            self.send()
        elif not self.done.done():
            self.done.set_result(None)


async def trip(o: argparse.Namespace) -> dict[str, Any]:
    topic = o.topic.encode()
    by_leader = await leaders(o.bootstrap, topic, o.partitions)
    ends = await all_ends(by_leader, topic)
    each = max(1, o.records // o.partitions)
    began = time.perf_counter()
    trips = [
        Trip(await connect(address), await connect(address), topic, p, ends[p], o.size, each)
        for address, partitions in by_leader.items()
        for p in partitions
    ]
    await finished([t.done for t in trips], [c for t in trips for c in (t.producer, t.consumer)])
    return {
        "records": each * len(trips),
        "requests": each * len(trips),
        "seconds": time.perf_counter() - began,
        "errors": sum(t.errors for t in trips),
        **tail_of([t for each in trips for t in each.acks]),
        **tail_of([t for each in trips for t in each.trips], "trip_"),
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
    bootstrap = o.bootstrap.split(",")[0]
    side = await connect(bootstrap)
    ends = await end_offsets(side, topic, range(o.partitions))
    share = max(1, o.partitions // o.connections)
    pollers = []
    for k in range(o.connections):
        mine = {p % o.partitions: ends[p % o.partitions] for p in range(k * share, (k + 1) * share)}
        pollers.append(Polling(await connect(bootstrap), topic, mine))
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
    parser.add_argument("mode", choices=["produce", "fetch", "scan", "trip", "idle"])
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--batch-bytes", type=int, default=1_000_000)
    parser.add_argument("--acks", type=int, default=-1, choices=[-1, 1])
    parser.add_argument("--in-flight", type=int, default=5)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--mb-s", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    return parser


def main() -> None:
    o = arguments().parse_args()
    modes = {"produce": produce, "fetch": fetch, "scan": scan, "trip": trip, "idle": idle}
    try:
        print(json.dumps(run(modes[o.mode](o))), flush=True)
    except Failed as e:
        sys.exit(f"rawload {o.mode}: {e}")


if __name__ == "__main__":
    main()
