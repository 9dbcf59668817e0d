"""python -m bench.groups.requests BOOTSTRAP TOPIC PARTITIONS MEMBERS heartbeat|commit IN_FLIGHT WARM REQUESTS: what members of a settled group ask all the time.

Each member keeps IN_FLIGHT requests in flight on its connection: heartbeats that change nothing, or commits of all partitions that it owns (and a heartbeat between
them each second, not counted). Prints ``ready`` after WARM requests and ``over`` REQUESTS later, between which the reader counts CPU; then one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any

from bench.groups.crowd import Crowd, Member
from bench.groups.wire import Channel, coordinator, framed, opened, topic_id
from bench.rawload import run
from bench.rawwire import Failed, finished
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)

HEARTBEAT, COMMIT = 68, 8
ALIVE_SECONDS = 1.0


class Tally:
    """How many answers came of all members, and when the counting begins and ends."""

    def __init__(self, warm: int, requests: int) -> None:
        self._to_ready, self._to_over = warm, warm + requests
        self._answered = 0
        self._began = 0.0
        self.seconds = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one(self) -> None:
        self._answered += 1
        if self._answered == self._to_ready:
            print("ready", flush=True)
            self._began = time.perf_counter()
        elif self._answered == self._to_over:
            self.seconds = time.perf_counter() - self._began
            print("over", flush=True)
            self.over.set_result(None)


class Lane:
    """One member's requests. An answer is compared with the one that says that all is well, and only decoded when it is another."""

    def __init__(self, member: Member, key: int, in_flight: int, tally: Tally) -> None:
        self._connection = member.channel.connection
        self._tally, self._key = tally, key
        self._heartbeat = framed(member.request(member.epoch))
        self._request = self._heartbeat if key == HEARTBEAT else framed(commit_of(member))
        self._kinds: deque[int] = deque()
        self._well: dict[int, bytes] = {}
        self._beaten_at = time.perf_counter()
        self._connection.on_frame = self._on_frame
        for _ in range(in_flight):
            self._send()

    def _send(self) -> None:
        now = time.perf_counter()
        if self._key != HEARTBEAT and now - self._beaten_at > ALIVE_SECONDS:
            self._beaten_at = now
            self._kinds.append(HEARTBEAT)
            self._connection.transport.write(self._heartbeat)
        self._kinds.append(self._key)
        self._connection.transport.write(self._request)

    def _on_frame(self, view: memoryview) -> None:
        kind = self._kinds.popleft()
        if view != self._well.get(kind, b""):
            self._judge(kind, bytes(view))
        if kind == self._key:
            self._tally.one()
            if not self._tally.over.done():
                self._send()

    def _judge(self, kind: int, raw: bytes) -> None:
        answer = opened(kind, raw)
        if kind == HEARTBEAT:
            errors = {answer.error_code}
        else:
            errors = {p.error_code for t in answer.topics for p in t.partitions}
        if errors != {0}:
            raise Failed(f"{type(answer).__name__}: error codes {sorted(errors)}")
        self._well[kind] = raw


def commit_of(member: Member) -> OffsetCommitRequest:
    places = [OffsetCommitRequestPartition(partition_index=p, committed_offset=7) for p in sorted(member.owned)]
    topic = OffsetCommitRequestTopic(name=member.crowd.topic, partitions=places)
    return OffsetCommitRequest(
        group_id=member.crowd.group,
        generation_id_or_member_epoch=member.epoch,
        member_id=member.id,
        topics=[topic],
    )


async def measure(
    bootstrap: str, topic: str, partitions: int, members: int, key: int, in_flight: int, warm: int, requests: int
) -> dict[str, Any]:
    group = f"requests-{uuid.uuid4().hex}"
    side = await Channel.open(bootstrap)
    await coordinator(side, group)
    crowd = Crowd(bootstrap, group, topic, await topic_id(side, topic), partitions)
    await crowd.start(members)
    await asyncio.sleep(2.0)  # the last ones have said what they have
    await crowd.stop()
    tally = Tally(warm, requests)
    for member in crowd.members:
        Lane(member, key, in_flight, tally)
    await finished([tally.over], [m.channel.connection for m in crowd.members])
    return {"requests": requests, "seconds": tally.seconds}


def main(arguments: Sequence[str]) -> None:
    bootstrap, topic, partitions, members, what, *numbers = arguments
    key = {"heartbeat": HEARTBEAT, "commit": COMMIT}[what]
    in_flight, warm, requests = (int(each) for each in numbers)
    try:
        found = measure(bootstrap, topic, int(partitions), int(members), key, in_flight, warm, requests)
        print(json.dumps(run(found)), flush=True)
    except Failed as e:
        sys.exit(f"requests: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
