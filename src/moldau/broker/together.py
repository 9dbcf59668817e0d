"""What a broker does because there are others: heartbeats, notes, leases, and looking at what the others wrote. Runs beside the serving.

Everything here only makes things quicker, or decides who does what must have one home (invariant 6); what is right is decided by the stores.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from moldau.cluster.leases import Leases
from moldau.cluster.notes import LEASES_FREED, MEMBERS_CHANGED, Note
from moldau.cluster.peers import Peers
from moldau.cluster.pulse import BEAT_SECONDS, Pulse
from moldau.coordination.shard_store import SHARDS, lease_of
from moldau.coordination.shards import GroupShards
from moldau.metadata.errors import BrokerFenced, StoreError

from .foreseen import Foreseen

if TYPE_CHECKING:
    from moldau.metadata.ports import LeaseStore

    from .broker import Broker

log = logging.getLogger(__name__)

LEASE_STEP_SECONDS = 0.25
POLL_SECONDS = 1.0
"""The safety net under the notes; longer where many views are in memory, so that it never costs much."""
_POLLED_VIEWS_A_SECOND = 2000
MAINTENANCE = "maintenance"
"""The lease of the jobs that one broker does for all."""
_MAINTENANCE_KEY = -1
LEAVE_SECONDS = 1.0
"""Between the word that this broker leaves and its end: clients go to the others meanwhile."""


class Together:
    """`start` once the broker is registered, `leave` before its connections are closed, `close` after."""

    def __init__(
        self, broker: Broker, leases: LeaseStore, listener: str, *, maintains: bool, fenced: Callable[[], None]
    ) -> None:
        self._broker = broker
        self._maintains = maintains
        self._members = broker.members
        self.peers = Peers(broker.members, listener, broker.steady_clock, self._received)
        self.pulse = Pulse(broker.cluster_store, broker.members, broker.steady_clock, self._beaten, fenced)
        self.leases = Leases(
            leases,
            broker.members.me.owner,
            broker.steady_clock,
            self._wanted,
            self._gained,
            self._lost,
            broker.members.is_dead,
        )
        broker.catalog.tell = lambda version: self.peers.tell(metadata_version=version)
        self._foreseen = Foreseen(broker.views, self._is_leader)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.maintaining = False
        """Whether this broker does the jobs of all."""

    def expects(self, shard: int) -> bool:
        """Whether a shard of groups is about to come here."""
        return self._leads(shard)

    def forget(self, shard: int) -> None:
        """The store gave the shard's lease to another broker."""
        self.leases.forget(lease_of(shard))

    # -- life -----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Learn who is there, and keep on. Raises StoreError."""
        await self.pulse.beat()
        self._members.on_change(self._wake.set)
        await self.leases.step()
        for name, work in (("pulse", self.pulse.run()), ("leases", self._lease()), ("poll", self._poll())):
            self._tasks.append(self._broker.loop.create_task(self._told(name, work), name=f"moldau-{name}"))
        self.peers.tell(MEMBERS_CHANGED)

    async def introduce(self) -> None:
        """Until the others name this broker to their clients, or would have found it by themselves. A client that learnt here what is whose, and
        then hears from another that this broker is not there, may think for minutes that its partitions have no leader (librdkafka).
        """
        try:
            async with asyncio.timeout(2 * BEAT_SECONDS):
                await self.peers.known()
        except TimeoutError:
            log.info("event=not_introduced peers=%s", [peer.node_id for peer in self._members.peers])

    async def leave(self) -> None:
        """Tell everybody, give the leases back, wait until clients had time to go. At once where nobody else is.

        No client is sent away before the others know. One that is, asks any broker for Metadata; told once more that its partitions are here, it comes
        back, is refused again, and waits longer from answer to answer: Java's producer up to a second for each of its batches, and for its next Metadata.
        """
        me = self._members.me
        if not self._members.peers:
            return
        try:
            await self._broker.cluster_store.set_draining(me.node_id, me.incarnation, True)
            self.peers.tell(MEMBERS_CHANGED)
            await self._released()
            me.draining = True
            await self.pulse.beat()
        except StoreError as error:
            log.warning("event=leaves_unannounced error='%s'", error)
            return
        finally:
            me.draining = True
        self._wake.set()
        self._broker.purgatory.wake_all()
        await asyncio.sleep(LEAVE_SECONDS)

    async def _released(self) -> None:
        """Until nobody names this broker any more, or would have found out by itself."""
        try:
            async with asyncio.timeout(2 * BEAT_SECONDS):
                await self.peers.released()
        except TimeoutError:
            log.info("event=not_released peers=%s", [peer.node_id for peer in self._members.peers])

    async def close(self) -> None:
        """Give back what is left, and be registered no more."""
        self._foreseen.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.leases.close()
        try:
            await self._broker.cluster_store.forget_broker(self._members.me.node_id)
        except StoreError as error:
            log.warning("event=not_forgotten error='%s'", error)
        self.peers.tell(MEMBERS_CHANGED | LEASES_FREED)
        await asyncio.sleep(0)
        self.peers.close()

    async def abort(self) -> None:
        """Stop at once; the others find out."""
        self._foreseen.close()
        for task in self._tasks:
            task.cancel()
        self.peers.close()

    async def _told(self, name: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except BrokerFenced:
            pass  # it was told
        except Exception:
            log.exception("event=task_died task=%s", name)
            raise

    # -- what is heard --------------------------------------------------------------------------------------------------

    def _beaten(self) -> None:
        self._broker.catalog.hint(self.pulse.metadata_version)
        self.peers.follow()

    def _received(self, note: Note) -> None:
        for partition_id, end in note.ends.items():
            self._broker.refresher.hint(partition_id, end)
            self._foreseen.expect(partition_id)
        if note.metadata_version:
            self._broker.catalog.hint(note.metadata_version)
        if note.flags & MEMBERS_CHANGED:
            self.pulse.soon()
        if note.flags & LEASES_FREED:
            self._wake.set()

    def _is_leader(self, partition_id: int) -> bool:
        me = self._members.me
        return not me.draining and self._members.partition_leader(partition_id) == me.node_id

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(max(POLL_SECONDS, len(self._broker.views) / _POLLED_VIEWS_A_SECOND))
            try:
                await self._broker.refresher.poll()
            except StoreError as error:
                log.debug("event=poll_failed error='%s'", error)

    # -- leases ---------------------------------------------------------------------------------------------------------

    def _leads(self, key: int) -> bool:
        me = self._members.me
        return not me.draining and self._members.leader_of(key) == me.node_id

    def _wanted(self) -> list[str]:
        names = [lease_of(shard) for shard in range(SHARDS) if self._leads(shard)]
        if self._maintains and self._leads(_MAINTENANCE_KEY):
            names.append(MAINTENANCE)
        return names

    async def _lease(self) -> None:
        while True:
            self._wake.clear()
            before = set(self.leases.held)
            await self.leases.step()
            if before - set(self.leases.held):
                self.peers.tell(LEASES_FREED)
            try:
                async with asyncio.timeout(LEASE_STEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _gained(self, name: str, epoch: int) -> None:
        if name == MAINTENANCE:
            self.maintaining = True
        elif isinstance(self._broker.groups, GroupShards):
            await self._broker.groups.gain(_shard(name), epoch)

    async def _lost(self, name: str) -> None:
        if name == MAINTENANCE:
            self.maintaining = False
        elif isinstance(self._broker.groups, GroupShards):
            await self._broker.groups.lose(_shard(name))


def _shard(name: str) -> int:
    return int(name.rpartition("/")[2])
