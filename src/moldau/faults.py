"""Named fault points: where a test may kill the process, fail a call, or slow it.

`hit(name)` stands before and after every write, sync and commit. Outside tests it is one comparison. `MOLDAU_FAULTS`
arms points: `name=kill`, `name=kill:17` (at the 17th pass), `name=fail` (OSError EIO), `name=full` (OSError ENOSPC),
`name=sleep:0.2`, several separated by commas.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

POINTS: dict[str, str] = {
    "blobs.local.create": "before a write-ahead file is created",
    "blobs.local.created": "after the file and its directory entry are durable",
    "blobs.local.write": "before record bytes are written",
    "blobs.local.grow": "before a write-ahead file is grown ahead",
    "blobs.local.zero": "before zeros are written ahead into a write-ahead file",
    "blobs.local.written": "after the write, before the sync",
    "blobs.local.sync": "before a write-ahead file is synced",
    "blobs.local.synced": "after all are synced, before anybody knows",
    "blobs.local.seal": "before a write-ahead file is synced for good",
    "blobs.local.cut": "after it is cut to its end, before that is durable",
    "blobs.local.sync_folder": "before a directory entry is made durable",
    "blobs.local.put": "before an immutable blob is written",
    "blobs.local.put_written": "after it is written and synced, before it gets its final name",
    "blobs.local.put_synced": "after it is durable under its final name",
    "blobs.local.delete": "before a blob is deleted",
    "blobs.local.spare": "before the file of a deleted write-ahead blob becomes a spare",
    "blobs.local.take": "before a spare becomes the file of a write-ahead blob",
    "metadata.sqlite.migrate": "before a step of the schema is taken",
    "metadata.sqlite.prime": "before the WAL is lengthened",
    "metadata.sqlite.begin": "before a write transaction begins",
    "metadata.sqlite.commit": "after its statements, before COMMIT",
    "metadata.sqlite.committed": "after COMMIT, before anybody knows",
    "metadata.sqlite.checkpoint": "before the WAL is synced and copied into the database",
    "metadata.sqlite.checkpointed": "after that",
    "metadata.sqlite.close": "before the last checkpoint of a clean end",
    "metadata.sqlite.copy": "before the rows are copied from beside their broker",
    "metadata.postgres.begin": "before a write transaction begins on PostgreSQL",
    "metadata.postgres.append": "before an append commit is sent to PostgreSQL",
    "metadata.postgres.append_locked": "before a transaction begins that locks partitions and appends to them",
    "metadata.postgres.group": "before the records and offsets of groups are sent to PostgreSQL",
    "metadata.postgres.share": "before how far share groups are is sent to PostgreSQL",
    "metadata.postgres.commit": "after its statements, before COMMIT",
    "metadata.postgres.committed": "after PostgreSQL has committed, before anybody knows",
    "log.upload.put": "before an object with batches of many partitions is put",
    "log.upload.stored": "after it is stored, before any row names it",
    "log.append.commit": "before batches get their offsets in the metadata store",
    "log.append.committed": "after that, before anybody knows",
    "transactions.change": "before the metadata store is asked to change a transaction",
    "transactions.changed": "after it has, before anybody knows",
    "log.snapshot.write": "before a view snapshot is written",
    "log.build.put": "before a segment is put",
    "log.build.stored": "after it is stored, before any row names it",
    "log.build.swapped": "after its row has replaced those of its extents",
    "log.clean.put": "before a compacted segment is put",
    "log.clean.stored": "after it is stored, before any row names it",
    "log.clean.swapped": "after its row has replaced those of its extents",
    "log.clean.done": "after a whole run, before the store knows up to where the partition is cleaned",
    "log.retention.start": "before retention moves a log start",
    "log.retention.delete": "after that, before rows below it are deleted",
    "log.retention.deleted": "after rows below a log start are deleted",
    "log.collect.purge": "before rows of a deleted topic's partition are deleted",
    "log.collect.orphan": "before stored blobs without a row are doomed",
    "log.collect.delete": "before the bytes of a doomed blob are deleted",
    "log.collect.forget": "after that, before their rows are dropped",
    "share.claimed": "after a share-partition was claimed, before it is served",
    "share.write": "before what members acknowledged is stored",
    "share.written": "after that, before they are told",
    "share.letters": "before dead letters are appended, when it is stored that records were given up",
    "share.letters_written": "after that, before it is stored that they are written",
    "server.data_dir.lock": "before the lock says who serves",
    "server.data_dir.format": "before the format file of a new directory is written",
    "server.data_dir.formatted": "after it has its name, before that is durable",
    "server.at_rest.write": "before the checksum of the metadata of a broker that stopped is written",
    "server.at_rest.remove": "before it is removed by a start",
    "server.backup.blob": "before a blob is copied into a backup",
    "server.backup.replay": "before a copy is put in order",
    "server.backup.manifest": "before the manifest that makes it a backup is written",
    "server.backup.named": "after it has its name, before that is durable",
    "server.restore.file": "before a file of a backup is copied into a data directory",
    "server.migrate.replay": "before the journal of a data directory that is migrated becomes rows",
    "server.migrate.claim": "before the blob store is told whose blobs will come there",
    "server.migrate.claimed": "after that",
    "server.migrate.blob": "before a blob is copied from one store to the other",
    "server.migrate.fetch": "before a piece of a blob is written to a file",
    "server.migrate.fetched": "after it was fetched and synced, before it gets its final name",
    "server.migrate.check": "before what was copied is looked at",
    "server.migrate.rows": "before the rows of a table are copied",
    "server.migrate.compare": "after all rows are copied, before they are compared",
    "server.migrate.committed": "after they are committed, before the directory says so",
    "server.migrate.clear": "before what an earlier run left is deleted",
    "server.migrate.offset": "before a true offset takes the place of a guessed one",
    "server.migrate.sync": "before a file in which true offsets were put is synced",
    "server.migrate.mark": "before the metadata store of a cluster is told that the cluster was migrated back",
    "server.migrate.marked": "after that, before the directory may be served",
    "server.migrate.note": "before a data directory is told that it is migrated, or being filled",
    "server.migrate.finish": "before the last trace of a migration under way goes",
    "server.restore.forward": "before numbers are skipped that may have been given out after the backup",
}
"""Every point with what is about to happen or has just happened. A test fails when one is missing here or never passed.
"""

_armed: dict[str, tuple[str, float, list[int]]] = {}
_watcher: Callable[[str], None] | None = None


def arm(spec: str) -> None:
    """Arm points from a specification as in `MOLDAU_FAULTS`; an empty one disarms all."""
    _armed.clear()
    for part in filter(None, spec.split(",")):
        name, _, action = part.partition("=")
        if name not in POINTS:
            raise ValueError(f"no fault point {name!r}; there are {', '.join(sorted(POINTS))}")
        kind, _, argument = action.partition(":")
        if kind not in ("kill", "fail", "full", "sleep"):
            raise ValueError(f"fault action {action!r}: expected kill[:N], fail[:N], full[:N] or sleep:SECONDS")
        _armed[name] = (kind, float(argument or 1), [0])


def record(seen: set[str] | None) -> None:
    """Collect the names of all points that are passed, or stop doing so."""
    watch(None if seen is None else seen.add)


def watch(watcher: Callable[[str], None] | None) -> None:
    """Call `watcher` with the name of each point that is passed, on the thread that passes it; None ends it."""
    global _watcher
    _watcher = watcher


def hit(name: str) -> None:
    """Pass the point. May not return (kill), may raise OSError (fail, full)."""
    if _watcher is not None:
        _watcher(name)
    if _armed and name in _armed:
        _act(*_armed[name])


def _act(kind: str, argument: float, passes: list[int]) -> None:
    passes[0] += 1
    if kind == "sleep":
        time.sleep(argument)
    elif passes[0] < argument:
        return
    elif kind == "kill":
        os.kill(os.getpid(), 9)
    else:
        code = errno.ENOSPC if kind == "full" else errno.EIO
        raise OSError(code, f"{os.strerror(code)} (fault point)")


arm(os.environ.get("MOLDAU_FAULTS", ""))
