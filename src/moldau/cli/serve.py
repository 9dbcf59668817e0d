"""`moldau serve`: run the broker."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from moldau.server.lifecycle import Lifecycle


@click.command()
@click.option(
    "--data", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where the data are kept."
)
@click.option("--ephemeral", is_flag=True, help="Keep data in a temporary directory that goes with the broker.")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A server.properties file.",
)
@click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="A broker setting, as in server.properties; repeatable."
)
def serve(data: Path | None, ephemeral: bool, config: Path | None, sets: tuple[str, ...]) -> None:
    """Run a broker until SIGTERM or Ctrl-C."""
    import logging

    import uvloop

    from moldau.broker.config.acting import options_of
    from moldau.broker.config.errors import ConfigError
    from moldau.broker.config.settings import Settings
    from moldau.metadata.errors import StoreError
    from moldau.server.data_dir import DataDirError
    from moldau.server.lifecycle import Lifecycle
    from moldau.server.logs import start_logs

    try:
        settings = Settings.load(config, sets, flags={"log.dirs": str(data)} if data else None)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    level = getattr(logging, settings.get_str("moldau.log.level").upper())
    start_logs(level, settings.get_str("moldau.log.format"))
    if len(settings.listeners.bound) > 1:
        raise click.ClickException("listeners: this release serves one listener; several came")
    bound = settings.listeners.bound[0]
    told = settings.listeners.advertised.get(bound.name, bound)
    folder = None if ephemeral else settings.data_dir
    advertised = (told.host, told.port) if (told.host, told.port) != (bound.host, bound.port) else None
    lifecycle = Lifecycle(options_of(settings), folder, bound.host, bound.port, advertised)
    if not bound.is_loopback:
        click.echo(f"warning: {bound} is reachable from other machines, and nobody is asked who they are", err=True)
    try:
        uvloop.run(lifecycle.run(banner))
    except (DataDirError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {bound}: {error.strerror or error}."
            " Choose another address with --set listeners=PLAINTEXT://HOST:PORT."
        ) from error


def banner(lifecycle: Lifecycle) -> None:
    """What a person wants to know once the broker serves; also tells systemd."""
    from moldau.version import VERSION

    address = f"{lifecycle.host}:{lifecycle.port}"
    where = str(lifecycle.data.path) + (" (temporary)" if lifecycle.ephemeral else "")
    click.echo(
        f"moldau {VERSION} serves Kafka clients on {address}\n"
        f"  data:     {where}\n"
        "  durable:  acks=all is synced to disk before it is acknowledged; acks=1 survives the broker, not the machine\n"
        f"  try:      echo hello | moldau -b {address} produce greetings\n"
        f"            moldau -b {address} consume greetings --from beginning --exit-at-end"
    )
    sys.stdout.flush()
    notify_systemd("READY=1")


def notify_systemd(state: str) -> None:
    """sd_notify(3): a datagram to $NOTIFY_SOCKET, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        try:
            link.connect("\0" + address[1:] if address.startswith("@") else address)
            link.sendall(state.encode())
        except OSError:
            click.echo(f"cannot tell systemd: {address} does not answer", err=True)
