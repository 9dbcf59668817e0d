"""The coordinator of transactions, as the API handlers see it. Any broker may be asked anything: the row's lock is the fence (decision 10).

Each method is one change of the store, or none where what is remembered suffices. Requests for one transactional id go one after the other
through a broker; between brokers the store decides. What a lost reply leaves open is asked again by the client, and the rules know it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from moldau import faults
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.metadata.rows_txn import Changed, TxnChange, TxnDescription, TxnGuard, TxnRow
from moldau.protocol import error_codes

from .config import TransactionConfig
from .end import abort, end_version_1, end_version_2, expire, time_out
from .enlist import enlist, enlist_offsets, verify
from .epochs import is_open
from .init import init_producer
from .known import Known, KnownTransactions
from .refusal import NeedsProducerId, TxnRefused

if TYPE_CHECKING:
    from moldau.metadata.ports_txn import TxnStore
    from moldau.metadata.rows import Guard
    from moldau.metadata.rows_groups import OffsetKey, OffsetRow

log = logging.getLogger(__name__)

_PAGE = 500
"""Rows in one step of a job or a list."""

_Decide = Callable[[TxnRow | None, frozenset[int], int, int | None], TxnChange | None]
"""Row, partitions, now, a spare producer id or None."""

_Change = Callable[[], Awaitable[Changed]]


class TransactionCoordinator:
    """All transactional ids. Methods raise TxnRefused and StoreError.

    `ending` runs a change that may end a transaction (`moldau.log.marker_writer`). `new_id` gives producer ids that nobody else has; `feature` the level of `transaction.version` now; `now` the time that rows idle by.
    `sole`: no other broker has the store. `mine` says whether this one does what one of them does for all: time-outs, expiry.
    """

    def __init__(
        self,
        store: TxnStore,
        ending: Callable[[_Change], Awaitable[Changed]],
        config: TransactionConfig,
        new_id: Callable[[], Awaitable[int]],
        feature: Callable[[], int],
        now: Callable[[], int],
        *,
        sole: bool,
        mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self.config = config
        self._store = store
        self._ending = ending
        self._new_id = new_id
        self._feature = feature
        self._now = now
        self._sole = sole
        self._mine = mine
        self._spares: list[int] = []
        """Producer ids that were taken, and not needed."""
        self.known = KnownTransactions()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with time-outs and expiry."""
        loop = asyncio.get_running_loop()
        for name, interval_ms, job in (
            ("time_outs", self.config.transaction_abort_interval_ms, self.abort_overdue),
            ("expiry", self.config.transaction_remove_interval_ms, self.expire_idle),
        ):
            self._tasks.append(
                loop.create_task(self._every(name, interval_ms, job), name=f"moldau-transactions-{name}")
            )

    async def close(self) -> None:
        """Jobs end; requests under way go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    def is_open(self, guard: TxnGuard) -> bool:
        """For the appender of a broker that is alone with its store: whether a batch may open the transaction in its partition."""
        return self.known.is_open(guard)

    # -- producers ----------------------------------------------------------------------------------------------------

    async def init_producer(
        self, transactional_id: str, timeout_ms: int, expected: tuple[int, int] | None
    ) -> tuple[int, int]:
        """The producer id and epoch to go on with. INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, PRODUCER_FENCED."""
        _named(transactional_id)
        if not 0 < timeout_ms <= self.config.transaction_max_timeout_ms:
            raise TxnRefused(
                error_codes.INVALID_TRANSACTION_TIMEOUT,
                f"a time-out of {timeout_ms} ms came, allowed are 1 to {self.config.transaction_max_timeout_ms}",
            )

        def decide(row: TxnRow | None, _: frozenset[int], now: int, spare: int | None) -> TxnChange | None:
            return init_producer(row, now, transactional_id, timeout_ms, expected, spare)

        spare = self._spares.pop() if self._spares else await self._new_id()
        row = await self._change(transactional_id, decide, ends=expected, spare=spare)
        assert row is not None
        if row.producer_id != spare:
            self._spares.append(spare)
        return row.producer_id, row.epoch

    async def end(
        self, transactional_id: str, producer: tuple[int, int], commit: bool, version: int
    ) -> tuple[int, int]:
        """Commit or abort; the producer id and epoch to go on with."""
        _named(transactional_id)

        def decide(row: TxnRow | None, _: frozenset[int], now: int, spare: int | None) -> TxnChange | None:
            if version >= 2:
                return end_version_2(row, now, producer, commit, spare)
            return end_version_1(row, now, producer, commit)

        row = await self._change(transactional_id, decide, ends=producer)
        assert row is not None
        return row.producer_id, row.epoch

    # -- what takes part ----------------------------------------------------------------------------------------------

    async def join(
        self, transactional_id: str, producer: tuple[int, int], partition_ids: list[int], version: int
    ) -> Known:
        """These take part from now on; the transaction begins if there is none."""
        _named(transactional_id)
        async with self._lock(transactional_id):
            known = self.known.of(transactional_id, *producer) if self._sole else None
            if known is not None and known.guards.keys() >= set(partition_ids):
                return known

            def decide(row: TxnRow | None, partitions: frozenset[int], now: int, _: int | None) -> TxnChange | None:
                return enlist(row, partitions, now, producer, partition_ids, version)

            row = await self._decided(transactional_id, decide)
            known = self.known.learn(transactional_id, row, partition_ids)
            assert known is not None
            return known

    async def verify(
        self, transactional_id: str, producer: tuple[int, int], partition_ids: list[int]
    ) -> tuple[Known | None, dict[int, TxnRefused]]:
        """Which of these do not take part, and why. What does is known afterwards."""
        _named(transactional_id)
        refused: dict[int, TxnRefused] = {}
        async with self._lock(transactional_id):

            def decide(row: TxnRow | None, partitions: frozenset[int], now: int, _: int | None) -> None:
                refused.clear()
                refused.update(verify(row, partitions, producer, partition_ids))

            row = await self._decided(transactional_id, decide)
            taking_part = [partition_id for partition_id in partition_ids if partition_id not in refused]
            return self.known.learn(transactional_id, row, taking_part), refused

    async def add_offsets(self, transactional_id: str, producer: tuple[int, int]) -> None:
        """Offsets of a group will come (AddOffsetsToTxn): the transaction begins if there is none."""
        await self.join(transactional_id, producer, [], 1)

    async def commit_offsets(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        offsets: list[OffsetRow],
        guard: Guard | None,
        version: int,
    ) -> None:
        """Offsets that will be committed with the transaction. LeaseLost, where the group is another broker's by now."""
        _named(transactional_id)

        def decide(row: TxnRow | None, _: frozenset[int], now: int, __: int | None) -> TxnChange:
            return enlist_offsets(row, now, producer, offsets, guard, version)

        async with self._lock(transactional_id):
            row = await self._decided(transactional_id, decide)
            self.known.learn(transactional_id, row, [])

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        """Which offsets of the group have another one in a transaction that has not ended."""
        return await self._store.pending_offsets(group_id, keys)

    def forget(self, transactional_id: str) -> None:
        """The store said something else than what is remembered."""
        self.known.forget(transactional_id)

    # -- administration -----------------------------------------------------------------------------------------------

    async def describe(self, transactional_id: str) -> TxnDescription | None:
        return await self._store.load(transactional_id)

    async def all(self) -> list[TxnRow]:
        """Every transactional id, in their order."""
        rows: list[TxnRow] = []
        while page := await self._store.all(rows[-1].transactional_id if rows else "", _PAGE):
            rows += page
        return rows

    async def abort(self, producer: tuple[int, int]) -> bool:
        """Abort what that producer has open, and fence it; whether there was anything. A look through all transactional ids."""
        for row in await self.all():
            if (row.producer_id, row.epoch) == producer and is_open(row):
                return await self._force(row.transactional_id, partial(_abort, producer, self._feature()))
        return False

    async def abort_overdue(self) -> int:
        """Abort the transactions whose time is over; returns how many."""
        count = 0
        while rows := await self._store.overdue(_PAGE):
            ended = 0
            for row in rows:
                ended += await self._force(row.transactional_id, partial(_time_out, row.seq, self._feature()))
            count += ended
            if not ended or len(rows) < _PAGE:
                break
        return count

    async def expire_idle(self) -> int:
        """Forget transactional ids that nobody has used for long; returns how many."""
        count = 0
        before = self._now() - self.config.transactional_id_expiration_ms
        while rows := await self._store.idle(before, _PAGE):
            for row in rows:
                await self._change(row.transactional_id, lambda row, _, __, ___: expire(row, before), ends=None)
            count += len(rows)
            if len(rows) < _PAGE:
                break
        return count

    async def _force(self, transactional_id: str, decide: _Decide) -> bool:
        done = False

        def noted(row: TxnRow | None, partitions: frozenset[int], now: int, spare: int | None) -> TxnChange | None:
            nonlocal done
            change = decide(row, partitions, now, spare)
            done = change is not None
            return change

        await self._change(transactional_id, noted, ends=None)
        return done

    async def _every(self, name: str, interval_ms: int, job: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(interval_ms / 1000)
            if not self._mine():
                continue
            try:
                count = await job()
            except StoreError as error:
                log.warning("event=transactions_job_failed job=%s error='%s'", name, error)
            except Exception:
                log.exception("event=transactions_job_failed job=%s", name)
            else:
                if count:
                    log.info("event=transactions_%s count=%d", name, count)

    # -- the store ----------------------------------------------------------------------------------------------------

    def _lock(self, transactional_id: str) -> asyncio.Lock:
        lock = self._locks.get(transactional_id)
        if lock is None:
            lock = self._locks[transactional_id] = asyncio.Lock()
        return lock

    async def _change(
        self, transactional_id: str, decide: _Decide, *, ends: tuple[int, int] | None, spare: int | None = None
    ) -> TxnRow | None:
        """A change that may end the transaction of that producer (None: whoever's). Before it begins, what is remembered is forgotten: a
        batch that is decided after the end must not find it.
        """
        async with self._lock(transactional_id):
            if ends is None or self.known.of(transactional_id, *ends) is not None:
                self.known.forget(transactional_id)
            changed = await self._ending(lambda: self._changed(transactional_id, decide, spare))
            self.known.learn(transactional_id, changed.row, [])
            return changed.row

    async def _decided(self, transactional_id: str, decide: _Decide) -> TxnRow | None:
        return (await self._changed(transactional_id, decide, None)).row

    async def _changed(self, transactional_id: str, decide: _Decide, spare: int | None) -> Changed:
        try:
            faults.hit("transactions.change")
            try:
                changed = await self._store.change(transactional_id, partial(_with_spare, decide, spare))
            except NeedsProducerId:
                spare = await self._new_id()
                changed = await self._store.change(transactional_id, partial(_with_spare, decide, spare))
            faults.hit("transactions.changed")
        except OSError as fault:
            raise StoreUnavailable(str(fault)) from fault
        return changed


def _with_spare(
    decide: _Decide, spare: int | None, row: TxnRow | None, partitions: frozenset[int], now: int
) -> TxnChange | None:
    return decide(row, partitions, now, spare)


def _abort(
    producer: tuple[int, int], feature: int, row: TxnRow | None, _: frozenset[int], now: int, spare: int | None
) -> TxnChange | None:
    return abort(row, now, producer, feature, spare)


def _time_out(
    seq: int, feature: int, row: TxnRow | None, _: frozenset[int], now: int, spare: int | None
) -> TxnChange | None:
    return time_out(row, now, seq, feature, spare)


def _named(transactional_id: str) -> None:
    if not transactional_id:
        raise TxnRefused(error_codes.INVALID_REQUEST, "the transactional id is empty")
