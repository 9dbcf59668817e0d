"""Options that many commands share: which cluster, how long to wait, and the form of what is printed."""

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from moldau.cli.errors import CliError

if TYPE_CHECKING:
    from moldau.cli.client import Cluster

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 86_400.0

format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the output.",
)


class _Name(click.types.StringParamType):
    """A name that is not empty: the client library gives up, or aborts the process, over an empty one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty", param, ctx)
        return str(super().convert(value, param, ctx))


NAME = _Name()

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def cluster_options(command: F) -> F:
    """Give a command ``-b --context -X --timeout`` and call it with `cluster`, a `moldau.cli.client.Cluster`.

    The same options before the command (``moldau -b HOST:PORT topic list``) count too; those after it win.
    """

    @functools.wraps(command)
    @click.pass_context
    def run(
        ctx: click.Context,
        /,
        *args: Any,
        bootstrap: str | None,
        context_name: str | None,
        properties: tuple[str, ...],
        timeout: float | None,
        **kwargs: Any,
    ) -> Any:
        cluster = connect(ctx, bootstrap, context_name, properties, timeout)
        return command(*args, cluster=cluster, **kwargs)

    for option in reversed(
        [
            click.option("-b", "--bootstrap", metavar="HOST:PORT", help="Brokers to begin with, separated by commas."),
            click.option(
                "--context",
                "context_name",
                metavar="NAME",
                shell_complete=_complete_contexts,
                help="Use this cluster of 'moldau context list'.",
            ),
            click.option(
                "-X",
                "properties",
                metavar="KEY=VALUE",
                multiple=True,
                help="A librdkafka client property; repeatable.",
            ),
            click.option("--timeout", metavar="SECONDS", type=float, help="Give up after this long.  [default: 10]"),
        ]
    ):
        run = option(run)
    return run  # type: ignore[return-value]


def connect(
    ctx: click.Context,
    bootstrap: str | None = None,
    context_name: str | None = None,
    properties: tuple[str, ...] = (),
    timeout: float | None = None,
) -> "Cluster":
    """The cluster that the options of this command, those of the program, the environment and the contexts name."""
    from moldau.cli.client import Cluster

    outer: dict[str, Any] = ctx.find_root().obj or ctx.find_root().params
    chosen = resolve(
        bootstrap or outer.get("bootstrap"),
        context_name or outer.get("context"),
        (*(outer.get("properties") or ()), *properties),
        os.environ,
    )
    wait_s = next((value for value in (timeout, outer.get("timeout")) if value is not None), DEFAULT_TIMEOUT_S)
    if not 0 < wait_s <= MAX_TIMEOUT_S:
        raise click.UsageError(f"--timeout must be more than 0 and at most {MAX_TIMEOUT_S:.0f} seconds.")
    check_bootstrap(chosen["bootstrap.servers"])
    return Cluster(chosen, wait_s)


def resolve(
    bootstrap: str | None, context_name: str | None, properties: tuple[str, ...], environ: Any
) -> dict[str, str]:
    """Client properties with ``bootstrap.servers``, from flags, environment and contexts.

    An address given outright (flag, then $MOLDAU_BOOTSTRAP) takes nothing from the context in use, so that the
    credentials of one cluster never travel to another; a context named outright lends its properties to it.
    """
    from moldau.cli.context import Contexts

    named = context_name or (environ.get("MOLDAU_CONTEXT") if not bootstrap else None)
    address = bootstrap or (environ.get("MOLDAU_BOOTSTRAP") if not context_name else None)
    result: dict[str, str] = {}
    if named or not address:
        contexts = Contexts.load(environ)
        result.update(contexts.client_properties(named))
    if address:
        result["bootstrap.servers"] = address
    result.update(key_values(properties, "-X"))
    result.setdefault("bootstrap.servers", DEFAULT_BOOTSTRAP)
    return result


def _is_ipv6(text: str) -> bool:
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return False
    return True


def check_bootstrap(servers: str) -> None:
    """UsageError for an address that no broker can have: the client would only try, and find nobody there."""
    for server in servers.split(","):
        address = server.strip().rpartition("://")[2]
        host, colon, port = address.rpartition(":")
        if not colon or _is_ipv6(address.strip("[]")):
            continue  # without a port the client takes 9092
        if not host or (":" in host and host[0] != "[") or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise click.UsageError(
                f"{server.strip()!r} is no address of a broker: give HOST:PORT, with a port from 1 to 65535."
            )


def _complete_contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from moldau.cli.completion import contexts

    return contexts(incomplete)


def key_values(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dict; a UsageError that names `flag` for one that is not of that form."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"{flag} {text!r} is not of the form KEY=VALUE.")
        found[key.strip()] = value
    return found


def confirm(question: str, yes: bool) -> None:
    """Ask before what cannot be undone; a UsageError without a terminal to ask at, unless `yes`."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Confirm with --yes: there is no terminal to ask at.")
    if not click.confirm(question, err=True):
        raise CliError("nothing is changed")
