"""`backup.json`: what a backup holds, so that a restore can tell whether it is all there. Written last: without it there is no backup.

{"backup": 1,                      version of this file
 "format": 1,                      of the data directory that a restore makes
 "release": "0.1.0", "cluster_id": "...", "created_ms": 1767225600000,
 "metadata": [bytes, CRC-32C],     of metadata.sqlite
 "blobs": {"<16 hex digits>": [bytes, CRC-32C], ...},
 "checksum": CRC-32C}              of all of the above as JSON without blanks, keys sorted
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from moldau import faults
from moldau.broker.assembly import FORMAT_VERSION
from moldau.records.crc import crc32c
from moldau.version import VERSION

from .copying import BackupError
from .data_dir import put_whole, sync_folder

NAME = "backup.json"
VERSION_OF_BACKUPS = 1


class Stored(NamedTuple):
    """A file of a backup."""

    size: int
    crc: int


class Manifest(NamedTuple):
    """See the module's text. `blobs` is keyed by the name without its ending."""

    cluster_id: str
    created_ms: int
    metadata: Stored
    blobs: dict[str, Stored]
    format: int = FORMAT_VERSION
    release: str = VERSION

    @property
    def bytes(self) -> int:
        """Of all files but the manifest."""
        return self.metadata.size + sum(blob.size for blob in self.blobs.values())

    def write(self, folder: Path) -> None:
        """Make a backup of what is in the folder, durably. Raises OSError."""
        document = {"backup": VERSION_OF_BACKUPS, **self._asdict()}
        document["checksum"] = _checksum(document)
        faults.hit("server.backup.manifest")
        put_whole(folder / NAME, json.dumps(document, indent=1) + "\n")
        faults.hit("server.backup.named")
        sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Of a backup that this release can restore. Raises BackupError."""
    file = folder / NAME
    if not file.exists():
        told = f"{folder} is no backup: there is no {NAME} in it"
        if (folder / "format").exists():
            told += "; it is a data directory, which a broker can serve as it is"
        elif (folder / "metadata.sqlite").exists():
            told += ", so the backup was interrupted. Make a new one"
        raise BackupError(told + ".")
    try:
        document: dict[str, Any] = json.loads(file.read_bytes())
        version, format_version = int(document["backup"]), int(document["format"])
        if version > VERSION_OF_BACKUPS or format_version > FORMAT_VERSION:
            raise BackupError(
                f"{folder} is a backup of format {version}.{format_version}, made by release {document.get('release')}; this release"
                f" ({VERSION}) knows up to {VERSION_OF_BACKUPS}.{FORMAT_VERSION}. Use the newer release. Nothing was changed."
            )
        if document.pop("checksum") != _checksum(document):
            raise ValueError("its checksum is wrong")
        return Manifest(
            str(document["cluster_id"]),
            int(document["created_ms"]),
            Stored(*document["metadata"]),
            {f"{int(name, 16):016x}": Stored(*stored) for name, stored in document["blobs"].items()},
            format_version,
            str(document["release"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise BackupError(f"{file} is damaged ({error}). Use another backup; nothing was changed.") from error


def _checksum(document: dict[str, Any]) -> int:
    return crc32c(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
