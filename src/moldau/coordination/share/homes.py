"""The share-partitions whose home is this broker: their states in memory, their rows in the store, and time.

A state is claimed when a member first fetches here: the row's owner epoch rises, and whoever had it can write no more. From then on
memory is ahead of the store by what is being written. Everybody who changes something while a write is under way shares the next
one, whatever their groups: one durable commit for many acknowledgements, each of which is answered when that commit is.

A write that fails, or that is refused because another broker has taken the share-partition over, ends the state here: what was in hand
is forgotten, and the next fetch claims and reads the row again. So what members are told is never more than what is stored.

    claim: died before -> nothing; after, or the reply is lost -> the next claim raises the epoch again
    write: died before -> delivered again; after, or the reply is lost -> stored, and the member finds its record in another state
    dead letter: given up is stored first, then the letter is written, then that it was; died between -> who claims it next writes it again
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice

from moldau import faults
from moldau.coordination.decision import NEVER
from moldau.metadata.errors import StoreError
from moldau.metadata.rows_share import ShareKey, ShareRow
from moldau.protocol.error_codes import (
    FENCED_STATE_EPOCH,
    GROUP_ID_NOT_FOUND,
    KAFKA_STORAGE_ERROR,
    NONE,
    NOT_LEADER_OR_FOLLOWER,
)

from .packed import pack, unpack
from .partition import Acknowledgement, Acquired, Letter, Limits, SharePartition
from .ports import ShareStore

log = logging.getLogger(__name__)

Woken = Callable[[], None]
Undertaker = Callable[["Home", list[Letter]], None]
"""Told of records that were given up, once that is durable; calls `ShareHomes.buried` for each when it is done with it."""
_ROWS_MOST = 500
"""In one write."""
_WRITABLE = (NONE, NOT_LEADER_OR_FOLLOWER)
"""Why a home is served here no more (or that it is) where the row may still be ours."""
_HOMES_MOST = 20_000
_LOOK_AT = 100


class Home:
    """One share-partition served here. `waiters` are called (once each) when there may be more to deliver."""

    __slots__ = ("code", "fetching", "key", "partition", "partition_id", "row", "waiters")

    def __init__(self, key: ShareKey, partition_id: int, row: ShareRow, partition: SharePartition) -> None:
        self.key = key
        self.partition_id = partition_id
        self.row = row
        self.partition = partition
        self.waiters: set[Woken] = set()
        self.fetching = False
        """Somebody waits for bytes of it."""
        self.code = NONE
        """Why it is served here no more."""

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, set()
        for woken in waiters:
            woken()


class ShareHomes:
    """See the module's text. `now` never goes back, in ms; `limits` are what a group's configs say at the moment.

    `kind` is that of the record that every share group has.
    """

    def __init__(self, store: ShareStore, kind: int, now: Callable[[], int], limits: Callable[[str], Limits]) -> None:
        self._store = store
        self._kind = kind
        self._now = now
        self.limits = limits
        self.undertaker: Undertaker | None = None
        self._homes: dict[ShareKey, Home] = {}
        self._claiming: dict[ShareKey, asyncio.Task[Home | int]] = {}
        self._changed: dict[Home, None] = {}
        self._round: asyncio.Future[dict[Home, int]] | None = None
        """Done with those that could not be written, and why."""
        self._writer: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER
        self.writes = 0
        """Commits so far."""

    def __len__(self) -> int:
        return len(self._homes)

    def __iter__(self) -> Iterator[Home]:
        """In the order in which they were claimed; to be used up before anything is waited for."""
        return iter(self._homes.values())

    def get(self, key: ShareKey) -> Home | None:
        """None: to be claimed."""
        return self._homes.get(key)

    # -- come and go --------------------------------------------------------------------------------------------------

    async def claim(
        self, key: ShareKey, partition_id: int, leader_epoch: int, start: Callable[[], Awaitable[int]]
    ) -> Home | int:
        """Have the share-partition here; `start` says where a new one begins. An error code when it cannot be had.

        Raises what `start` raises, and StoreError.
        """
        home = self._homes.get(key)
        if home is not None:
            return home
        task = self._claiming.get(key)
        if task is None:
            work = self._claim(key, partition_id, leader_epoch, start)
            task = self._claiming[key] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(lambda _: self._claiming.pop(key, None))
        return await asyncio.shield(task)

    async def _claim(
        self, key: ShareKey, partition_id: int, leader_epoch: int, start: Callable[[], Awaitable[int]]
    ) -> Home | int:
        known = await self._store.load([key])
        begin = known[0].start_offset if known else await start()
        row = await self._store.claim(key, self._kind, begin, leader_epoch, pack(SharePartition(begin)))
        faults.hit("share.claimed")
        if row is None:
            return GROUP_ID_NOT_FOUND
        home = Home(key, partition_id, row, unpack(row.start_offset, row.state))
        self._make_room()
        self._homes[key] = home
        log.debug("event=share_claimed group=%s partition_id=%d epoch=%d", key.group, partition_id, row.owner_epoch)
        self._hand_over(home, home.partition.unburied(self.limits(key.group).max_deliveries))
        return home

    def _make_room(self) -> None:
        """Few are kept beyond `_HOMES_MOST`: of the oldest ones, those that nobody has anything of are claimed again when they are wanted."""
        if len(self._homes) >= _HOMES_MOST:
            for home in list(islice(self._homes.values(), _LOOK_AT)):
                if home not in self._changed and not home.waiters and home.partition.deadline == NEVER:
                    self.drop(home, NOT_LEADER_OR_FOLLOWER)

    def drop(self, home: Home, code: int) -> None:
        """It is served here no more, because of `code`. Who waits is woken, and claims it anew or is sent away."""
        if self._homes.get(home.key) is home:
            del self._homes[home.key]
            home.code = code
            home.wake()

    def drop_if(self, unwanted: Callable[[Home], bool], code: int) -> None:
        """Drop all that are `unwanted`."""
        for home in list(self._homes.values()):
            if unwanted(home):
                self.drop(home, code)

    async def verify(self, keys: Sequence[ShareKey]) -> None:
        """Drop those that another broker or an administrator has taken over meanwhile. Raises StoreError."""
        homes = [home for home in map(self._homes.get, keys) if home is not None]
        if homes:
            stored = {row.key: row.owner_epoch for row in await self._store.load([home.key for home in homes])}
            for home in homes:
                if stored.get(home.key) != home.row.owner_epoch:
                    self.drop(home, FENCED_STATE_EPOCH)

    async def close(self) -> None:
        """Write what is to be written, and end."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._writer is not None:
            await asyncio.wait([self._writer])
        for home in list(self._homes.values()):
            self.drop(home, NOT_LEADER_OR_FOLLOWER)

    # -- what members do ----------------------------------------------------------------------------------------------

    def acquire(
        self,
        home: Home,
        member: str,
        read_from: int,
        batches: Sequence[tuple[int, int]],
        max_records: int,
        batch_size: int,
        strict: bool,
    ) -> list[Acquired]:
        """See `SharePartition.acquire`."""
        limits = self.limits(home.key.group)
        given = home.partition.acquire(member, read_from, batches, max_records, batch_size, strict, self._now(), limits)
        self._watch(home)
        return given

    def pass_over(self, home: Home, ranges: Sequence[tuple[int, int]]) -> None:
        """See `SharePartition.pass_over`. It is stored at once where no acknowledgement will bring it along, so that the lag is true."""
        partition = home.partition
        before = partition.start
        for first, last in ranges:
            partition.pass_over(first, last)
        if partition.start > before and partition.start == partition.end:
            self._change(home)

    async def acknowledge(self, home: Home, member: str, acknowledgements: Sequence[Acknowledgement]) -> int:
        """The error code, NONE once it is durable. See `SharePartition.acknowledge`."""
        if home.code:
            return _told(home.code)
        limits = self.limits(home.key.group)
        code, changed = home.partition.acknowledge(member, acknowledgements, self._now(), limits)
        if code or not changed:
            return code
        return await self._store_soon(home)

    async def release(self, home: Home, member: str) -> int:
        """The member gives back what it has. See `SharePartition.release`."""
        if home.code or not home.partition.release(member, self.limits(home.key.group)):
            return NONE
        return await self._store_soon(home)

    def release_soon(self, homes: Sequence[Home], member: str) -> None:
        """The same where nobody waits for an answer."""
        for home in homes:
            if not home.code and home.partition.release(member, self.limits(home.key.group)):
                self._change(home)

    def raise_log_start(self, home: Home, log_start_offset: int) -> None:
        """The log begins later now: stored with the next change."""
        if home.partition.raise_log_start(log_start_offset):
            home.wake()

    # -- dead letters -------------------------------------------------------------------------------------------------

    def buried(self, home: Home, letter: Letter) -> None:
        """The records are in the dead-letter topic, or will never be."""
        if not home.code and home.partition.bury(letter.first, letter.last):
            self._change(home)

    def _hand_over(self, home: Home, letters: list[Letter]) -> None:
        if letters and self.undertaker is not None and not home.code:
            self.undertaker(home, letters)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def _store_soon(self, home: Home) -> int:
        failed = await asyncio.shield(self._change(home))
        return _told(failed.get(home, NONE))

    def _change(self, home: Home) -> asyncio.Future[dict[Home, int]]:
        """The state changed; done when that is durable or cannot be. One that is another broker's from now on is still written: until that
        one claims it nobody else does.
        """
        home.wake()
        loop = asyncio.get_running_loop()
        if self._round is None:
            self._round = loop.create_future()
        self._changed[home] = None
        if self._writer is None:
            self._writer = loop.create_task(self._write(), name="moldau-shares")
        return self._round

    async def _write(self) -> None:
        try:
            while self._changed:
                # those who are answered by one write come back together: what they say next shares a write, too
                await asyncio.sleep(0)
                homes = list(self._changed)
                told, self._changed, self._round = self._round, {}, None
                failed: dict[Home, int] = {}
                for start in range(0, len(homes), _ROWS_MOST):
                    failed |= await self._write_rows(homes[start : start + _ROWS_MOST])
                assert told is not None
                told.set_result(failed)
        finally:
            self._writer = None

    async def _write_rows(self, homes: list[Home]) -> dict[Home, int]:
        """Those that were not written, and why."""
        failed = {home: home.code for home in homes if home.code not in _WRITABLE}
        homes = [home for home in homes if home not in failed]
        rows = [
            home.row._replace(
                start_offset=home.partition.start, final_count=home.partition.final_count, state=pack(home.partition)
            )
            for home in homes
        ]
        letters = [home.partition.take_letters() for home in homes]
        if not rows:
            return failed
        try:
            faults.hit("share.write")
            written = await self._store.write(rows)
            faults.hit("share.written")
            self.writes += 1
        except Exception as error:
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            log.log(
                level, "event=shares_not_written count=%d error='%r'", len(rows), error, exc_info=level == logging.ERROR
            )
            for home in homes:
                failed[home] = KAFKA_STORAGE_ERROR
                self.drop(home, KAFKA_STORAGE_ERROR)
            return failed
        for home, row, given_up, done in zip(homes, rows, letters, written, strict=True):
            if done:
                home.row = row
                self._hand_over(home, given_up)
            else:
                log.info("event=share_taken_over group=%s partition_id=%d", home.key.group, home.partition_id)
                failed[home] = FENCED_STATE_EPOCH
                self.drop(home, FENCED_STATE_EPOCH)
        return failed

    # -- time ---------------------------------------------------------------------------------------------------------

    def _watch(self, home: Home) -> None:
        deadline = home.partition.deadline
        if deadline < self._alarm_at:
            self._set_alarm(deadline)

    def _set_alarm(self, at: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.get_running_loop().call_later(max(at - self._now(), 0) / 1000 + 0.001, self._ring)

    def _ring(self) -> None:
        """Locks are over."""
        self._alarm = None
        self._alarm_at = NEVER
        now = self._now()
        earliest = NEVER
        for home in list(self._homes.values()):
            partition = home.partition
            if partition.deadline <= now and partition.expire(now, self.limits(home.key.group)):
                self._change(home)
            earliest = min(earliest, partition.deadline)
        if earliest != NEVER:
            self._set_alarm(earliest)


def _told(code: int) -> int:
    """What a member is told: a share-partition that was taken over is to be looked for again."""
    return NOT_LEADER_OR_FOLLOWER if code == FENCED_STATE_EPOCH else code
