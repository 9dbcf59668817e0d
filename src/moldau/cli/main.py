"""The ``moldau`` program: the table of its commands, and how a run ends.

Importing this module costs click and nothing else; each command lives in a module of its own.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from moldau.cli.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    CliError,
    silence_stdout,
    usage_error,
)
from moldau.cli.lazy import LazyGroup
from moldau.version import VERSION

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("moldau.cli.serve:serve", "Run a broker until SIGTERM or Ctrl-C."),
    "dev": ("moldau.cli.dev:dev", "Run a cluster on this machine until Ctrl-C."),
    "topic": ("moldau.cli.topic:topic", "List, create, describe, alter and delete topics."),
    "produce": ("moldau.cli.produce:produce", "Write records to a topic, from stdin or files."),
    "consume": ("moldau.cli.consume:consume", "Read records of one or more topics."),
    "group": ("moldau.cli.group:group", "List, describe, reset and delete consumer groups."),
    "config": ("moldau.cli.config:config", "Show and change the settings of topics, brokers and groups."),
    "cluster": ("moldau.cli.cluster:cluster", "Show what a cluster consists of, and finish its upgrade."),
    "bench": ("moldau.cli.bench:bench", "Measure how fast a broker takes and gives records."),
    "context": ("moldau.cli.context:context", "Keep the addresses of several clusters, and choose one."),
    "backup": ("moldau.cli.backup:backup", "Copy a data directory, while a broker serves it or not."),
    "restore": ("moldau.cli.backup:restore", "Make a data directory of a backup."),
    "migrate": ("moldau.cli.migrate:migrate", "Move a data directory to a cluster's stores, or back."),
    "inspect": ("moldau.cli.inspect:inspect", "Check the files of a data directory."),
    "completion": ("moldau.cli.completion:completion", "Print the shell's completion script."),
    "version": ("moldau.cli.version:version", "Print the versions of what runs here."),
}


TRACEBACK = "MOLDAU_TRACEBACK"
"""Environment variable; where it is set, an unexpected exception ends the program with its traceback."""


class RootGroup(LazyGroup):
    """Ends every run the same way: 130 on Ctrl-C, silence when the reader of our output is gone."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **kwargs: Any
    ) -> Any:
        kwargs.setdefault("prog_name", "moldau")
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **kwargs)
        try:
            result = self._told(args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            result = EXIT_BROKEN_PIPE
        if result == EXIT_BROKEN_PIPE:
            silence_stdout()
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        # Before click sees them: what it makes of these two differs between its releases.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(EXIT_BROKEN_PIPE) from None
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # leave the line that shows ^C
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None

    def _told(self, args: Sequence[str] | None, **kwargs: Any) -> Any:
        """Run, and tell errors in one line; the exit code."""
        try:
            _check_text(sys.argv[1:] if args is None else args)
            return super().main(args, standalone_mode=False, **kwargs)
        except click.UsageError as error:
            told = usage_error(error)
        except click.ClickException as error:
            told = error
        except click.Abort:
            return EXIT_INTERRUPTED
        except Exception as error:
            client = sys.modules.get("moldau.cli.client")
            known: CliError | None = client.told(error) if client is not None else None
            if known is None and not isinstance(error, BrokenPipeError):
                if os.environ.get(TRACEBACK):
                    raise
                known = _unexpected(error)
            if known is None:
                raise
            told = known
        told.show()
        return told.exit_code


def _check_text(args: Sequence[str]) -> None:
    """UsageError for an argument that is not UTF-8 (the Kafka client crashes over some), unless a file has that name."""
    for arg in args:
        if not arg.isascii() and any("\ud800" <= char <= "\udfff" for char in arg) and not os.path.exists(arg):
            raise click.UsageError(f"the argument {os.fsencode(arg)!r} is not UTF-8")


def _unexpected(error: Exception) -> CliError:
    """What the operating system refused, or a bug of ours; both in one line."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return CliError(f"{where}{(error.strerror or str(error)).lower()}", EXIT_FAILED)
    return CliError(
        f"unexpected {type(error).__name__}: {error}. This is a bug in moldau; {TRACEBACK}=1 shows where it happened",
        EXIT_FAILED,
    )


def _complete_contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from moldau.cli.completion import contexts

    return contexts(incomplete)


@click.group(
    "moldau",
    cls=RootGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("-b", "--bootstrap", metavar="HOST:PORT", help="Brokers to begin with, separated by commas.")
@click.option(
    "--context", metavar="NAME", shell_complete=_complete_contexts, help="Use this cluster of 'moldau context list'."
)
@click.option("-X", "properties", metavar="KEY=VALUE", multiple=True, help="A librdkafka client property; repeatable.")
@click.option("--timeout", metavar="SECONDS", type=float, help="Give up after this long.  [default: 10]")
@click.version_option(VERSION, "--version", message="moldau %(version)s")
@click.pass_context
def root(
    ctx: click.Context, bootstrap: str | None, context: str | None, properties: tuple[str, ...], timeout: float | None
) -> None:
    """Moldau: Apache Kafka as one Python package.

    'moldau serve' runs a broker; the other commands speak the Kafka protocol and work with any Kafka. The options
    below may also stand after the command. Without them the broker is that of $MOLDAU_BOOTSTRAP or $MOLDAU_CONTEXT,
    else of the context in use, else 127.0.0.1:9092.
    """
    ctx.obj = {"bootstrap": bootstrap, "context": context, "properties": properties, "timeout": timeout}


def main() -> NoReturn:
    """Entry point of the ``moldau`` program."""
    root()
    raise AssertionError("the root group always exits")
