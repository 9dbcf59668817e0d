"""The groups of a cluster's broker: one `GroupCoordinator` for each shard whose lease this broker holds.

A shard comes with its lease (`gain`): its groups are loaded, sessions begin anew, and members go on without a rebalance. It goes
(`lose`) when another broker is to have it, or has it: then parked members are told to look for the coordinator again. A store that
refuses a write because the lease is another's ends the shard here at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from moldau.metadata.errors import LeaseLost
from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import OffsetKey, OffsetRow
from moldau.protocol.error_codes import COORDINATOR_LOAD_IN_PROGRESS, NONE, NOT_COORDINATOR

from .cleanup import CHUNK
from .commit_form import CommitForm
from .config import GroupConfig
from .coordinator import GroupCoordinator
from .events import DeleteGroup, Event, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, OffsetDelete, SyncGroup
from .listing import DEAD, DescribedGroup, ListedGroup
from .packing import RecordFormatError
from .ports import GroupStore
from .replies import JoinReply, LeaveReply, OffsetDeleteReply, SyncReply, refusal
from .shard_store import ShardStore, shard_of

if TYPE_CHECKING:
    from .surroundings import Surroundings

log = logging.getLogger(__name__)


class GroupShards:
    """Answers as a `GroupCoordinator` does; groups of other brokers are NOT_COORDINATOR.

    `expected` says whether a shard is about to come here: then its groups are COORDINATOR_LOAD_IN_PROGRESS. `lost` is told of shards
    whose lease the store gave to another.
    """

    def __init__(
        self,
        store: GroupStore,
        config: GroupConfig,
        now: Callable[[], int],
        topic_name: Callable[[bytes], str | None],
        expected: Callable[[int], bool],
        lost: Callable[[int], None],
        around: Surroundings | None = None,
    ) -> None:
        self.config = config
        self._around = around
        self._store = store
        self._now = now
        self._topic_name = topic_name
        self._expected = expected
        self._told_lost = lost
        self._shards: dict[int, GroupCoordinator] = {}
        self._changing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def held(self) -> list[int]:
        """The shards that are served here."""
        return sorted(self._shards)

    # -- shards come and go -------------------------------------------------------------------------------------------

    async def gain(self, shard: int, epoch: int) -> None:
        """The lease is ours. Raises StoreError; RecordFormatError is logged, and the shard stays closed."""
        async with self._changing:
            await self._close(shard)
            store = ShardStore(self._store, shard, epoch, lambda: self._refused(shard))
            coordinator = GroupCoordinator(store, self.config, self._now, self._topic_name, store.guard, self._around)
            try:
                await coordinator.start()
            except RecordFormatError as error:
                log.error("event=groups_unreadable shard=%d error='%s'", shard, error)
                return
            self._shards[shard] = coordinator

    async def lose(self, shard: int) -> None:
        """Let writes under way end, and serve the shard no more."""
        async with self._changing:
            await self._close(shard)

    def _refused(self, shard: int) -> None:
        coordinator = self._shards.pop(shard, None)
        if coordinator is None:
            return
        coordinator.stop()
        log.warning("event=groups_lost shard=%d why='another broker holds the lease'", shard)
        task = asyncio.get_running_loop().create_task(coordinator.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self._told_lost(shard)

    async def _close(self, shard: int) -> None:
        coordinator = self._shards.pop(shard, None)
        if coordinator is not None:
            await coordinator.close()

    async def close(self) -> None:
        """All of them."""
        for shard in self.held:
            await self.lose(shard)
        while self._closing:
            await asyncio.wait(self._closing)

    # -- as a coordinator ---------------------------------------------------------------------------------------------

    def _of(self, group_id: str) -> GroupCoordinator | None:
        return self._shards.get(shard_of(group_id))

    def error_of(self, group_id: str) -> int:
        """Why the group is not served here; NONE where it is."""
        if shard_of(group_id) in self._shards:
            return NONE
        return COORDINATOR_LOAD_IN_PROGRESS if self._expected(shard_of(group_id)) else NOT_COORDINATOR

    def _refusal(self, event: Event) -> object:
        return refusal(event, self.error_of(event.group_id))

    def ask(self, event: Event) -> asyncio.Future[Any]:
        coordinator = self._of(event.group_id)
        if coordinator is not None:
            return coordinator.ask(event)
        refused = asyncio.get_running_loop().create_future()
        refused.set_result(self._refusal(event))
        return refused

    async def join(self, event: JoinGroup) -> JoinReply:
        coordinator = self._of(event.group_id)
        return await coordinator.join(event) if coordinator else self._refusal(event)  # type: ignore[return-value]

    async def sync(self, event: SyncGroup) -> SyncReply:
        coordinator = self._of(event.group_id)
        return await coordinator.sync(event) if coordinator else self._refusal(event)  # type: ignore[return-value]

    def heartbeat_now(self, event: Heartbeat, now: int) -> int | None:
        coordinator = self._of(event.group_id)
        return coordinator.heartbeat_now(event, now) if coordinator else self.error_of(event.group_id)

    async def heartbeat(self, event: Heartbeat) -> int:
        coordinator = self._of(event.group_id)
        return await coordinator.heartbeat(event) if coordinator else self.error_of(event.group_id)

    async def leave(self, event: LeaveGroup) -> LeaveReply:
        coordinator = self._of(event.group_id)
        return await coordinator.leave(event) if coordinator else self._refusal(event)  # type: ignore[return-value]

    def commit_offsets_now(self, event: OffsetCommit, done: Callable[[list[int]], None]) -> bool:
        """Not where a lease guards what is written."""
        return False

    def commit_again(self, form: CommitForm, offsets: Sequence[int], done: Callable[[int], None]) -> bool:
        """As `commit_offsets_now`."""
        return False

    async def commit_offsets(self, event: OffsetCommit) -> list[int]:
        coordinator = self._of(event.group_id)
        return await coordinator.commit_offsets(event) if coordinator else self._refusal(event)  # type: ignore[return-value]

    async def commit_transactional(
        self, event: OffsetCommit, write: Callable[[list[OffsetRow], Guard | None], Awaitable[None]]
    ) -> list[int]:
        coordinator = self._of(event.group_id)
        if coordinator is None:
            return self._refusal(event)  # type: ignore[return-value]
        try:
            return await coordinator.commit_transactional(event, write)
        except LeaseLost:
            self._refused(shard_of(event.group_id))
            return refusal(event, NOT_COORDINATOR)  # type: ignore[no-any-return]

    async def fetch_stable(
        self, group_id: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey] | None]:
        """Only where the group is coordinated: what is on its way into a transaction is known there."""
        coordinator = self._of(group_id)
        return await coordinator.fetch_stable(group_id, keys) if coordinator else ([], None)

    async def fetch_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        """Committed offsets are rows: every broker can read them."""
        return await self._store.fetch_offsets(group_id, keys)

    def validate_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> int:
        """Where the group is not coordinated nobody's membership can be told, and who says to have one is sent on."""
        coordinator = self._of(group_id)
        if coordinator is not None:
            return coordinator.validate_fetch(group_id, member_id, member_epoch)
        return self.error_of(group_id) if member_id is not None or member_epoch >= 0 else NONE

    async def delete_offsets(self, event: OffsetDelete) -> OffsetDeleteReply:
        coordinator = self._of(event.group_id)
        return await coordinator.delete_offsets(event) if coordinator else self._refusal(event)  # type: ignore[return-value]

    async def forget_topics(self, topic_ids: list[bytes]) -> None:
        """Their ids never come back, so no lease is needed. Raises StoreError."""
        while keys := await self._store.offsets_of_topics(topic_ids, CHUNK):
            await self._store.write([], [], keys)

    async def expire_offsets(self) -> None:
        """Run the periodic clean-up of all shards here at once."""
        for coordinator in list(self._shards.values()):
            await coordinator.expire_offsets()

    def list_groups(self, states: Iterable[str] = (), types: Iterable[str] = ()) -> list[ListedGroup]:
        """Those coordinated here, as in Kafka: clients ask every broker."""
        states, types = list(states), list(types)
        return [group for shard in self.held for group in self._shards[shard].list_groups(states, types)]

    def describe_groups(self, group_ids: Iterable[str]) -> list[DescribedGroup]:
        described = []
        for group_id in group_ids:
            coordinator = self._of(group_id)
            if coordinator is None:
                described.append(DescribedGroup(group_id, self.error_of(group_id), DEAD))
            else:
                described += coordinator.describe_groups([group_id])
        return described

    def details(self, type_name: str, group_id: str) -> tuple[int, str | None, Any]:
        coordinator = self._of(group_id)
        return coordinator.details(type_name, group_id) if coordinator else (self.error_of(group_id), None, None)

    async def delete_groups(self, group_ids: Iterable[str]) -> list[tuple[str, int]]:
        deleted = []
        for group_id in group_ids:
            coordinator = self._of(group_id)
            if coordinator is None:
                deleted.append((group_id, int(refusal(DeleteGroup(group_id, []), self.error_of(group_id)))))
            else:
                deleted += await coordinator.delete_groups([group_id])
        return deleted
