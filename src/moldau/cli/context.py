"""Contexts: the clusters a person works with, by name, in ``$XDG_CONFIG_HOME/moldau/contexts.toml``.

::

    current = "local"

    [contexts.local]
    "bootstrap.servers" = "127.0.0.1:9092"

    [contexts.production]
    "bootstrap.servers" = "kafka-1:9093,kafka-2:9093"
    "security.protocol" = "SASL_SSL"

Every key of a context is a librdkafka client property. The file may hold passwords, so only its owner may read it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import click

from moldau.cli.errors import EXIT_USAGE, CliError
from moldau.cli.lazy import HelpfulGroup, did_you_mean
from moldau.cli.options import DEFAULT_BOOTSTRAP, format_option, key_values

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SECRET = re.compile(r"password|secret|\.pem$|jaas", re.IGNORECASE)


class Contexts:
    """The contents of the contexts file."""

    __slots__ = ("clusters", "current", "path")

    def __init__(self, path: Path, clusters: dict[str, dict[str, str]], current: str | None) -> None:
        self.path = path
        self.clusters = clusters
        self.current = current

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Contexts":
        """Read the file; no file means no contexts. CliError for one that cannot be read or understood."""
        import tomllib

        path = contexts_path(environ)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(path, {}, None)
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", EXIT_USAGE) from None
        except tomllib.TOMLDecodeError as error:
            raise CliError(f"{path} is not valid TOML: {error}", EXIT_USAGE) from None
        raw_clusters = data.get("contexts", {})
        if not isinstance(raw_clusters, dict) or not all(isinstance(each, dict) for each in raw_clusters.values()):
            raise CliError(f"{path}: 'contexts' must be tables, such as [contexts.local]", EXIT_USAGE)
        clusters = {
            name: {key: _property_text(value) for key, value in properties.items()}
            for name, properties in raw_clusters.items()
        }
        current = data.get("current")
        return cls(path, clusters, current if isinstance(current, str) else None)

    def save(self) -> None:
        """Write the file so that a crash leaves the old or the new one, readable by its owner only."""
        scratch = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.to_toml())
            os.replace(scratch, self.path)
        except OSError as error:
            raise CliError(f"cannot write {self.path}: {error.strerror}") from None

    def to_toml(self) -> str:
        """The file's text."""
        lines = [] if self.current is None else [f"current = {_quoted(self.current)}"]
        for name, properties in self.clusters.items():
            lines += ["", f"[contexts.{_quoted(name)}]"]
            lines += [f"{_quoted(key)} = {_quoted(value)}" for key, value in properties.items()]
        return "\n".join(lines).lstrip("\n") + "\n"

    def client_properties(self, name: str | None) -> dict[str, str]:
        """The client properties of context `name`, or of the one in use; empty where none is in use."""
        chosen = name or self.current
        if chosen is None:
            return {}
        if chosen not in self.clusters:
            if name is None:
                raise CliError(
                    f"the context in use, {chosen!r}, is not in {self.path}: choose one with 'moldau context use'",
                    EXIT_USAGE,
                )
            raise self.unknown(chosen)
        return dict(self.clusters[chosen])

    def unknown(self, name: str) -> CliError:
        """The error for a context that does not exist."""
        hint = did_you_mean(name, list(self.clusters)) or (
            " 'moldau context list' shows those there are."
            if self.clusters
            else f" Add it: moldau context add {name} -b HOST:PORT"
        )
        return CliError(f"there is no context {name!r}.{hint}", EXIT_USAGE)


def contexts_path(environ: Mapping[str, str]) -> Path:
    """Where the contexts are kept: the XDG configuration folder, by default ``~/.config``."""
    base = environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".config"
    return root / "moldau" / "contexts.toml"


def _property_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(text: str) -> str:
    """`text` as a TOML basic string (also valid as a quoted key)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from moldau.cli.completion import contexts

    return contexts(incomplete)


@click.group(cls=HelpfulGroup)
def context() -> None:
    """Keep the addresses of several clusters, and choose one.

    A context is a name for a cluster's address and client properties. The one in use serves every command that is
    not told otherwise by -b, --context, $MOLDAU_BOOTSTRAP or $MOLDAU_CONTEXT.
    """


@context.command("list")
@format_option
def list_(output: str) -> None:
    """List the contexts; a star marks the one in use."""
    from moldau.cli.output import Column, print_rows

    known = Contexts.load(os.environ)
    rows = []
    for name, properties in known.clusters.items():
        others = {
            key: "***" if _SECRET.search(key) else value
            for key, value in properties.items()
            if key != "bootstrap.servers"
        }
        rows.append(
            {
                "current": name == known.current,
                "name": name,
                "bootstrap": properties.get("bootstrap.servers", DEFAULT_BOOTSTRAP),
                "properties": others,
            }
        )
    print_rows(
        rows,
        [
            Column("current", "", text=lambda value: "*" if value else ""),
            Column("name"),
            Column("bootstrap"),
            Column("properties", text=lambda value: " ".join(f"{key}={each}" for key, each in value.items())),
        ],
        output,
        empty="No contexts yet. Add one: moldau context add NAME -b HOST:PORT",
    )


@context.command()
@click.argument("name")
@click.option("-b", "--bootstrap", required=True, metavar="HOST:PORT", help="Brokers to begin with.")
@click.option("-X", "properties", metavar="KEY=VALUE", multiple=True, help="A librdkafka client property; repeatable.")
@click.option("--use", "use_it", is_flag=True, help="Use it from now on.")
@click.option("--replace", is_flag=True, help="Replace a context of this name.")
def add(name: str, bootstrap: str, properties: tuple[str, ...], use_it: bool, replace: bool) -> None:
    """Add a context. The first one is used from now on."""
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is no name for a context: use letters, digits, '-', '_' and '.'.")
    known = Contexts.load(os.environ)
    if name in known.clusters and not replace:
        raise CliError(f"there is a context {name!r} already; --replace replaces it", EXIT_USAGE)
    known.clusters[name] = {"bootstrap.servers": bootstrap, **key_values(properties, "-X")}
    if use_it or len(known.clusters) == 1:
        known.current = name
    known.save()
    click.echo(f"Added context {name} ({bootstrap})" + (", now in use." if known.current == name else "."))


@context.command()
@click.argument("name", shell_complete=_complete)
def use(name: str) -> None:
    """Use a context from now on."""
    known = Contexts.load(os.environ)
    if name not in known.clusters:
        raise known.unknown(name)
    known.current = name
    known.save()
    click.echo(f"Using context {name} ({known.clusters[name].get('bootstrap.servers', DEFAULT_BOOTSTRAP)}).")


@context.command()
@click.argument("name", shell_complete=_complete)
def remove(name: str) -> None:
    """Forget a context."""
    known = Contexts.load(os.environ)
    if name not in known.clusters:
        raise known.unknown(name)
    del known.clusters[name]
    if known.current == name:
        known.current = None
    known.save()
    click.echo(f"Removed context {name}.")
