"""An append under locks on PostgreSQL: one transaction that locks the partitions, reads what others wrote, decides, and appends.

Five round trips (BEGIN, locks, extents, the append statement, COMMIT; one more where a transaction opens), during the last three of which others wait for the partitions. So it is for
those who have lost a race.

A lost reply of COMMIT. The transaction is tried again; once it has the locks, the first try has ended one way or the other. If the extents that
it wrote are there, it was committed, and its results stand.
"""

from __future__ import annotations

import asyncio
import contextlib

from moldau import faults

from ..ports import LOCKED_EXTENTS_MAX, Decide
from ..rows import APPENDED, AppendCommit, AppendResult, Extent, LockedPartition, purged_row
from ..rows_txn import TxnGuard
from ..sql.log_rows import partition_of
from .address import STATEMENT_TIMEOUT_MS
from .appends import Appends
from .engine import PostgresEngine, client_timeout
from .errors import InDoubt
from .pool import Session
from .tx import PostgresTx


class LockedAppend:
    """One call of `AppendStore.append_locked`."""

    def __init__(
        self,
        engine: PostgresEngine,
        appends: Appends,
        known: dict[int, int],
        blob_id: int,
        decide: Decide,
        guards: tuple[TxnGuard, ...],
    ) -> None:
        self._engine = engine
        self._appends = appends
        self._known = known
        self._blob_id = blob_id
        self._decide = decide
        self._transactional_ids = sorted({guard.transactional_id for guard in guards})
        self._doubtful: tuple[AppendCommit, list[AppendResult]] | None = None
        self._found = False

    async def run(self) -> list[AppendResult]:
        """Raises StoreError."""
        engine = self._engine
        deadline = asyncio.get_running_loop().time() + engine.retry_seconds
        while True:
            try:
                results = await engine.attempt(
                    engine.commit_pool, self._try, "the metadata store refused a commit", deadline
                )
                if self._found:
                    await self._appends.barrier(deadline)
                return results
            except InDoubt:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                self._appends.in_doubt += 1
                engine.retries += 1

    async def _try(self, session: Session) -> list[AppendResult]:
        transaction = session.connection.transaction()
        faults.hit("metadata.postgres.append_locked")
        await transaction.start()
        try:
            results = await self._in_transaction(session)
        except BaseException:
            with contextlib.suppress(Exception):  # the server does it when the connection is thrown away
                await asyncio.wait_for(transaction.rollback(), 1)
            raise
        if self._found or not results:
            await transaction.rollback()
            return results
        faults.hit("metadata.postgres.commit")
        await self._engine.committed(session, transaction.commit())
        self._doubtful = None
        return results

    async def _in_transaction(self, session: Session) -> list[AppendResult]:
        tx = PostgresTx(session.connection, self._engine.queries, client_timeout(STATEMENT_TIMEOUT_MS))
        locked = await self._lock(tx)
        if self._doubtful is not None:
            commit, results = self._doubtful
            if await _is_there(tx, commit, results):
                self._found = True
                return results
        commit = self._decide(locked)
        if not commit.entries:
            return []
        results = await self._appends.send(session, commit, commit.entries, commit.inline)
        self._doubtful = commit, results
        return results

    async def _lock(self, tx: PostgresTx) -> list[LockedPartition]:
        known = self._known
        if self._transactional_ids:
            await tx.run("append_lock_txns", transactional_ids=self._transactional_ids, blob_id=self._blob_id)
        rows = {
            row[0]: partition_of(row)
            for row in await tx.run("append_lock", partition_ids=list(known), blob_id=self._blob_id)
        }
        behind = [row.partition_id for row in rows.values() if row.end_offset > known[row.partition_id]]
        extents: dict[int, list[Extent]] = {partition_id: [] for partition_id in known}
        if behind:
            ends = [known[partition_id] for partition_id in behind]
            for values in await tx.run("extents_since", partition_ids=behind, offsets=ends, limit=LOCKED_EXTENTS_MAX):
                extents[values[0]].append(Extent(*values))
        return [
            LockedPartition(rows.get(partition_id) or purged_row(partition_id), extents[partition_id])
            for partition_id in sorted(known)
        ]


async def _is_there(tx: PostgresTx, commit: AppendCommit, results: list[AppendResult]) -> bool:
    """Whether an earlier try was committed: it was as a whole, so one extent of it tells."""
    written = [entry for entry, result in zip(commit.entries, results, strict=True) if result.status == APPENDED]
    rows = await tx.run(
        "extents_at",
        partition_ids=[entry.partition_id for entry in written],
        last_offsets=[entry.expected_end + entry.records - 1 for entry in written],
    )
    return any(
        (base, blob_id, position) == (entry.expected_end, commit.blob_id, entry.position)
        for nth, base, blob_id, position, _, _ in rows
        for entry in (written[nth - 1],)
    )
