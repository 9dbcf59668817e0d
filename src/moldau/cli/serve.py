"""`moldau serve`: run the broker."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moldau.cli.errors import CliError
from moldau.host_port import host_port

if TYPE_CHECKING:
    from moldau.broker.config.settings import Settings
    from moldau.broker.options import Options
    from moldau.server.lifecycle import Lifecycle
    from moldau.server.workers import Workers

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
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Run N brokers as processes of this host, on consecutive ports; they share the data, or the stores.",
)
@click.option("--worker", "part", hidden=True, help="One of several workers: what the parent process tells it.")
def serve(
    data: Path | None,
    ephemeral: bool,
    metadata: str | None,
    blobs: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    workers: int | None,
    part: str | None,
) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Alone on its data; or, with --metadata and --blobs, as one of many that share their stores.
    """
    if data is not None and ephemeral:
        raise click.UsageError("--data keeps data, --ephemeral does not: choose one of them.")
    if (data is not None or ephemeral) and (metadata or blobs):
        raise click.UsageError(
            "--metadata and --blobs are for brokers that share stores; --data and --ephemeral for one alone."
        )
    given = {"log.dirs": data, "moldau.metadata.url": metadata, "moldau.blobs.url": blobs}
    flags = {key: str(value) for key, value in given.items() if value}
    if part is not None:
        _worker(config, sets, flags, json.loads(part))
        return
    settings, options = _settings(config, sets, flags)
    _start_logs(settings, 0)
    _warn(settings)
    if workers is not None:
        _workers(settings, options, workers, ephemeral=ephemeral, command=_command(config, sets, metadata, blobs))
        return
    from moldau.server.lifecycle import Lifecycle
    from moldau.server.loops import run

    lifecycle = Lifecycle(options, None if ephemeral else settings.data_dir, settings.listeners)
    with _told():
        run(lifecycle.run(banner))


def _settings(config: Path | None, sets: Sequence[str], flags: Mapping[str, str]) -> tuple[Settings, Options]:
    from moldau.broker.config.acting import options_of
    from moldau.broker.config.errors import ConfigError
    from moldau.broker.config.settings import Settings

    try:
        settings = Settings.load(config, sets, flags=flags)
        return settings, options_of(settings)
    except ConfigError as error:
        raise CliError(str(error)) from error


def _start_logs(settings: Settings, worker: int) -> None:
    import logging

    from moldau.server.logs import start_logs

    level = getattr(logging, settings.get_str("moldau.log.level").upper())
    start_logs(level, settings.get_str("moldau.log.format"), worker)


