"""`moldau migrate`: from one machine to many, and back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from .errors import CliError
from .options import format_option
from .output import print_fields, size
from .progress import bars


@click.command()
@click.option(
    "--from",
    "source",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The data directory to migrate.",
)
@click.option("--to-metadata", metavar="URL", help="An empty database: postgresql://USER@HOST/DATABASE.")
@click.option("--to-blobs", metavar="URL", help="An empty place: s3://BUCKET/PREFIX, gs://, az:// or file:///DIR.")
@click.option("--from-metadata", metavar="URL", help="The database of a cluster whose brokers are stopped.")
@click.option("--from-blobs", metavar="URL", help="Where its blobs are.")
@click.option(
    "--to",
    "target",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The data directory to make; empty, or not there yet.",
)
@click.option(
    "--verify",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="Compare all rows and the sizes of all blobs; full also reads every batch from where it came to.",
)
@format_option
def migrate(
    source: Path | None,
    to_metadata: str | None,
    to_blobs: str | None,
    from_metadata: str | None,
    from_blobs: str | None,
    target: Path | None,
    verify: str,
    output: str,
) -> None:
    """Move a data directory to a cluster's stores, or back.

    With --from DIR --to-metadata URL --to-blobs URL the directory of one broker becomes PostgreSQL and objects; with --from-metadata
    URL --from-blobs URL --to DIR it goes back. No broker may run meanwhile. Cluster id, topics, records with their offsets, producers, groups
    and settings are the same afterwards. The source is only read, and marked at the end so that nobody serves it by accident; a command that was interrupted goes on where it was when it is run again.
    """
    from moldau.clock import now_ms
    from moldau.server.migration.away import migrate_away
    from moldau.server.migration.back import migrate_back

    away, back = (source, to_metadata, to_blobs), (from_metadata, from_blobs, target)
    full = verify == "full"
    with bars() as told:
        if source and to_metadata and to_blobs and not any(back):
            found = _run(migrate_away(source, to_metadata, to_blobs, now=now_ms(), full=full, told=told))
        elif from_metadata and from_blobs and target and not any(away):
            found = _run(migrate_back(from_metadata, from_blobs, target, now=now_ms(), full=full, told=told))
        else:
            raise click.UsageError(
                "give --from DIR --to-metadata URL --to-blobs URL, or --from-metadata URL --from-blobs URL --to DIR."
            )
    _tell(found, output)


def _tell(found: dict[str, Any], output: str) -> None:
    if output == "table":
        for name in ("bytes", "bytes_copied"):
            found[name] = f"{found[name]} ({size(found[name])})"
    print_fields(found, output)


def _run(work: Any) -> dict[str, Any]:
    from moldau.blobs.ports import BlobError
    from moldau.metadata.errors import StoreError
    from moldau.server.copying import BackupError
    from moldau.server.data_dir import DataDirError
    from moldau.server.migration.errors import MigrationError

    logger = logging.getLogger("moldau")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the error says it all
    try:
        found: dict[str, Any] = asyncio.run(work)
        return found
    except (MigrationError, BackupError, DataDirError, StoreError, BlobError, OSError) as error:
        raise CliError(str(error)) from error
    finally:
        logger.setLevel(level)
