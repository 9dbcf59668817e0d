"""`moldau restore`: a data directory made of a backup, checked byte by byte.

The new directory gets its `format` file last: before that no broker starts on it. It is the same cluster, gone back to the time of the backup:
leader epochs rise, so that clients that had read further find out (KIP-320), and producer ids, blob ids and partition ids that may have
been given out since are not given out again (`moldau.metadata.going_back`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from moldau import faults
from moldau.metadata.sql.recovery_rows import SqlRecoveryStore
from moldau.metadata.sqlite.engine import SqliteEngine

from .at_rest import write_sum
from .backup import Told, refuse_problems, silent
from .checksum import checksum
from .copying import SPARE_BYTES, BackupError, copy_file, filled, refuse_full, sync_file, sync_names
from .data_dir import DataDir
from .manifest import Manifest, Stored, read_manifest


def _files(source: Path, manifest: Manifest) -> list[tuple[Path, Stored]]:
    """Path below the backup and what it should be, of each file."""
    blobs = [(Path("blobs") / f"{name}.blob", stored) for name, stored in manifest.blobs.items()]
    return [(Path("metadata.sqlite"), manifest.metadata), *blobs]


def check_backup(source: Path, told: Told = silent) -> Manifest:
    """Read all of a backup. Raises BackupError when it is not whole, OSError."""
    manifest = read_manifest(source)
    progress = told("checksums", manifest.bytes)
    for name, stored in _files(source, manifest):
        _refuse_missing(source / name, stored)
        _refuse_changed(source / name, checksum(source / name, progress)[1], stored)
    return manifest


def restore(source: Path, data: Path, told: Told = silent) -> dict[str, Any]:
    """Make the data directory `data`, which is empty or not there; what `moldau inspect` says of it.

    Raises BackupError, DataDirError, StoreError, BlobError, OSError; then nothing is left behind.
    """
    manifest = read_manifest(source)
    if source.resolve() in (data.resolve(), *data.resolve().parents):
        raise BackupError(f"{data} is in the backup. Choose another directory with --data DIR.")
    folder = DataDir(data)
    with filled(data, folder):
        refuse_full(data, manifest.bytes + SPARE_BYTES)
        progress = told("copy", manifest.bytes)
        for name, stored in _files(source, manifest):
            _refuse_missing(source / name, stored)
            faults.hit("server.restore.file")
            _refuse_changed(source / name, copy_file(source / name, data / name, stored.size, progress), stored)
        told("check", 0)
        report = asyncio.run(_go_back(data))
        sync_file(data / "metadata.sqlite")
        sync_names(data)
        write_sum(data)
        folder.write_format()
    return {**report, "cluster_id": manifest.cluster_id, "created_ms": manifest.created_ms, "release": manifest.release}


def _refuse_missing(file: Path, stored: Stored) -> None:
    if not file.exists():
        raise BackupError(f"{file} is missing: the backup is damaged. Use another one.")
    size = file.stat().st_size
    if size != stored.size:
        raise BackupError(
            f"{file} has {size} bytes, {stored.size} were expected: the backup is damaged. Use another one."
        )


def _refuse_changed(file: Path, crc: int, stored: Stored) -> None:
    if crc != stored.crc:
        raise BackupError(f"{file} has a wrong checksum: the backup is damaged. Use another one.")


async def _go_back(data: Path) -> dict[str, Any]:
    report = await refuse_problems(data)
    engine = SqliteEngine(data / "metadata.sqlite", asyncio.get_running_loop())
    try:
        engine.open()
        faults.hit("server.restore.forward")
        await SqlRecoveryStore(engine).went_back()
    finally:
        await asyncio.get_running_loop().run_in_executor(None, engine.close)
    return report
