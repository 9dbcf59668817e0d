"""The append commit on PostgreSQL: one statement and one round trip for each flush (`append.sql`).

Commits that share a partition are sent one after the other; others run side by side, `IN_FLIGHT` at most, the rest waits in its order.

A lost reply. The statement may have committed, may still be running, or not have come. It is sent again with the same expected ends, of which at
most one can win: the partition's lock makes the second wait for the first. Where it answers that a partition has moved (or that a transaction is over by
now), the extent at the expected end is
looked up: with our blob id and position it is ours, and the append has succeeded. What may be committed but not replicated is made so by one
more commit (`barrier`) before anybody hears of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moldau import faults

from ..errors import StoreUnavailable
from ..ports import AppendDone
from ..rows import APPENDED, KIND_INLINE, KIND_WAL, MOVED, TXN_OVER, AppendCommit, AppendEntry, AppendResult
from ..rows_txn import TxnGuard
from .address import STATEMENT_TIMEOUT_MS
from .engine import PostgresEngine, client_timeout
from .errors import InDoubt
from .pool import Session
from .text import escape

IN_FLIGHT = 4


class Appends:
    """`submit` on the loop's thread; `done` is called there."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._sql = _statement(guarded=False)
        self._guarded_sql = _statement(guarded=True)
        self._queue: deque[tuple[AppendCommit, set[int], AppendDone]] = deque()
        self._busy: set[int] = set()
        self._running: set[asyncio.Task[None]] = set()
        self.in_doubt = 0
        """Commits whose answer was lost."""

    def submit(self, commit: AppendCommit, done: AppendDone) -> None:
        self._queue.append((commit, {entry.partition_id for entry in commit.entries}, done))
        self._start()

    def _start(self) -> None:
        while self._queue and len(self._running) < IN_FLIGHT and not self._busy & self._queue[0][1]:
            commit, partitions, done = self._queue.popleft()
            self._busy |= partitions
            task = asyncio.get_running_loop().create_task(self._run(commit, partitions, done))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, commit: AppendCommit, partitions: set[int], done: AppendDone) -> None:
        results: list[AppendResult] | None = None
        error: Exception | None = None
        try:
            results = await self._commit(commit, len(partitions) < len(commit.entries))
        except Exception as raised:
            error = raised
        except asyncio.CancelledError:
            error = StoreUnavailable("the broker stops")
        self._busy -= partitions
        task = asyncio.current_task()
        assert task is not None
        self._running.discard(task)
        try:
            done(results, error)
        except Exception as fault:
            # our fault, but those behind it must still be told
            context = {"message": "a callback of the metadata store failed", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)
        self._start()

    async def _commit(self, commit: AppendCommit, twice: bool) -> list[AppendResult]:
        engine = self._engine
        deadline = asyncio.get_running_loop().time() + engine.retry_seconds
        doubted = False

        async def work(session: Session) -> list[AppendResult]:
            if twice:
                return await self._rounds(session, commit)
            faults.hit("metadata.postgres.append")
            return await engine.committed(session, self.send(session, commit, commit.entries, commit.inline))

        while True:
            try:
                results = await engine.attempt(
                    engine.commit_pool, work, "the metadata store refused a commit", deadline
                )
                return await self._settled(commit, results, deadline) if doubted else results
            except InDoubt:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                doubted = True
                self.in_doubt += 1
                engine.retries += 1

    async def send(
        self, session: Session, commit: AppendCommit, entries: list[AppendEntry], inline: bytes | None
    ) -> list[AppendResult]:
        """The statement."""
        kind = KIND_WAL if commit.inline is None else KIND_INLINE
        rows = await session.connection.fetch(
            self._guarded_sql if commit.guards else self._sql,
            [e.partition_id for e in entries],
            [e.expected_end for e in entries],
            [e.records for e in entries],
            [e.position for e in entries],
            [e.length for e in entries],
            [e.max_timestamp for e in entries],
            [e.fold for e in entries],
            commit.blob_id,
            kind,
            inline,
            commit.now,
            commit.new_blob_bytes,
            *_guards(commit.guards),
            timeout=client_timeout(STATEMENT_TIMEOUT_MS),
        )
        return [_RESULTS[row[0]](row) for row in rows]

    async def _rounds(self, session: Session, commit: AppendCommit) -> list[AppendResult]:
        """A commit that names a partition more than once: one statement for the first entry of each, one for the second, and so on."""
        results: dict[int, AppendResult] = {}
        inline = commit.inline
        transaction = session.connection.transaction()
        await transaction.start()
        for nths in _rounds(commit.entries):
            answers = await self.send(session, commit, [commit.entries[nth] for nth in nths], inline)
            results.update(zip(nths, answers, strict=True))
            written = sum(answer.status == APPENDED for answer in answers)
            if written and commit.inline is not None:
                if inline is None:
                    named = self._engine.queries["inline_count"]
                    await session.connection.fetch(
                        named.sql, *named.arguments({"blob_id": commit.blob_id, "extents": written})
                    )
                inline = None  # stored
        await self._engine.committed(session, transaction.commit())
        return [results[nth] for nth in range(len(commit.entries))]

    async def _settled(self, commit: AppendCommit, results: list[AppendResult], deadline: float) -> list[AppendResult]:
        """An earlier try of this commit may have won: where a partition moved, is it we who moved it? Raises StoreUnavailable."""
        moved = [nth for nth, result in enumerate(results) if result.status in (MOVED, TXN_OVER)]
        entries = commit.entries
        rows = await self._engine.query(
            "extents_at",
            partition_ids=[entries[nth].partition_id for nth in moved],
            last_offsets=[entries[nth].expected_end + entries[nth].records - 1 for nth in moved],
        )
        ours = False
        for nth, base, blob_id, position, leader_epoch, running in rows:
            entry = entries[moved[nth - 1]]
            if (base, blob_id, position) == (entry.expected_end, commit.blob_id, entry.position):
                results[moved[nth - 1]] = AppendResult(APPENDED, base, leader_epoch, running)
                ours = True
        if ours:
            await self.barrier(deadline)
        return results

    async def warm(self) -> None:
        """Open as many connections as appends use under load, whose servers then have the statement's plan. Writes nothing. Raises StoreError."""
        nothing = AppendCommit(-1, [], None, False, 0)
        deadline = asyncio.get_running_loop().time() + self._engine.retry_seconds

        async def work(session: Session) -> list[AppendResult]:
            return await self.send(session, nothing, [], None)

        await asyncio.gather(
            *[
                self._engine.attempt(self._engine.commit_pool, work, "the metadata store refused a read", deadline)
                for _ in range(min(IN_FLIGHT, self._engine.commit_pool.size))
            ]
        )

    async def barrier(self, deadline: float) -> None:
        """Whatever is visible now is durable where PostgreSQL was told to keep it. Raises StoreUnavailable."""
        sql = self._engine.queries["barrier"].sql

        async def work(session: Session) -> None:
            await self._engine.committed(session, session.connection.execute(sql))

        await self._engine.attempt(self._engine.commit_pool, work, "the metadata store refused a commit", deadline)

    async def close(self) -> None:
        """Refuse what waits; wait for what runs."""
        while self._queue:
            self._queue.popleft()[2](None, StoreUnavailable("the metadata store is closed"))
        await asyncio.gather(*self._running)


