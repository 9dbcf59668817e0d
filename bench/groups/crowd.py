"""The members of one consumer group (KIP-848), as many as you like in one process, each with a connection of its own.

A member says what Kafka's Java client says, when that says it: everything when it joins; only who it is and its epoch every interval that the broker asks
for; what it has, at once, when that has changed. It gives up and takes partitions without delay: it has nothing to do with records.
"""

from __future__ import annotations

import asyncio
import time
import uuid

from bench.groups.wire import NOT_YET, Channel
from bench.rawwire import Failed
from moldau.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

LEAVES = -1
REBALANCE_MS = 300_000


class Member:
    """Lives in `task` until it leaves or is killed."""

    def __init__(self, crowd: Crowd, channel: Channel) -> None:
        self.crowd, self.channel = crowd, channel
        self.id = uuid.uuid4().hex
        self.epoch = 0
        self.owned: set[int] = set()
        self.task: asyncio.Task[None]
        self._interval = 1.0
        self._joined = self._to_tell = False
        self.stopped = False
        self.later = 0.0
        """The part of an interval by which its next heartbeat is late, once."""
        self.beaten = asyncio.Event()

    def request(self, epoch: int) -> ConsumerGroupHeartbeatRequest:
        return ConsumerGroupHeartbeatRequest(group_id=self.crowd.group, member_id=self.id, member_epoch=epoch)

    async def live(self) -> None:
        """Raises Failed."""
        while not self.stopped:
            request = self.request(self.epoch)
            if not self._joined:
                request.rebalance_timeout_ms = REBALANCE_MS
                request.subscribed_topic_names = [self.crowd.topic]
                request.topic_partitions = []
            elif self._to_tell:
                mine = TopicPartitions(topic_id=self.crowd.topic_id, partitions=sorted(self.owned))
                request.topic_partitions = [mine] if self.owned else []
            answer = await self.channel.ask(request)
            if answer.error_code in NOT_YET:
                await asyncio.sleep(0.1)
                continue
            if answer.error_code:
                raise Failed(f"ConsumerGroupHeartbeat: {answer.error_code} {answer.error_message}")
            self._joined, self._to_tell = True, False
            self._take(answer)
            self.beaten.set()
            if not self._to_tell:
                later, self.later = self.later, 0.0
                await asyncio.sleep(self._interval * (1 + later))

    def _take(self, answer: ConsumerGroupHeartbeatResponse) -> None:
        self.epoch, self._interval = answer.member_epoch, answer.heartbeat_interval_ms / 1000
        if answer.assignment is None:
            return
        wanted = {p for t in answer.assignment.topic_partitions for p in t.partitions}
        if wanted != self.owned:
            self.crowd.moved(self, wanted)
            self._to_tell = True

    async def leave(self) -> None:
        """What it has is nobody's from now on; the answer to its farewell may come later."""
        self.task.cancel()
        self.crowd.gone(self)
        await self.channel.ask(self.request(LEAVES))
        self.channel.close()

    async def kill(self) -> None:
        """Directly after a heartbeat, so that its session has just begun."""
        self.beaten.clear()
        await self.beaten.wait()
        self.task.cancel()
        self.channel.close()
        self.crowd.gone(self)


class Crowd:
    """Who has which partition, as the members believe. A partition with two owners is a Failed."""

    def __init__(self, bootstrap: str, group: str, topic: str, topic_id: bytes, partitions: int) -> None:
        self._bootstrap = bootstrap
        self.group, self.topic, self.topic_id, self.partitions = group, topic, topic_id, partitions
        self.members: list[Member] = []
        self._owners: dict[int, Member] = {}
        self._settled: asyncio.Future[float] | None = None
        self._error: BaseException | None = None

    async def connected(self) -> Member:
        """One that does not live yet."""
        return Member(self, await Channel.open(self._bootstrap))

    def join(self, member: Member) -> None:
        self.members.append(member)
        member.task = asyncio.ensure_future(member.live())
        member.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not (error := task.exception()):
            return
        self._error = error
        if self._settled is not None and not self._settled.done():
            self._settled.set_exception(error)

    def moved(self, member: Member, wanted: set[int]) -> None:
        for partition in member.owned - wanted:
            del self._owners[partition]
        for partition in wanted - member.owned:
            if partition in self._owners:
                raise Failed(f"partition {partition} has two owners")
            self._owners[partition] = member
        member.owned = wanted
        self._look()

    def gone(self, member: Member) -> None:
        self.members.remove(member)
        for partition in member.owned:
            del self._owners[partition]

    def is_settled(self) -> bool:
        """Every partition has an owner, and every member its part."""
        counts = [len(m.owned) for m in self.members]
        return len(self._owners) == self.partitions and max(counts) - min(counts) <= 1

    def _look(self) -> None:
        if self._settled is not None and not self._settled.done() and self.is_settled():
            self._settled.set_result(time.perf_counter())

    async def settled(self, seconds_max: float) -> float:
        """When everybody had its part, by `perf_counter`. Raises Failed."""
        if self._error is not None:
            raise self._error
        self._settled = asyncio.get_running_loop().create_future()
        self._look()
        try:
            return await asyncio.wait_for(self._settled, seconds_max)
        except TimeoutError:
            counts = sorted(len(m.owned) for m in self.members)
            raise Failed(
                f"after {seconds_max:.0f} s {len(self._owners)} of {self.partitions} partitions have owners, {counts[0]} to {counts[-1]} each"
            ) from None

    async def start(self, members: int, seconds_max: float = 60.0) -> float:
        """All at once. How many seconds until all have their part."""
        all_of_them = [await self.connected() for _ in range(members)]
        began = time.perf_counter()
        for member in all_of_them:
            self.join(member)
        return await self.settled(seconds_max) - began

    def spread(self) -> None:
        """All came at once and would say so together for ever: from now on their heartbeats are spread over the interval, as those of members that came one by one."""
        for number, member in enumerate(self.members):
            member.later = number / len(self.members)

    async def stop(self) -> None:
        """Nobody says anything of itself any more; what was asked is answered, the connections stay."""
        for member in self.members:
            member.stopped = True
        await asyncio.gather(*(member.task for member in self.members))

    async def leave(self) -> None:
        for member in list(self.members):
            await member.leave()
