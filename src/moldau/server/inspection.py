"""The check of a whole data directory: opens its stores under the lock, looks at everything, closes them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from moldau.blobs.local import LocalBlobs
from moldau.log.inspection import Inspection
from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
from moldau.metadata.sql.topic_rows import SqlTopicStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.log_store import SqliteLogStore

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
        return await look_at(data, deep=deep, power_kept=folder.power_kept)
    finally:
        folder.close()


async def look_at(data: Path, *, deep: bool, power_kept: bool = False) -> dict[str, Any]:
    """As `inspect_data_dir`, of a directory that nobody else can open. Raises StoreError."""
    engine = SqliteEngine(data / "metadata.sqlite", asyncio.get_running_loop(), power_kept=power_kept)
    engine.open()
    blobs = LocalBlobs(data / "blobs")
    problems: list[str] = []
    partitions = 0
    try:
        inspection = Inspection(SqliteLogStore(engine), SqlMaintenanceStore(engine), blobs)
        topics = await SqlTopicStore(engine).load_topics()
        for topic in topics:
            for row in topic.partitions:
                partitions += 1
                name = f"{topic.name}-{row.partition_index}"
                problems += [f"{name}: {each}" async for each in inspection.partition(row, deep=deep)]
        found = [each async for each in inspection.files()]
    finally:
        await blobs.close()
        await asyncio.get_running_loop().run_in_executor(None, engine.close)
    notes = [each for each in found if each.endswith("(harmless)")]
    return {
        "data": str(data),
        "topics": len(topics),
        "partitions": partitions,
        "extents": inspection.extents,
        "batches": inspection.batches,
        "bytes": inspection.bytes_read,
        "problems": problems + [each for each in found if not each.endswith("(harmless)")],
        "notes": notes,
    }