def _statement(*, guarded: bool) -> str:
    lines = (Path(__file__).parent / "append.sql").read_text("utf-8").splitlines()
    kept = [line for line in lines if guarded or not line.endswith("-- guarded")]
    return "\n".join(line.partition("--")[0] for line in kept).strip()


def _guards(guards: tuple[TxnGuard, ...]) -> list[list[Any]]:
    if not guards:
        return []
    return [
        [guard.partition_id for guard in guards],
        [escape(guard.transactional_id) for guard in guards],
        [guard.seq for guard in guards],
    ]


def _rounds(entries: list[AppendEntry]) -> Iterable[list[int]]:
    """Indexes of the entries: each round has a partition once."""
    left = list(range(len(entries)))
    while left:
        seen: dict[int, int] = {}
        for nth in left:
            seen.setdefault(entries[nth].partition_id, nth)
        yield list(seen.values())
        left = [nth for nth in left if nth not in seen.values()]


def _appended(row: Any) -> AppendResult:
    return AppendResult(APPENDED, row[1], row[2], row[3])


def _at(row: Any) -> AppendResult:
    return AppendResult(row[0], row[1])


def _nowhere(row: Any) -> AppendResult:
    return AppendResult(row[0], -1)


_RESULTS = (_appended, _at, _nowhere, _nowhere, _nowhere)
