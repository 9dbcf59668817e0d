"""`moldau dev`: a whole cluster on this machine, and its nodes killed and started one by one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from moldau.cli.errors import CliError, wants_color
from moldau.cli.lazy import HelpfulGroup


@click.group(cls=HelpfulGroup, invoke_without_command=True)
@click.option("--brokers", metavar="N", type=click.IntRange(1, 32), default=3, help="How many.  [default: 3]")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here, and go on with what is there. Without it they are temporary and go with the cluster.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    default=9092,
    help="The first broker's port; the others have those after it.  [default: 9092]",
)
@click.option(
    "--http-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    default=9644,
    help="The first broker's port for metrics; the others have those after it.  [default: 9644]",
)
@click.option("--metadata", metavar="URL", help="A PostgreSQL that is there, in place of one that is started here.")
@click.option("--blobs", metavar="URL", help="A blob store that is there, in place of a folder of the data.")
@click.option("--racks", metavar="A,B,...", help="The zones of the brokers, dealt out in turn.")
@click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting of all brokers, as in server.properties; repeatable.",
)
@click.pass_context
def dev(
    ctx: click.Context,
    brokers: int,
    data: Path | None,
    port: int,
    http_port: int,
    metadata: str | None,
    blobs: str | None,
    racks: str | None,
    sets: tuple[str, ...],
) -> None:
    """Run a cluster on this machine until Ctrl-C.

    PostgreSQL, a folder as blob store, and brokers, all of them child processes, for development and for trying what happens when a broker
    dies: the commands below, in another terminal, end and start its nodes. A node is a broker's number, or `postgres`.
    """
    ctx.obj = {"port": port}
    if ctx.invoked_subcommand is not None:
        return
    import asyncio

    from moldau.broker.config.errors import ConfigError
    from moldau.broker.config.settings import Settings
    from moldau.dev.errors import DevError
    from moldau.dev.plan import Plan
    from moldau.dev.screen import Screen
    from moldau.dev.supervisor import Supervisor

    zones = tuple(each.strip() for each in racks.split(",")) if racks else ()
    plan = Plan(brokers, port, http_port, data, metadata, blobs, zones, sets)
    try:
        plan.check()
        Settings.load(None, plan.command(1)[5::2], flags=_stores(metadata, blobs))

        async def run() -> None:
            await Supervisor(plan, Screen(sys.stdout, color=wants_color(sys.stdout))).run()

        asyncio.run(run())
    except (ConfigError, DevError) as error:
        raise CliError(str(error)) from error


def _stores(metadata: str | None, blobs: str | None) -> dict[str, str]:
    """As the brokers will have them, to be checked."""
    return {"moldau.metadata.url": metadata or "postgresql://", "moldau.blobs.url": blobs or "file:///"}


def _ask(ctx: click.Context, verb: str, node: str = "") -> None:
    from moldau.dev.control import ask
    from moldau.dev.errors import DevError

    try:
        click.echo(ask(ctx.obj["port"], verb, node))
    except DevError as error:
        raise CliError(str(error)) from error


@dev.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show the nodes of the cluster that runs."""
    _ask(ctx, "status")


@dev.command()
@click.argument("node")
@click.pass_context
def kill(ctx: click.Context, node: str) -> None:
    """Kill a node at once (kill -9)."""
    _ask(ctx, "kill", node)


@dev.command()
@click.argument("node")
@click.pass_context
def start(ctx: click.Context, node: str) -> None:
    """Start a node that was stopped or died."""
    _ask(ctx, "start", node)


@dev.command()
@click.argument("node", required=False, default="")
@click.pass_context
def stop(ctx: click.Context, node: str) -> None:
    """Stop a node in order; without NODE the whole cluster."""
    _ask(ctx, "stop", node)
