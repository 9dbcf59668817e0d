"""``moldau topic``: list, create, describe, alter and delete topics."""

from typing import TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_topics
from moldau.cli.errors import EXIT_USAGE, CliError
from moldau.cli.lazy import HelpfulGroup
from moldau.cli.options import NAME, cluster_options, confirm, format_option, key_values, yes_option

if TYPE_CHECKING:
    from moldau.cli.client import Cluster


@click.group(cls=HelpfulGroup)
def topic() -> None:
    """List, create, describe, alter and delete topics."""


@topic.command("list")
@click.option("--internal", is_flag=True, help="Also those that Kafka keeps for itself (__consumer_offsets).")
@format_option
@cluster_options
def list_(cluster: "Cluster", internal: bool, output: str) -> None:
    """List the topics."""
    from moldau.cli.output import Column, print_rows

    rows = [
        {
            "name": name,
            "partitions": len(found.partitions),
            "replication_factor": max((len(each.replicas) for each in found.partitions.values()), default=0),
        }
        for name, found in sorted(cluster.metadata().topics.items())
        if internal or not name.startswith("__")
    ]
    print_rows(
        rows,
        [Column("name"), Column("partitions", right=True), Column("replication_factor", "REPLICAS", right=True)],
        output,
        empty="No topics yet. Create one: moldau topic create NAME",
    )


@topic.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=NAME)
@click.option("-p", "--partitions", type=click.IntRange(1), help="Number of partitions.  [default: the broker's]")
@click.option("-r", "--replication-factor", type=click.IntRange(1), help="Number of replicas.  [default: the broker's]")
@click.option("-c", "--config", "settings", metavar="KEY=VALUE", multiple=True, help="A topic setting; repeatable.")
@click.option("--if-not-exists", is_flag=True, help="Say nothing of a topic that exists.")
@click.option("--validate-only", is_flag=True, help="Let the broker check the request, create nothing.")
@cluster_options
def create(
    cluster: "Cluster",
    names: tuple[str, ...],
    partitions: int | None,
    replication_factor: int | None,
    settings: tuple[str, ...],
    if_not_exists: bool,
    validate_only: bool,
) -> None:
    """Create one or more topics."""
    config = key_values(settings, "-c")
    failures = create_topics(
        cluster,
        list(names),
        partitions=partitions,
        replication_factor=replication_factor,
        config=config,
        validate_only=validate_only,
    )
    from moldau.cli.client import error_name, error_text

    for name in dict.fromkeys(names):
        failure = failures.get(name)
        if failure is None:
            click.echo(f"Topic {name} can be created." if validate_only else f"Created topic {name}.")
        elif if_not_exists and error_name(failure) == "TOPIC_ALREADY_EXISTS":
            click.echo(f"Topic {name} exists.")
    for name, failure in failures.items():
        if error_name(failure) == "TOPIC_ALREADY_EXISTS":
            if not if_not_exists:
                raise CliError(f"topic {name!r} exists already; --if-not-exists accepts that")
        else:
            raise CliError(f"topic {name!r}: {error_text(failure)}")


def create_topics(
    cluster: "Cluster",
    names: list[str],
    *,
    partitions: int | None = None,
    replication_factor: int | None = None,
    config: dict[str, str] | None = None,
    validate_only: bool = False,
) -> dict[str, Exception]:
    """Create topics, with the broker's defaults where nothing is said; the exception of each that failed."""
    admin = cluster.admin
    from confluent_kafka.admin import NewTopic

    try:
        futures = admin.create_topics(
            [
                NewTopic(
                    name,
                    num_partitions=-1 if partitions is None else partitions,
                    replication_factor=-1 if replication_factor is None else replication_factor,
                    config=config or {},
                )
                for name in dict.fromkeys(names)
            ],
            validate_only=validate_only,
            request_timeout=cluster.timeout_s,
            operation_timeout=cluster.timeout_s,
        )
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from None
    results = cluster.wait_all(futures, "create the topic")
    return {name: result for name, result in results.items() if isinstance(result, Exception)}


@topic.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_topics, type=NAME)
@click.option("--all", "all_settings", is_flag=True, help="Also the settings that have their default value.")
@format_option
@cluster_options
def describe(cluster: "Cluster", names: tuple[str, ...], all_settings: bool, output: str) -> None:
    """Show the partitions, offsets and settings of topics."""
    from moldau.cli.output import print_json

    found = [_describe(cluster, name, all_settings) for name in dict.fromkeys(names)]
    if output == "json":
        print_json(found)
        return
    for number, each in enumerate(found):
        if number:
            click.echo()
        _print_description(each)


