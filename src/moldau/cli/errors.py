"""What a person sees when something goes wrong: one line on stderr and an exit code, never a traceback.

Exit codes: 0 done, 1 the operation failed, 2 the command line was wrong or a package is missing,
130 interrupted (Ctrl-C), 141 the reader of our output went away (as a program ended by SIGPIPE).
"""

import os
import sys
from typing import IO, Any

import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_TERMINATED = 143


class CliError(click.ClickException):
    """A failure told in one line: what happened, and the next step where there is one."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance

    def show(self, file: IO[Any] | None = None) -> None:
        stream = sys.stderr if file is None else file
        prefix = "\x1b[1;31merror:\x1b[0m" if wants_color(stream) else "error:"
        click.echo(f"{prefix} {self.message}", file=stream, color=True)


def usage_error(error: click.UsageError) -> click.ClickException:
    """A wrong command line as one line that names the help; a command group without a command shows its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    text = " ".join(error.format_message().split())
    if not text.endswith((".", "?")):
        text += "."
    if error.ctx is not None:
        text += f" See: {error.ctx.command_path} --help"
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return CliError(text, EXIT_USAGE)


def wants_color(stream: IO[Any]) -> bool:
    """Whether to colour what goes to `stream`: only a terminal, never with NO_COLOR set or a dumb terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def missing_extra() -> CliError:
    """The error for a command that needs the packages of the ``cli`` extra when they are not installed."""
    return CliError("this command needs the Kafka client: pip install 'moldau[cli]'", EXIT_USAGE)


def note(message: str) -> None:
    """A remark for the person at the terminal; stderr, so that piped data stays clean."""
    click.echo(message, err=True)


def silence_stdout() -> None:
    """Point stdout at nothing after a broken pipe, so that the interpreter's last flush does not complain."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
    except (OSError, ValueError):
        pass  # stdout is not a file of ours (closed, or captured by a test): nothing left to protect
