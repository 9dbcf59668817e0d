"""``moldau config``: the settings of topics, brokers and groups."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_resources
from moldau.cli.errors import EXIT_USAGE, CliError
from moldau.cli.lazy import HelpfulGroup, did_you_mean
from moldau.cli.options import NAME, cluster_options, format_option, key_values

if TYPE_CHECKING:
    from confluent_kafka.admin import ConfigEntry, ConfigResource

    from moldau.cli.client import Cluster

KINDS = ("topic", "broker", "group")
_SOURCES = {
    "DYNAMIC_TOPIC_CONFIG": "topic",
    "DYNAMIC_BROKER_CONFIG": "broker",
    "DYNAMIC_DEFAULT_BROKER_CONFIG": "cluster",
    "STATIC_BROKER_CONFIG": "file",
    "DEFAULT_CONFIG": "default",
    "GROUP_CONFIG": "group",
    "UNKNOWN_CONFIG": "unknown",
}

_kind_argument = click.argument("kind", metavar="topic|broker|group", type=click.Choice(KINDS))
_name_argument = click.argument("name", shell_complete=complete_resources, type=NAME)


@click.group(cls=HelpfulGroup)
def config() -> None:
    """Show and change the settings of topics, brokers and groups.

    A broker is named by its id ('moldau cluster info' lists them).
    """


@config.command()
@_kind_argument
@_name_argument
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also the settings that have their default value.")
@format_option
@cluster_options
def describe(cluster: "Cluster", kind: str, name: str, keys: tuple[str, ...], everything: bool, output: str) -> None:
    """Show settings: those that were changed, or the KEYs named."""
    from moldau.cli.output import Column, print_rows

    found = describe_resource(cluster, kind, name)
    by_name = {str(each["name"]): each for each in found}
    for key in keys:
        if key not in by_name:
            raise CliError(f"{kind} {name} has no setting {key!r}.{did_you_mean(key, list(by_name))}")
    shown = [by_name[key] for key in keys] or [each for each in found if everything or not each["default"]]
    print_rows(
        shown,
        [
            Column("name", "SETTING"),
            Column("value", text=lambda value: "(hidden)" if value is None else str(value)),
            Column("source"),
            Column("read_only"),
        ],
        output,
        empty=f"All {len(found)} settings of {kind} {name} have their default values; --all shows them.",
    )


@config.command("set")
@_kind_argument
@_name_argument
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option("--validate-only", is_flag=True, help="Let the broker check the change, change nothing.")
@cluster_options
def set_(cluster: "Cluster", kind: str, name: str, settings: tuple[str, ...], validate_only: bool) -> None:
    """Change settings; those not named stay as they are."""
    changes = key_values(settings, "setting")
    alter_resource(cluster, kind, name, changes, (), validate_only=validate_only)
    done = "Valid" if validate_only else "Set"
    for key, value in changes.items():
        click.echo(f"{done}: {key}={value} for {kind} {name}.")


@config.command()
@_kind_argument
@_name_argument
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@cluster_options
def unset(cluster: "Cluster", kind: str, name: str, keys: tuple[str, ...]) -> None:
    """Bring settings back to their defaults."""
    alter_resource(cluster, kind, name, {}, keys)
    for key in keys:
        click.echo(f"Unset {key} for {kind} {name}.")


def describe_resource(cluster: "Cluster", kind: str, name: str) -> list[dict[str, Any]]:
    """The settings of one topic, broker or group, sorted by name, as JSON shows them."""
    resource = _resource(cluster, kind, name)
    futures = cluster.admin.describe_configs([resource], request_timeout=cluster.timeout_s)
    result = cluster.wait_all(futures, "describe the settings")[resource]
    if isinstance(result, Exception):
        raise _failure(cluster, kind, name, result)
    return [_entry(each) for each in sorted(result.values(), key=lambda entry: str(entry.name))]


def _entry(entry: "ConfigEntry") -> dict[str, Any]:
    from confluent_kafka.admin import ConfigSource

    source = ConfigSource(entry.source).name
    return {
        "name": entry.name,
        "value": None if entry.is_sensitive else entry.value,
        "source": _SOURCES.get(source, source.lower()),
        "default": source == "DEFAULT_CONFIG",
        "read_only": entry.is_read_only,
        "sensitive": entry.is_sensitive,
    }


def alter_resource(
    cluster: "Cluster",
    kind: str,
    name: str,
    changes: Mapping[str, str],
    unset_keys: Iterable[str],
    *,
    validate_only: bool = False,
) -> None:
    """Change and unset settings of one topic, broker or group, leaving the others (KIP-339)."""
    resource = _resource(cluster, kind, name)
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    for key, value in changes.items():
        resource.add_incremental_config(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET))
    unset_keys = list(unset_keys)
    # A broker takes it for done where there is no such setting.
    if unset_keys and (misnamed := _misnamed(cluster, kind, name, unset_keys)):
        raise misnamed
    for key in unset_keys:
        resource.add_incremental_config(ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE))
    futures = cluster.admin.incremental_alter_configs(
        [resource], validate_only=validate_only, request_timeout=cluster.timeout_s
    )
    result = cluster.wait_all(futures, "change the settings")[resource]
    if isinstance(result, Exception):
        raise _misnamed(cluster, kind, name, [*changes, *unset_keys]) or _failure(cluster, kind, name, result)


def _resource(cluster: "Cluster", kind: str, name: str) -> "ConfigResource":
    if kind == "broker" and not name.isdigit():
        raise CliError(f"a broker is named by its id, a number, not {name!r}", EXIT_USAGE)
    if not name:
        raise CliError(f"the name of the {kind} is empty", EXIT_USAGE)
    if kind == "broker":
        # The client would wait for a broker that is not there until the time is over.
        ids = sorted(cluster.metadata().brokers)
        if int(name) not in ids:
            raise CliError(f"there is no broker {name}; those there are: {', '.join(map(str, ids))}")
    _ = cluster.admin
    from confluent_kafka.admin import ConfigResource, ResourceType

    return ConfigResource(getattr(ResourceType, kind.upper()), name)


def _misnamed(cluster: "Cluster", kind: str, name: str, keys: list[str]) -> CliError | None:
    """The error for a key that does not exist, with the nearest ones that do."""
    try:
        known = [str(each["name"]) for each in describe_resource(cluster, kind, name)]
    except CliError:
        return None  # it is not the key that is wrong
    for key in keys:
        if key not in known and known:
            hint = did_you_mean(key, known) or f" 'moldau config describe --all {kind} {name}' shows those there are."
            return CliError(f"{kind} {name} has no setting {key!r}.{hint}")
    return None


def _failure(cluster: "Cluster", kind: str, name: str, error: Exception) -> CliError:
    from moldau.cli.client import error_text

    if kind == "topic":
        return cluster.topic_error(name, error)
    return CliError(f"{kind} {name}: {error_text(error)}")
