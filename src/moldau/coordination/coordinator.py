"""The coordinator of groups, as the API handlers see it.

A handler turns a request into an event, awaits the reply, and turns that into a response. What depends on a version of
an API and not on the group (nullable fields, one error or many) is the handler's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from moldau.metadata.errors import StoreError
from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import OffsetKey, OffsetRow
from moldau.protocol.error_codes import COORDINATOR_NOT_AVAILABLE, GROUP_ID_NOT_FOUND, NONE

from .cleanup import OffsetCleanup
from .commit_form import CommitForm
from .config import GroupConfig
from .events import DeleteGroup, Event, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, OffsetDelete, SyncGroup
from .groups import Groups
from .listing import DescribedGroup, ListedGroup
from .replies import JoinReply, LeaveReply, OffsetDeleteReply, SyncReply
from .runtime import GroupRuntime

if TYPE_CHECKING:
    from .ports import GroupStore
    from .surroundings import Surroundings


class GroupCoordinator:
    """All groups of this broker.

    `now` is a clock in ms since the epoch that never goes back (the wall clock at the start plus what the monotonic
    clock has gone on since): sessions are counted by it. `topic_name` gives the name of a topic id, None for an unknown
    one. Methods may be called between `start` and `close`; before and after, groups are COORDINATOR_NOT_AVAILABLE.
    """

    def __init__(
        self,
        store: GroupStore,
        config: GroupConfig,
        now: Callable[[], int],
        topic_name: Callable[[bytes], str | None],
        guard: Guard | None = None,
        around: Surroundings | None = None,
    ) -> None:
        """`guard` is the lease that these groups are coordinated under, None where nobody else can have it. Without surroundings there are
        classic groups only.
        """
        self.config = config
        self._guard = guard
        self._groups = Groups(config, around)
        self._store = store
        self._runtime = GroupRuntime(self._groups, store, now)
        self._cleanup = OffsetCleanup(self._groups, store, self._runtime, topic_name, now)

    async def start(self) -> None:
        """Load all groups, and begin to serve.

        Raises StoreError, or RecordFormatError for what is damaged or was written by a newer release.
        """
        await self._runtime.start()
        self._runtime.every(lambda: self.config.offsets_retention_check_interval_ms, self._cleanup.run)

    def stop(self) -> None:
        """From now on groups are COORDINATOR_NOT_AVAILABLE; `close` is to follow."""
        self._runtime.stop()

    async def close(self) -> None:
        """Parked members are told to look for the coordinator again; writes under way end."""
        await self._runtime.close()

    # -- members

    def ask(self, event: Event) -> asyncio.Future[Any]:
        """Hand in any event. The future is its reply, and done already when nothing had to be written or waited for, so that a heartbeat
        that changes nothing makes no task. Cancelling it forgoes the reply only.
        """
        return self._runtime.ask(event)

    async def join(self, event: JoinGroup) -> JoinReply:
        """May be parked for as long as the longest rebalance timeout of the group."""
        reply: JoinReply = await self._runtime.ask(event)
        return reply

    async def sync(self, event: SyncGroup) -> SyncReply:
        """May be parked for as long as the longest rebalance timeout of the group."""
        reply: SyncReply = await self._runtime.ask(event)
        return reply

    def heartbeat_now(self, event: Heartbeat, now: int) -> int | None:
        """The answer at once, without a task; None when the group is busy: then `await heartbeat(event)`."""
        return self._runtime.heartbeat_now(event, now)

    async def heartbeat(self, event: Heartbeat) -> int:
        reply: int = await self._runtime.ask(event)
        return reply

    async def leave(self, event: LeaveGroup) -> LeaveReply:
        reply: LeaveReply = await self._runtime.ask(event)
        return reply

    # -- offsets

    async def commit_offsets(self, event: OffsetCommit) -> list[int]:
        """One error code for each of `event.offsets`, in their order. One write of the store."""
        return await self._runtime.commit(event)

    def commit_offsets_now(self, event: OffsetCommit, done: Callable[[list[int]], None]) -> bool:
        """As `commit_offsets` without a task, and `done` gets the answer; False, where that cannot be: then ask that way."""
        return self._runtime.commit_now(event, done)

    def commit_again(self, form: CommitForm, offsets: Sequence[int], done: Callable[[int], None]) -> bool:
        """Commit these offsets in that form, now; `done` gets one error code for all of them. False: nothing was done, ask the other way."""
        return self._runtime.commit_again(form, offsets, done)

    async def commit_transactional(
        self, event: OffsetCommit, write: Callable[[list[OffsetRow], Guard | None], Awaitable[None]]
    ) -> list[int]:
        """As `commit_offsets`, but `write` puts the offsets into a transaction, under the lease of the group. What it raises comes out."""
        return await self._runtime.commit_transactional(event, lambda rows: write(rows, self._guard))

    async def fetch_stable(
        self, group_id: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey] | None]:
        """As `fetch_offsets`, and which of them an open transaction may change; None: any. Raises StoreError."""
        if self._runtime.is_committing(group_id):
            return [], None
        return await self._store.fetch_offsets_and_pending(group_id, keys)

    async def fetch_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        """What is committed for `keys`, (topic_id, partition) each, or for everything; others are left out.

        An unknown group has no offsets. Raises StoreError.
        """
        return await self._store.fetch_offsets(group_id, keys)

    def validate_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> int:
        """May who says to be that member (None: nobody) read the group's offsets? An error code."""
        return self._groups.validate_fetch(group_id, member_id, member_epoch)

    async def delete_offsets(self, event: OffsetDelete) -> OffsetDeleteReply:
        reply: OffsetDeleteReply = await self._runtime.ask(event)
        return reply

    async def forget_topics(self, topic_ids: list[bytes]) -> None:
        """Topics were deleted, and so are their offsets. Raises StoreError."""
        await self._cleanup.forget_topics(topic_ids)

    async def expire_offsets(self) -> None:
        """Run the periodic clean-up at once."""
        await self._cleanup.run()

    # -- administration

    def error_of(self, group_id: str) -> int:
        """Why the group is not served here: it is."""
        return NONE

    def list_groups(self, states: Iterable[str] = (), types: Iterable[str] = ()) -> list[ListedGroup]:
        """Groups in one of `states` and of one of `types`, in any case; an empty filter lets all through."""
        return self._groups.list(states, types)

    def describe_groups(self, group_ids: Iterable[str]) -> list[DescribedGroup]:
        """In the order asked. An unknown one is Dead, with GROUP_ID_NOT_FOUND (answered as NONE below version 6)."""
        return [self._groups.describe(group_id) for group_id in group_ids]

    def details(self, type_name: str, group_id: str) -> tuple[int, str | None, Any]:
        """(error code, its message, what the describe API of that type answers with)."""
        why, details = self._groups.details(type_name, group_id)
        return (NONE, None, details) if why is None else (GROUP_ID_NOT_FOUND, why, None)

    async def delete_groups(self, group_ids: Iterable[str]) -> list[tuple[str, int]]:
        """Delete groups without members, and their offsets, also those of open transactions: NONE, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND for each."""
        return [
            (group_id, await self._runtime.alone(group_id, partial(self._delete, group_id))) for group_id in group_ids
        ]

    async def _delete(self, group_id: str) -> int:
        try:
            rows, pending = await self._store.fetch_offsets_and_pending(group_id, None)
        except StoreError:
            return COORDINATOR_NOT_AVAILABLE
        keys = sorted({*pending, *(row.key for row in rows)})
        code = await self._runtime.settle(DeleteGroup(group_id, keys))
        return int(code)


def random_uuid() -> str:
    """A UUID (version 4) that nobody can guess, as text."""
    digits = os.urandom(16).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) % 4]}{digits[17:20]}-{digits[20:]}"
    )


def new_member_id(client_id: str, instance_id: str | None) -> str:
    """An id for a member that has none: instance or client id, and a random UUID."""
    return f"{client_id if instance_id is None else instance_id}-{random_uuid()}"
