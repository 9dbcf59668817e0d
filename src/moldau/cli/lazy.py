"""Click groups that stay quick and helpful.

`LazyGroup` knows its commands by name only: a command's module is imported when the command runs (or completes), so
``moldau serve`` never pays for the Kafka client or the table printer. `HelpfulGroup` suggests the nearest command when
a name is mistyped.
"""

from collections.abc import Mapping
from typing import Any

import click

_MAX_SUGGESTIONS = 3


def nearest(name: str, known: list[str]) -> list[str]:
    """Up to three members of `known` that resemble `name`, best first; a common beginning counts as well."""
    import difflib

    by_fold = {candidate.casefold(): candidate for candidate in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), list(by_fold), n=_MAX_SUGGESTIONS, cutoff=0.6)
    for folded in by_fold:
        if len(close) < _MAX_SUGGESTIONS and folded not in close and folded.startswith(name.casefold()):
            close.append(folded)
    return [by_fold[folded] for folded in close]


def did_you_mean(name: str, known: list[str]) -> str:
    """`` Did you mean 'a' or 'b'?`` with its leading space, or an empty string."""
    close = nearest(name, known)
    return f" Did you mean {' or '.join(repr(candidate) for candidate in close)}?" if close else ""


class HelpfulGroup(click.Group):
    """A group whose "no such command" names the nearest ones; its help lists commands as they were declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            raise click.UsageError(f"No such command {name!r}.{did_you_mean(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(HelpfulGroup):
    """Commands by name, kept in the order of `lazy`: name -> ("module:attribute", short help).

    The short help stands here so that ``--help`` lists the commands without importing any; a test keeps it equal to
    what the command says of itself.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        import importlib

        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{module}:{attribute} is not a command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.lazy:
            return name, self.get_command(ctx, name), args[1:]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in self.lazy.items()])
