"""`moldau serve`: run the broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moldau.cli.errors import CliError

if TYPE_CHECKING:
    from moldau.server.lifecycle import Lifecycle

_HELP_FOR_DAMAGE = "look at the directory with 'moldau inspect', or bring it back from a backup."


@click.command()
@click.option(
    "--data", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where the data are kept."
)
@click.option(
    "--ephemeral", is_flag=True, help="Keep data in a temporary directory that goes with the broker; nothing is synced."
)
@click.option(
    "--metadata",
    metavar="URL",
    help="A metadata store that brokers share: postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE.",
)
@click.option(
    "--blobs",
    metavar="URL",
    help="A blob store that brokers share: s3://BUCKET/PREFIX, gs://..., az://..., file:///FOLDER.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A server.properties file.",
)
@click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="A broker setting, as in server.properties; repeatable."
)
def serve(
    data: Path | None,
    ephemeral: bool,
    metadata: str | None,
    blobs: str | None,
    config: Path | None,
    sets: tuple[str, ...],
) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Alone on its data; or, with --metadata and --blobs, as one of many that share their stores.
    """
    import logging

    from moldau.blobs.ports import BlobError
    from moldau.broker.config.acting import options_of
    from moldau.broker.config.errors import ConfigError
    from moldau.broker.config.settings import Settings
    from moldau.metadata.errors import StoreCorrupt, StoreError
    from moldau.server import descriptors
    from moldau.server.data_dir import DataDirError
    from moldau.server.lifecycle import Lifecycle
    from moldau.server.logs import start_logs
    from moldau.server.loops import run
    from moldau.server.server import ListenError

    if data is not None and ephemeral:
        raise click.UsageError("--data keeps data, --ephemeral does not: choose one of them.")
    if (data is not None or ephemeral) and (metadata or blobs):
        raise click.UsageError(
            "--metadata and --blobs are for brokers that share stores; --data and --ephemeral for one alone."
        )
    given = {"log.dirs": data, "moldau.metadata.url": metadata, "moldau.blobs.url": blobs}
    try:
        settings = Settings.load(config, sets, flags={key: str(value) for key, value in given.items() if value})
        options = options_of(settings)
    except ConfigError as error:
        raise CliError(str(error)) from error
    level = getattr(logging, settings.get_str("moldau.log.level").upper())
    start_logs(level, settings.get_str("moldau.log.format"))
    log = logging.getLogger(__name__)
    for listener in settings.listeners.exposed:
        log.warning(
            "event=open_listener listener=%s reason='other machines can reach it, and nobody is asked who they are'",
            listener,
        )
    few = descriptors.warning(descriptors.raise_limit())
    if few:
        log.warning("event=few_descriptors reason='%s'", few)
    folder = None if ephemeral else settings.data_dir
    lifecycle = Lifecycle(options, folder, settings.listeners)
    try:
        run(lifecycle.run(banner))
    except StoreCorrupt as error:
        told = str(error).rstrip(".")
        help_for_damage = "" if "Nothing was changed" in told else f" Nothing was changed; {_HELP_FOR_DAMAGE}"
        raise CliError(f"{told}.{help_for_damage}") from error
    except (DataDirError, StoreError, BlobError, ListenError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"cannot start: {error}") from error
    except Exception as error:  # a bug: what led to it cannot be asked for again, so the log keeps it
        log.critical("event=died error='%s: %s'", type(error).__name__, error, exc_info=True)
        raise CliError(
            "the broker died of a bug; the log has the traceback. What it acknowledged is on disk."
        ) from error


def banner(lifecycle: Lifecycle) -> None:
    """What a person wants to know once the broker serves."""
    from moldau.version import VERSION

    address = str(lifecycle.endpoints[0])
    told = lifecycle.home.told()
    lines = [f"moldau {VERSION} serves Kafka clients on {address}"]
    lines += [f"  listener: {each.listener} clients are told {each}" for each in lifecycle.endpoints[1:]]
    lines += [f"  {name + ':':<9} {what}" for name, what in told.items()]
    if lifecycle.http_address is not None:
        host, port = lifecycle.http_address
        lines.append(f"  metrics:  http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
    lines += [
        f"  try:      echo hello | moldau -b {address} produce greetings",
        f"            moldau -b {address} consume greetings --from beginning --exit-at-end",
    ]
    click.echo("\n".join(lines))
    sys.stdout.flush()
