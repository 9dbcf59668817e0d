"""python -m bench.groups.sharing BOOTSTRAP TOPIC PARTITIONS CONSUMERS RECORDS: share consumers that take all records of a topic and accept them.

A consumer does what Kafka's Java client does by default: it asks for 500 records, and its next request accepts them and asks for more. All are in one process,
each with a connection of its own; they begin when each has an assignment. Every record must come once: more or fewer is a Failed. Prints ``ready`` when a tenth
is through and ``over`` at nineteen twentieths, between which the reader counts CPU; then one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bench.groups.wire import NOT_YET, Channel, coordinator, set_group, topic_id
from bench.rawload import run
from bench.rawwire import Failed
from moldau.protocol.messages.share_fetch import (
    AcknowledgementBatch,
    FetchPartition,
    FetchTopic,
    ShareFetchRequest,
    ShareFetchResponse,
)
from moldau.protocol.messages.share_group_heartbeat import ShareGroupHeartbeatRequest
from moldau.protocol.uuid import to_text

RECORDS_MAX, WAIT_MS, BYTES_MAX = 500, 500, 50 << 20
ACCEPT = 1
CLOSES = -1
JOIN_SECONDS_MAX = 60.0
SECONDS_MAX = 120.0


class Progress:
    """How many of all records were accepted."""

    def __init__(self, records: int) -> None:
        self.records = records
        self.accepted = 0
        self.began = self.ended = 0.0
        self.begin_at, self.end_at = records // 10, records * 19 // 20

    def add(self, count: int) -> None:
        self.accepted += count
        if not self.began and self.accepted >= self.begin_at:
            self.begin_at = self.accepted
            print("ready", flush=True)
            self.began = time.perf_counter()
        if not self.ended and self.accepted >= self.end_at:
            self.ended = time.perf_counter()
            self.end_at = self.accepted
            print("over", flush=True)

    def figures(self) -> dict[str, Any]:
        return {"records": self.end_at - self.begin_at, "seconds": self.ended - self.began}


class ShareMember:
    """Its place in the group: heartbeats on a connection of their own."""

    def __init__(self, channel: Channel, group: str, topic: str) -> None:
        self._channel, self._group, self._topic = channel, group, topic
        self.id = to_text(uuid.uuid4().bytes)
        self.assigned: list[int] = []
        self._epoch = 0
        self._interval = 0.1
        self.task = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        while True:
            request = ShareGroupHeartbeatRequest(group_id=self._group, member_id=self.id, member_epoch=self._epoch)
            if not self._epoch:
                request.subscribed_topic_names = [self._topic]
            answer = await self._channel.ask(request)
            if answer.error_code and answer.error_code not in NOT_YET:
                raise Failed(f"ShareGroupHeartbeat: {answer.error_code} {answer.error_message}")
            if not answer.error_code:
                self._epoch, self._interval = answer.member_epoch, answer.heartbeat_interval_ms / 1000
                if answer.assignment is not None:
                    self.assigned = [p for t in answer.assignment.topic_partitions for p in t.partitions]
            await asyncio.sleep(self._interval)

    async def leave(self) -> None:
        self.task.cancel()
        request = ShareGroupHeartbeatRequest(group_id=self._group, member_id=self.id, member_epoch=-1)
        await self._channel.ask(request)
        self._channel.close()


class ShareConsumer:
    """One share session."""

    def __init__(self, channel: Channel, group: str, member: ShareMember, topic: bytes, progress: Progress) -> None:
        self._channel, self._group, self._member, self._topic, self._progress = channel, group, member, topic, progress
        self._epoch = 0
        self._held: dict[int, list[tuple[int, int]]] = {}

    def _request(self, epoch: int) -> ShareFetchRequest:
        named = self._member.assigned if epoch == 0 else self._held
        places = [FetchPartition(partition_index=p, acknowledgement_batches=self._accepts(p)) for p in named]
        return ShareFetchRequest(
            group_id=self._group,
            member_id=self._member.id,
            share_session_epoch=epoch,
            max_wait_ms=WAIT_MS,
            min_bytes=1,
            max_bytes=BYTES_MAX,
            max_records=RECORDS_MAX,
            batch_size=RECORDS_MAX,
            topics=[FetchTopic(topic_id=self._topic, partitions=places)] if places else [],
        )

    def _accepts(self, partition: int) -> list[AcknowledgementBatch]:
        return [
            AcknowledgementBatch(first_offset=first, last_offset=last, acknowledge_types=[ACCEPT])
            for first, last in self._held.get(partition, ())
        ]

    async def consume(self) -> None:
        """Until all of `progress` is accepted. Raises Failed."""
        while self._progress.accepted < self._progress.records:
            answer = await self._channel.ask(self._request(self._epoch))
            accepted = sum(last - first + 1 for held in self._held.values() for first, last in held)
            self._held = taken(answer)
            self._epoch += 1
            self._progress.add(accepted)
        await self._channel.ask(self._request(CLOSES))
        self._channel.close()


def taken(answer: ShareFetchResponse) -> dict[int, list[tuple[int, int]]]:
    """What an answer hands out. Raises Failed for an error, and for a record that was handed out before."""
    if answer.error_code:
        raise Failed(f"ShareFetch: {answer.error_code} {answer.error_message}")
    found: dict[int, list[tuple[int, int]]] = {}
    for topic in answer.responses:
        for partition in topic.partitions:
            if error := partition.error_code or partition.acknowledge_error_code:
                raise Failed(f"ShareFetch of partition {partition.partition_index}: error code {error}")
            for run_ in partition.acquired_records:
                if run_.delivery_count != 1:
                    raise Failed(f"offset {run_.first_offset} came {run_.delivery_count} times")
                found.setdefault(partition.partition_index, []).append((run_.first_offset, run_.last_offset))
    return found


async def measure(bootstrap: str, topic: str, partitions: int, consumers: int, records: int) -> dict[str, Any]:
    group = f"sharing-{uuid.uuid4().hex}"
    side = await Channel.open(bootstrap)
    await coordinator(side, group)
    await set_group(side, group, {"share.auto.offset.reset": "earliest"})
    id_of_topic = await topic_id(side, topic)
    members = [ShareMember(await Channel.open(bootstrap), group, topic) for _ in range(consumers)]
    for _ in range(int(JOIN_SECONDS_MAX * 10)):
        if all(m.assigned for m in members) and {p for m in members for p in m.assigned} == set(range(partitions)):
            break
        await asyncio.sleep(0.1)
    else:
        raise Failed(f"after {JOIN_SECONDS_MAX:.0f} s some have no assignment: {[m.assigned for m in members]}")
    await asyncio.sleep(1.5)  # the last changes of the assignment
    progress = Progress(records)
    sessions = [ShareConsumer(await Channel.open(bootstrap), group, m, id_of_topic, progress) for m in members]
    try:
        await asyncio.wait_for(asyncio.gather(*(s.consume() for s in sessions)), SECONDS_MAX)
    except TimeoutError:
        raise Failed(f"{progress.accepted} of {records} records after {SECONDS_MAX:.0f} s") from None
    if progress.accepted != records:
        raise Failed(f"{progress.accepted} records were accepted of {records}")
    for member in members:
        await member.leave()
    return {**progress.figures(), "most_partitions": max(len(m.assigned) for m in members)}


def main(arguments: Sequence[str]) -> None:
    bootstrap, topic, partitions, consumers, records = arguments
    try:
        found = run(measure(bootstrap, topic, int(partitions), int(consumers), int(records)))
        print(json.dumps(found), flush=True)
    except Failed as e:
        sys.exit(f"sharing: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
