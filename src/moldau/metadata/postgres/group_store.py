"""`GroupStore` on PostgreSQL: one statement for each write (two where offsets are deleted), and while one is under way the next ones gather and share theirs.

Writes take effect in the order of the calls. The rows of those that gather are folded into what they leave, so a statement names no row twice. If
the lease of one of them is lost the statement does nothing; that one is told so, and the others go again. A write says what rows are, not how
they change: after a lost answer the statement is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from moldau import faults

from ..errors import LeaseLost, StoreUnavailable
from ..rows import Guard
from ..rows_groups import GroupRecord, OffsetKey, OffsetRow
from ..sql.group_rows import SqlGroupStore
from ..sql.tx import Tx
from .engine import PostgresEngine
from .errors import InDoubt
from .pool import Session
from .text import unescape

_ROWS_MOST = 5_000
"""Of one statement, but for a single larger write."""
_GROUPS_MOST = 1_000
"""Whose records one statement reads."""
_OFFSET_COLUMNS = (
    "groups",
    "topics",
    "partitions",
    "offsets",
    "epochs",
    "metadata",
    "commit_timestamps",
    "expire_timestamps",
)
"""In the order of `OffsetRow`."""


class _Write:
    __slots__ = ("deleted", "done", "guard", "offsets", "records")

    def __init__(
        self, records: list[GroupRecord], offsets: list[OffsetRow], deleted: list[OffsetKey], guard: Guard | None
    ) -> None:
        self.records = records
        self.offsets = offsets
        self.deleted = deleted
        self.guard = guard
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def rows(self) -> int:
        return len(self.records) + len(self.offsets) + len(self.deleted)


class PostgresGroupStore(SqlGroupStore):
    """See `moldau.coordination.ports.GroupStore`."""

    def __init__(self, engine: PostgresEngine) -> None:
        super().__init__(engine)
        self._postgres = engine
        self._queue: deque[_Write] = deque()
        self._task: asyncio.Task[None] | None = None

    async def _records_of(self, tx: Tx, keys: list[tuple[int, str]]) -> list[tuple[Any, ...]]:
        """One statement for many groups, instead of one for each."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), _GROUPS_MOST):
            kinds, groups = zip(*keys[start : start + _GROUPS_MOST], strict=True)
            found += await tx.run("coordinator_records_of_many", kinds=list(kinds), groups=list(groups))
        return found

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        write = _Write(records, offsets, deleted_offsets, guard)
        self._queue.append(write)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        await asyncio.shield(write.done)

    async def _run(self) -> None:
        try:
            while self._queue:
                writes = [self._queue.popleft()]
                rows = writes[0].rows
                while self._queue and rows + self._queue[0].rows <= _ROWS_MOST:
                    rows += self._queue[0].rows
                    writes.append(self._queue.popleft())
                await self._write(writes)
        finally:
            self._task = None
            for write in self._queue:
                _tell(write, StoreUnavailable("the broker stops"))
            self._queue.clear()

    async def _write(self, writes: list[_Write]) -> None:
        while writes:
            guards = {write.guard for write in writes if write.guard is not None}
            try:
                held = await self._send(_arguments(writes, guards))
            except Exception as error:
                for write in writes:
                    _tell(write, error)
                return
            except BaseException:
                for write in writes:
                    _tell(write, StoreUnavailable("the broker stops"))
                raise
            if guards == held:
                for write in writes:
                    _tell(write, None)
                return
            for write in writes:
                if write.guard is not None and write.guard not in held:
                    _tell(write, LeaseLost(*write.guard))
            writes = [write for write in writes if not write.done.done()]

    async def _send(self, parameters: dict[str, Any]) -> set[Guard]:
        engine = self._postgres
        named = engine.queries["group_write"]
        arguments = named.arguments(parameters)
        deadline = asyncio.get_running_loop().time() + engine.retry_seconds

        async def work(session: Session) -> list[Any]:
            faults.hit("metadata.postgres.group")
            if parameters["free_groups"]:
                return await self._freeing(session, parameters)
            return await engine.committed(session, session.connection.fetch(named.sql, *arguments))

        while True:
            try:
                rows = await engine.attempt(engine.commit_pool, work, "the metadata store refused a commit", deadline)
                return {Guard(unescape(row[0]), row[1]) for row in rows}
            except InDoubt:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                engine.retries += 1

    async def _freeing(self, session: Session, parameters: dict[str, Any]) -> list[Any]:
        """Offsets are deleted: those that are pending too. A transaction of two statements, as transactions are locked before leases."""
        engine = self._postgres
        pending, named = engine.queries["pending_offsets_delete"], engine.queries["group_write"]
        transaction = session.connection.transaction()
        await transaction.start()
        try:
            await session.connection.execute(pending.sql, *pending.arguments(parameters))
            rows: list[Any] = await session.connection.fetch(named.sql, *named.arguments(parameters))
        except BaseException:
            with contextlib.suppress(Exception):  # the server does it when the connection is thrown away
                await asyncio.wait_for(transaction.rollback(), 1)
            raise
        if len(rows) < len(parameters["lease_names"]):  # nothing was written
            await transaction.rollback()
        else:
            await engine.committed(session, transaction.commit())
        return rows

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        if keys is None:
            rows = await self._postgres.query("group_offsets", group_id=group)
        else:
            wanted = sorted(set(keys))
            topics, partitions = [key[0] for key in wanted], [key[1] for key in wanted]
            rows = await self._postgres.query("offsets_get", group_id=group, topic_ids=topics, partitions=partitions)
        return [OffsetRow(*row) for row in rows]

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        if keys is None:
            rows = await self._postgres.query("offsets_and_pending", group_id=group)
        else:
            wanted = sorted(set(keys))
            topics, partitions = [key[0] for key in wanted], [key[1] for key in wanted]
            rows = await self._postgres.query(
                "offsets_and_pending_get", group_id=group, topic_ids=topics, partitions=partitions
            )
        committed = [OffsetRow(group, *row[1:]) for row in rows if not row[0]]
        return committed, [OffsetKey(group, row[1], row[2]) for row in rows if row[0]]

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        return {row[0] for row in await self._postgres.query("groups_having_offsets", group_ids=groups)}

    async def close(self) -> None:
        """Before the engine: wait for what was asked for."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


def _tell(write: _Write, error: Exception | None) -> None:
    if write.done.done():
        return
    if error is None:
        write.done.set_result(None)
    else:
        write.done.set_exception(error)
        write.done.exception()  # the caller may have been cancelled: nobody need look


def _arguments(writes: list[_Write], guards: set[Guard]) -> dict[str, Any]:
    """What all of them leave, as arrays, sorted: the order of locks."""
    records: dict[tuple[int, str, str], bytes | None] = {}
    offsets: dict[OffsetKey, OffsetRow | None] = {}
    for write in writes:
        records.update(((kind, group, key), value) for kind, group, key, value in write.records)
        offsets.update(dict.fromkeys(write.deleted))
        offsets.update((row.key, row) for row in write.offsets)
    put = sorted((key, value) for key, value in records.items() if value is not None)
    gone = sorted(key for key, value in records.items() if value is None)
    free = sorted(key for key, row in offsets.items() if row is None)
    rows = sorted(row for row in offsets.values() if row is not None)
    leases = sorted(guards)
    return {
        "lease_names": [lease.name for lease in leases],
        "lease_epochs": [lease.epoch for lease in leases],
        "put_kinds": [key[0] for key, _ in put],
        "put_groups": [key[1] for key, _ in put],
        "put_keys": [key[2] for key, _ in put],
        "put_values": [value for _, value in put],
        "gone_kinds": [key[0] for key in gone],
        "gone_groups": [key[1] for key in gone],
        "gone_keys": [key[2] for key in gone],
        "free_groups": [key.group for key in free],
        "free_topics": [key.topic_id for key in free],
        "free_partitions": [key.partition for key in free],
        **offset_columns(rows),
    }


def offset_columns(rows: list[OffsetRow]) -> dict[str, list[Any]]:
    """As arrays, by the names that statements have for them."""
    return {name: [row[n] for row in rows] for n, name in enumerate(_OFFSET_COLUMNS)}
