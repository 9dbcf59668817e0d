"""`moldau inspect`: check a data directory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from .errors import CliError
from .options import format_option


@click.command()
@click.option(
    "--data", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The data directory."
)
@click.option("--quick", is_flag=True, help="Look at rows and file sizes only, not at every batch.")
@format_option
def inspect(data: Path | None, quick: bool, output: str) -> None:
    """Check the files of a data directory.

    Reads every row and every batch and says what is wrong; nothing that is stored is changed. The broker must be stopped. Exit code
    1 when something is wrong.
    """
    from moldau.metadata.errors import StoreError
    from moldau.server.data_dir import DataDirError
    from moldau.server.inspection import inspect_data_dir

    try:
        report = asyncio.run(inspect_data_dir(data, deep=not quick))
    except (DataDirError, StoreError, OSError) as error:
        raise CliError(str(error)) from error
    if output == "json":
        from .output import print_json

        print_json(report)
    else:
        _tell(report)
    if report["problems"]:
        raise click.exceptions.Exit(1)


def _tell(report: dict[str, Any]) -> None:
    click.echo(
        f"{report['data']}: {report['topics']} topics, {report['partitions']} partitions, {report['extents']} extents,"
        f" {report['batches']} batches, {report['bytes']} bytes checked"
    )
    if report["open_transactions"] or report["aborted_transactions"]:
        click.echo(
            f"transactions in partitions: {report['open_transactions']} open, {report['aborted_transactions']} were aborted"
        )
    for problem in report["problems"]:
        click.echo(click.style("damaged: ", fg="red") + problem)
    for note in report["notes"]:
        click.echo(click.style("note: ", fg="yellow") + note)
    if not report["problems"]:
        click.echo(click.style("whole", fg="green"))
