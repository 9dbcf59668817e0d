"""The check of a whole data directory: opens its stores under the lock, looks at everything, closes them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobError
from moldau.broker.assembly import FORMAT_VERSION
from moldau.broker.recovery import may_be_guessed
from moldau.coordination.config import GroupConfig
from moldau.coordination.groups import Groups
from moldau.log.inspection import Inspection
from moldau.log.replay import Replay
from moldau.metadata.errors import StoreError
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.group_rows import SqlGroupStore
from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
from moldau.metadata.sql.topic_rows import SqlTopicStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.metadata.sqlite.log_store import SqliteLogStore

from .at_rest import check_sum, remove_sum, write_sum
from .data_dir import DataDir, DataDirError


async def inspect_data_dir(data: Path | None, *, deep: bool) -> dict[str, Any]:
    """What was looked at and what is wrong, as plain values. Raises DataDirError, StoreError."""
    if data is None:
        from moldau.broker.config.environment import default_data_dir

        data = Path(default_data_dir(os.environ))
    if not (data / "metadata.sqlite").exists():
        raise DataDirError(f"{data} is no data directory: there is no metadata.sqlite in it. Name one with --data DIR.")
    folder = DataDir(data)
    folder.open()
    try:
        problems: list[str] = []
        try:
            known = check_sum(data)
        except DataDirError as error:
            problems.append(str(error))
            known = False
        if known:
            remove_sum(data)  # the schema may change
        try:
            report = await look_at(data, deep=deep, power_kept=folder.power_kept, was_shared=folder.by_workers)
        except StoreError as error:
            if not problems:
                raise
            report = {"data": str(data), **dict.fromkeys(_COUNTS, 0), "problems": [str(error)], "notes": []}
        if known:
            write_sum(data)
        return {**report, "problems": problems + report["problems"]}
    finally:
        folder.close()


_COUNTS = ("topics", "partitions", "extents", "batches", "bytes", "open_transactions", "aborted_transactions")


async def look_at(data: Path, *, deep: bool, power_kept: bool = False, was_shared: bool = False) -> dict[str, Any]:
    """As `inspect_data_dir`, of a directory that nobody else can open. Raises StoreError where it cannot be opened."""
    loop = asyncio.get_running_loop()
    engine = SqliteEngine(data / "metadata.sqlite", loop, power_kept=power_kept, was_shared=was_shared)
    engine.open()
    blobs = LocalBlobs(data / "blobs")
    counts = dict.fromkeys(_COUNTS, 0)
    problems: list[str] = []
    notes: list[str] = []
    try:
        inspection = Inspection(SqliteLogStore(engine), SqlMaintenanceStore(engine), blobs)
        try:
            inspection.guesses = await may_be_guessed(SqlClusterStore(engine, FORMAT_VERSION))
            problems += [f"metadata: {each}" for each in await engine.damage(deep=deep)]
            for topic in await SqlTopicStore(engine).load_topics():
                counts["topics"] += 1
                for row in topic.partitions:
                    counts["partitions"] += 1
                    name = f"{topic.name}-{row.partition_index}"
                    problems += [f"{name}: {each}" async for each in inspection.partition(row, deep=deep)]
            replay = Replay(SqliteJournalStore(engine), SqlMaintenanceStore(engine), blobs, power_kept=power_kept)
            refused, cut_off = await replay.look()
            problems += refused
            notes += cut_off
            Groups(GroupConfig()).load(await SqlGroupStore(engine).load_groups(), 0)
            async for each in inspection.files():
                (notes if each.endswith("(harmless)") else problems).append(each)
        except (StoreError, BlobError, ValueError, TypeError) as error:  # of rows that say what cannot be
            problems.append(f"metadata: {error}")
    finally:
        await blobs.close()
        await asyncio.get_running_loop().run_in_executor(None, engine.close)
    counts.update(extents=inspection.extents, batches=inspection.batches, bytes=inspection.bytes_read)
    counts.update(open_transactions=inspection.transactions, aborted_transactions=inspection.aborted)
    return {"data": str(data), **counts, "problems": problems, "notes": notes}
