"""`python -m bench.cluster.commits`: the append statement alone, on a PostgreSQL 16 that syncs, with 1, 2, 4 and 8 connections.

Expected (two shared cores, the client on them too): a commit costs PostgreSQL 150 us and 15 us for each row, and its log one fsync that commits which come
together share. So one connection is bound by the fsync, four by the CPU.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg

from bench.cluster.stores import Database
from moldau.metadata.opening import open_stores
from moldau.metadata.postgres import appends
from moldau.metadata.postgres.address import Address

SECONDS = 1.5
CONNECTIONS = (1, 2, 4, 8)
SHAPES = ((1, 200), (12, 200), (12, 0), (200, 0))
"""Partitions in a commit, inline bytes of each; 0: they lie in an object."""
FORMAT_VERSION = 1


class Writer:
    """One connection with partitions of its own, so that nobody waits for another's lock."""

    def __init__(self, connection: Any, partition_ids: list[int], each_bytes: int, first_blob: int) -> None:
        self._connection = connection
        self._ids = partition_ids
        self._each = each_bytes
        self._blob_id = first_blob
        self._statement = appends._statement(guarded=False)
        self.ends = 0
        self.commits = 0

    async def run(self, until: float) -> None:
        """One commit after the other."""
        count, inline = len(self._ids), bytes(self._each * len(self._ids)) if self._each else None
        size = self._each or 80_000
        zeros, lengths = [size * k for k in range(count)], [size] * count
        while time.perf_counter() < until:
            self._blob_id += 1
            found = await self._connection.fetch(
                self._statement,
                self._ids,
                [self.ends] * count,
                [10] * count,
                zeros,
                lengths,
                [1_700_000_000_000] * count,
                [b""] * count,
                self._blob_id,
                1 if inline is not None else 0,
                inline,
                1_700_000_000_000,
                size * count,
            )
            assert all(row[0] == 0 for row in found), found
            self.ends += 10
            self.commits += 1


async def _partitions(url: str, count: int) -> None:
    stores = await open_stores(url, FORMAT_VERSION, 0)
    await stores.close()
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO partition (partition_id, topic_id, partition_index, alive, end_offset, log_start_offset, leader_epoch, max_timestamp, bytes_total)"
        " SELECT n, '\\x00', n, 1, 0, 0, 0, -1, 0 FROM generate_series(1, $1) AS n",
        count,
    )
    await connection.close()


async def _measure(database: Database, connections: int, partitions: int, each_bytes: int) -> None:
    url = database.url(database.fresh())
    await _partitions(url, connections * partitions)
    address = Address(url)
    writers = []
    for nth in range(connections):
        ids = list(range(1 + nth * partitions, 1 + (nth + 1) * partitions))
        writers.append(Writer(await asyncpg.connect(**address.arguments()), ids, each_bytes, nth << 32))
    for writer in writers:
        await writer.run(time.perf_counter() + 0.1)
    before, cpu, own = sum(w.commits for w in writers), database.cpu_seconds(), time.process_time()
    began = time.perf_counter()
    await asyncio.gather(*(writer.run(began + SECONDS) for writer in writers))
    took = time.perf_counter() - began
    commits = sum(w.commits for w in writers) - before
    cpu, own = database.cpu_seconds() - cpu, time.process_time() - own
    where = f"{each_bytes} B inline" if each_bytes else "in an object"
    print(
        f"| {partitions} partitions, {where} | {connections} | {commits / took:,.0f} | {commits * partitions / took:,.0f}"
        f" | {cpu / commits * 1e6:,.0f} | {cpu / took:.2f} | {own / took:.2f} |",
        flush=True,
    )
    for writer in writers:
        await writer._connection.close()


def main() -> None:
    """Print the rows of a table."""
    print("| a commit | connections | commits/s | rows/s | PostgreSQL's CPU us a commit | its cores | the client's |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    with Database() as database:
        for partitions, each_bytes in SHAPES:
            for connections in CONNECTIONS:
                asyncio.run(_measure(database, connections, partitions, each_bytes))


if __name__ == "__main__":
    main()
