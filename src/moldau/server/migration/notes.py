"""What a migration writes down, so that it can be taken up again and nobody takes a half for a whole.

Blob 0 of the cluster's blob store, an id that no broker ever uses: whose blobs these are, while the rows are not committed. Gone at the end.

    {"moldau_migration": 1, "cluster_id": "...", "metadata": "postgresql://..."}

`DIR/migrating.json`, in a directory that is being filled: from where. Gone at the end; with it no broker starts on the directory.

    {"moldau_migration": 1, "cluster_id": "...", "metadata": "...", "blobs": "..."}

`DIR/migrated.json`, in a directory that was migrated away: to where. A broker refuses to serve the directory until somebody deletes it.

    {"moldau_migration": 1, "cluster_id": "...", "metadata": "...", "blobs": "...", "at": "2026-03-01 12:00:00+0000"}
"""

from __future__ import annotations

import json
from pathlib import Path

from moldau import faults
from moldau.blobs.ports import BlobMissing, BlobStore

from ..data_dir import put_whole, sync_folder
from .errors import MigrationError

NOTE_ID = 0
_VERSION = 1
_BYTES_MAX = 10_000

Note = dict[str, str]


def pack(note: Note) -> bytes:
    return (json.dumps({"moldau_migration": _VERSION, **note}, indent=1) + "\n").encode()


def unpack(data: bytes, where: str) -> Note:
    """Raises MigrationError."""
    try:
        note = json.loads(data)
        if note.pop("moldau_migration") != _VERSION:
            raise ValueError("it is of another version")
        return {str(name): str(value) for name, value in note.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MigrationError(
            f"{where} is no note of a migration ({error}). Choose another, empty place; nothing was changed."
        ) from error


async def read_note(blobs: BlobStore, where: str) -> Note | None:
    """That in a blob store. Raises MigrationError, BlobError."""
    try:
        data = await blobs.read_some(NOTE_ID, 0, _BYTES_MAX)
    except BlobMissing:
        return None
    return unpack(bytes(data), f"blob {NOTE_ID:016x} in {where}")


async def put_note(blobs: BlobStore, note: Note) -> None:
    """Raises BlobError."""
    faults.hit("server.migrate.claim")
    await blobs.put(NOTE_ID, [pack(note)])
    faults.hit("server.migrate.claimed")


async def remove_note(blobs: BlobStore) -> None:
    """Raises BlobError."""
    faults.hit("server.migrate.finish")
    await blobs.delete(NOTE_ID)


def read_file(file: Path) -> Note | None:
    """Raises MigrationError, OSError."""
    try:
        return unpack(file.read_bytes(), str(file))
    except FileNotFoundError:
        return None


def put_file(file: Path, note: Note) -> None:
    """Durably. Raises OSError."""
    faults.hit("server.migrate.note")
    put_whole(file, pack(note).decode())
    sync_folder(file.parent)


def remove_file(file: Path) -> None:
    """Durably. Raises OSError."""
    faults.hit("server.migrate.finish")
    file.unlink(missing_ok=True)
    sync_folder(file.parent)
