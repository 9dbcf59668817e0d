"""`moldau backup` and `moldau restore`: copies of a data directory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .errors import CliError
from .options import format_option
from .output import print_fields, size
from .progress import bars

if TYPE_CHECKING:
    from moldau.server.backup import Told

T = TypeVar("T")

_data = click.option(
    "--data", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="The data directory."
)


@click.command()
@click.argument("dest", metavar="DEST", type=click.Path(path_type=Path))
@_data
@format_option
def backup(dest: Path, data: Path | None, output: str) -> None:
    """Copy a data directory, while a broker serves it or not.

    DEST is an empty directory, or not there yet. The copy holds everything that was acknowledged when the command began; it is
    checked, and synced to disk. Runs on the machine of the broker, as its user.
    """
    from moldau.clock import now_ms
    from moldau.server.backup import take_backup

    manifest = _run(lambda told: take_backup(_directory(data), dest, now_ms(), told))
    _tell(
        {
            "backup": str(dest),
            "cluster_id": manifest.cluster_id,
            "created_ms": manifest.created_ms,
            "files": len(manifest.blobs) + 1,
            "bytes": manifest.bytes,
        },
        output,
    )


@click.command()
@click.argument("src", metavar="[SRC]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@_data
@click.option("--check", is_flag=True, help="Only look whether all of it is there; change nothing.")
@click.option(
    "--metadata", metavar="URL", help="In place of SRC: a PostgreSQL that was brought back to an earlier time."
)
@click.option("--blobs", metavar="URL", help="The blob store that goes with --metadata.")
@format_option
def restore(
    src: Path | None, data: Path | None, check: bool, metadata: str | None, blobs: str | None, output: str
) -> None:
    """Make a data directory of a backup.

    The directory must be empty, or not there yet. Every byte is checked. The cluster keeps its id; leader epochs rise, so that clients which
    had read further than the backup find out.

    With --metadata and --blobs the same for stores that brokers share, once PostgreSQL has been brought back by its own means: all blobs that
    it names must be there, and no broker may run.
    """
    if metadata or blobs:
        if src is not None or data is not None or not (metadata and blobs):
            raise click.UsageError("Shared stores are --metadata URL and --blobs URL, both, without SRC and --data.")
        _bring_back(metadata, blobs, check, output)
        return
    if src is None:
        raise click.UsageError("Say what to restore: SRC, or --metadata URL and --blobs URL.")
    backup_of = src
    from moldau.server.restore import check_backup
    from moldau.server.restore import restore as bring_back

    if check:
        if data is not None:
            raise click.UsageError("--check reads the backup only: leave --data out.")
        manifest = _run(lambda told: check_backup(backup_of, told))
        whole = {"backup": str(src), "files": len(manifest.blobs) + 1, "bytes": manifest.bytes}
        _tell({**whole, **manifest._asdict()}, output)
        return
    target = _directory(data)
    report = _run(lambda told: bring_back(backup_of, target, told))
    _tell({**report, "data": str(target)}, output)


def _bring_back(metadata: str, blobs: str, check: bool, output: str) -> None:
    import asyncio

    from moldau.server.bring_back import bring_back

    try:
        report = _run(lambda told: asyncio.run(bring_back(metadata, blobs, check=check)))
    except ValueError as error:
        raise CliError(str(error)) from error
    print_fields(
        {**report, "bytes": f"{report['bytes']} ({size(report['bytes'])})"} if output == "table" else report, output
    )


_KEYS = (
    "data",
    "backup",
    "cluster_id",
    "created_ms",
    "release",
    "topics",
    "partitions",
    "extents",
    "batches",
    "files",
    "bytes",
)


def _tell(found: dict[str, Any], output: str) -> None:
    fields = {key: found[key] for key in _KEYS if key in found}
    if output == "table":
        from datetime import datetime

        fields["created"] = (
            f"{datetime.fromtimestamp(fields.pop('created_ms') / 1000).astimezone():%Y-%m-%d %H:%M:%S%z}"
        )
        fields["bytes"] = f"{fields['bytes']} ({size(fields['bytes'])})"
    print_fields(fields, output)


def _directory(data: Path | None) -> Path:
    if data is not None:
        return data
    from moldau.broker.config.environment import default_data_dir

    return Path(default_data_dir(os.environ))


def _run(work: Callable[[Told], T]) -> T:
    from moldau.blobs.ports import BlobError
    from moldau.metadata.errors import StoreError
    from moldau.server.copying import BackupError
    from moldau.server.data_dir import DataDirError

    logger = logging.getLogger("moldau")
    level = logger.level
    logger.setLevel(logging.ERROR)  # a section that is being written is nothing to warn of here
    try:
        with bars() as told:
            return work(told)
    except (BackupError, DataDirError, StoreError, BlobError, OSError) as error:
        raise CliError(str(error)) from error
    finally:
        logger.setLevel(level)