def _describe(cluster: "Cluster", name: str, all_settings: bool) -> dict[str, Any]:
    """One topic as JSON shows it."""
    admin = cluster.admin
    from confluent_kafka import TopicCollection

    from moldau.cli.config import describe_resource

    futures = admin.describe_topics(TopicCollection([name]), request_timeout=cluster.timeout_s)
    result = cluster.wait_all(futures, "describe the topic")[name]
    if isinstance(result, Exception):
        raise cluster.topic_error(name, result)
    led = [(name, each.id) for each in result.partitions if each.leader is not None]
    beginnings = cluster.beginnings(led)
    ends = cluster.ends(led)
    settings = describe_resource(cluster, "topic", name)
    return {
        "name": name,
        "topic_id": str(result.topic_id),
        "internal": bool(result.is_internal),
        "partitions": [
            {
                "partition": each.id,
                "leader": None if each.leader is None else each.leader.id,
                "replicas": [node.id for node in each.replicas],
                "isr": [node.id for node in each.isr],
                "beginning_offset": beginnings.get((name, each.id)),
                "end_offset": ends.get((name, each.id)),
            }
            for each in sorted(result.partitions, key=lambda partition: int(partition.id))
        ],
        "config": [each for each in settings if all_settings or not each["default"]],
    }


def _print_description(found: dict[str, Any]) -> None:
    from moldau.cli.output import Column, print_fields, print_rows

    partitions = found["partitions"]
    print_fields(
        {
            "name": found["name"],
            "topic id": found["topic_id"],
            "partitions": len(partitions),
            "records": f"{sum((row['end_offset'] or 0) - (row['beginning_offset'] or 0) for row in partitions):,} "
            "offsets between beginning and end",
        },
        "table",
    )
    click.echo()
    print_rows(
        partitions,
        [
            Column("partition", right=True),
            Column("leader", right=True),
            Column("replicas"),
            Column("isr", "ISR"),
            Column("beginning_offset", "BEGINNING", right=True),
            Column("end_offset", "END", right=True),
        ],
        "table",
    )
    if found["config"]:
        click.echo()
        print_rows(found["config"], [Column("name", "SETTING"), Column("value"), Column("source")], "table")


@topic.command()
@click.argument("name", shell_complete=complete_topics, type=NAME)
@click.option("-p", "--partitions", type=click.IntRange(1), help="Grow to this many partitions in all.")
@click.option("-c", "--config", "settings", metavar="KEY=VALUE", multiple=True, help="Change a setting; repeatable.")
@click.option("--unset", metavar="KEY", multiple=True, help="Bring a setting back to its default; repeatable.")
@cluster_options
def alter(
    cluster: "Cluster", name: str, partitions: int | None, settings: tuple[str, ...], unset: tuple[str, ...]
) -> None:
    """Give a topic more partitions, or change its settings."""
    from moldau.cli.config import alter_resource

    config = key_values(settings, "-c")
    if partitions is None and not config and not unset:
        raise click.UsageError("Nothing to alter: give --partitions, -c KEY=VALUE or --unset KEY.")
    existing = len(cluster.partitions([name])[name])
    if partitions is not None:
        _grow(cluster, name, existing, partitions)
    if config or unset:
        alter_resource(cluster, "topic", name, config, unset)
        click.echo(f"Changed {', '.join([*config, *unset])} of topic {name}.")


def _grow(cluster: "Cluster", name: str, existing: int, partitions: int) -> None:
    from confluent_kafka.admin import NewPartitions

    if partitions == existing:
        click.echo(f"Topic {name} has {existing} partitions already.")
        return
    if partitions < existing:
        raise CliError(f"topic {name!r} has {existing} partitions; Kafka cannot take partitions away")
    futures = cluster.admin.create_partitions(
        [NewPartitions(name, partitions)], request_timeout=cluster.timeout_s, operation_timeout=cluster.timeout_s
    )
    result = cluster.wait_all(futures, "add partitions")[name]
    if isinstance(result, Exception):
        raise cluster.topic_error(name, result)
    click.echo(f"Topic {name} has {partitions} partitions now (before: {existing}).")


@topic.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_topics, type=NAME)
@click.option("--if-exists", is_flag=True, help="Say nothing of a topic that does not exist.")
@yes_option
@cluster_options
def delete(cluster: "Cluster", names: tuple[str, ...], if_exists: bool, yes: bool) -> None:
    """Delete topics and all their records."""
    from moldau.cli.client import error_name

    wanted = list(dict.fromkeys(names))
    if if_exists:
        known = cluster.metadata().topics
        wanted = [name for name in wanted if name in known]
        if not wanted:
            click.echo("Nothing to delete.")
            return
    else:
        cluster.partitions(wanted)
    confirm(f"Delete {', '.join(wanted)} with all records?", yes)
    futures = cluster.admin.delete_topics(
        wanted, request_timeout=cluster.timeout_s, operation_timeout=cluster.timeout_s
    )
    results = cluster.wait_all(futures, "delete the topic")
    for name, result in results.items():
        if not isinstance(result, Exception):
            click.echo(f"Deleted topic {name}.")
    for name, result in results.items():
        if isinstance(result, Exception) and not (if_exists and error_name(result) == "UNKNOWN_TOPIC_OR_PART"):
            raise cluster.topic_error(name, result)