def _warn(settings: Settings) -> None:
    import logging

    from moldau.server import descriptors

    log = logging.getLogger(__name__)
    for listener in settings.listeners.exposed:
        log.warning(
            "event=open_listener listener=%s reason='other machines can reach it, and nobody is asked who they are'",
            listener,
        )
    few = descriptors.warning(descriptors.raise_limit())
    if few:
        log.warning("event=few_descriptors reason='%s'", few)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What ends a broker, in one line."""
    import logging

    from moldau.blobs.ports import BlobError
    from moldau.metadata.errors import StoreCorrupt, StoreError
    from moldau.server.data_dir import DataDirError
    from moldau.server.server import ListenError

    try:
        yield
    except CliError:
        raise
    except StoreCorrupt as error:
        told = str(error).rstrip(".")
        help_for_damage = "" if "Nothing was changed" in told else f" Nothing was changed; {_HELP_FOR_DAMAGE}"
        raise CliError(f"{told}.{help_for_damage}") from error
    except (DataDirError, StoreError, BlobError, ListenError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"cannot start: {error}") from error
    except Exception as error:  # a bug: what led to it cannot be asked for again, so the log keeps it
        log = logging.getLogger(__name__)
        log.critical("event=died error='%s: %s'", type(error).__name__, error, exc_info=True)
        raise CliError(
            "the broker died of a bug; the log has the traceback. What it acknowledged is on disk."
        ) from error


# -- workers --------------------------------------------------------------------------------------------------------------


def _command(config: Path | None, sets: Sequence[str], metadata: str | None, blobs: str | None) -> list[str]:
    """Of one worker, without its part."""
    command = [sys.executable, "-m", "moldau", "serve"]
    for flag, value in (("--config", config), ("--metadata", metadata), ("--blobs", blobs)):
        if value:
            command += [flag, str(value)]
    for each in sets:
        command += ["--set", each]
    return command


def _workers(settings: Settings, options: Options, count: int, *, ephemeral: bool, command: list[str]) -> None:
    """The parent."""
    import asyncio

    from moldau.broker.config.errors import ConfigError
    from moldau.broker.options import EMBEDDED
    from moldau.server.premises import Directory, Premises, Temporary
    from moldau.server.worker_plan import WorkerPlan
    from moldau.server.workers import Workers, WorkersFailed

    try:
        plan = WorkerPlan(settings, options, count)
    except ConfigError as error:
        raise CliError(str(error)) from error

    async def main() -> None:
        if options.metadata_url != EMBEDDED:
            premises = Premises()
        else:
            premises = Temporary() if ephemeral else Directory(settings.data_dir)
        await Workers(plan, premises, command).run(banner_of_workers)

    with _told():
        try:
            asyncio.run(main())
        except WorkersFailed as error:
            raise CliError(str(error)) from error


def _worker(config: Path | None, sets: Sequence[str], flags: dict[str, str], part: dict[str, Any]) -> None:
    """One of the workers: what `moldau.server.workers` starts."""
    from moldau.server import descriptors
    from moldau.server.homes import WorkerHome
    from moldau.server.lifecycle import Lifecycle
    from moldau.server.lifeline import Lifeline
    from moldau.server.loops import run

    line = Lifeline(part["link"])
    data = part["data"]

    def ready(lifecycle: Lifecycle) -> None:
        line.ready(
            {
                "listeners": [[each.listener, str(each)] for each in lifecycle.endpoints],
                "metrics": _metrics_url(lifecycle),
                "node_id": lifecycle.node.broker.node_id,
                "told": lifecycle.home.told(),
            }
        )

    try:
        settings, options = _settings(config, sets, {**flags, **({"log.dirs": data} if data else {}), **part["flags"]})
        _start_logs(settings, part["number"])
        descriptors.raise_limit()
        home = WorkerHome(options, Path(data), syncs=part["syncs"]) if data else None
        with _told():
            run(Lifecycle(options, None, settings.listeners, home=home).run(ready))
    except CliError as error:
        line.failed(error.message)
        raise click.exceptions.Exit(error.exit_code) from error


def banner_of_workers(workers: Workers) -> None:
    """As `banner`, of all."""
    from moldau.version import VERSION

    tolds = [worker.told for worker in workers.workers]
    address = tolds[0]["listeners"][0][1]
    ports = [told["listeners"][0][1].rpartition(":")[2] for told in tolds]
    lines = [f"moldau {VERSION} serves Kafka clients on {address}"]
    for at, (name, first) in enumerate(tolds[0]["listeners"][1:], 1):
        lines.append(
            f"  listener: {name} clients are told {', '.join([first, *(t['listeners'][at][1] for t in tolds[1:])])}"
        )
    lines.append(f"  workers:  {len(tolds)}, on the ports {', '.join(ports)}")
    place = workers.premises.told() or {k: v for k, v in tolds[0]["told"].items() if k != "node"}
    lines += [f"  {name + ':':<9} {what}" for name, what in place.items()]
    metrics = [told["metrics"] for told in tolds if told["metrics"]]
    if metrics:
        lines.append(f"  metrics:  {' '.join(metrics)}")
    _show(lines, address)


def banner(lifecycle: Lifecycle) -> None:
    """What a person wants to know once the broker serves."""
    from moldau.version import VERSION

    address = str(lifecycle.endpoints[0])
    told = lifecycle.home.told()
    lines = [f"moldau {VERSION} serves Kafka clients on {address}"]
    lines += [f"  listener: {each.listener} clients are told {each}" for each in lifecycle.endpoints[1:]]
    lines += [f"  {name + ':':<9} {what}" for name, what in told.items()]
    metrics = _metrics_url(lifecycle)
    if metrics:
        lines.append(f"  metrics:  {metrics}")
    _show(lines, address)


def _metrics_url(lifecycle: Lifecycle) -> str:
    """Empty for none."""
    if lifecycle.http_address is None:
        return ""
    return f"http://{host_port(*lifecycle.http_address)}/metrics"


def _show(lines: list[str], address: str) -> None:
    lines += [
        f"  try:      echo hello | moldau -b {address} produce greetings",
        f"            moldau -b {address} consume greetings --from beginning --exit-at-end",
    ]
    click.echo("\n".join(lines))
    sys.stdout.flush()
