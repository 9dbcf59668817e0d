"""``moldau group``: consumer groups, their members, lag and offsets."""

import time
from typing import TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_groups
from moldau.cli.errors import EXIT_USAGE, CliError, note
from moldau.cli.lazy import HelpfulGroup, did_you_mean
from moldau.cli.options import NAME, cluster_options, confirm, format_option, yes_option
from moldau.cli.positions import Kind, Position, parse_time

if TYPE_CHECKING:
    from confluent_kafka.admin import ConsumerGroupDescription

    from moldau.cli.client import Cluster, Partition

_STATES = {
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
    "STABLE": "Stable",
    "DEAD": "Dead",
    "EMPTY": "Empty",
}


@click.group(cls=HelpfulGroup)
def group() -> None:
    """List, describe, reset and delete consumer groups."""


@group.command("list")
@format_option
@cluster_options
def list_(cluster: "Cluster", output: str) -> None:
    """List the consumer groups and share groups."""
    from moldau.cli.output import Column, print_rows
    from moldau.cli.share import share_groups

    admin = cluster.admin
    listing = cluster.wait(admin.list_consumer_groups(request_timeout=cluster.timeout_s), "list the groups")
    if listing.errors and not listing.valid:
        raise listing.errors[0]
    rows = [{"group": each.group_id, "state": _state(each.state), "type": _type(each.type)} for each in listing.valid]
    known = {row["group"] for row in rows}
    shared = share_groups(cluster)
    rows += [{"group": name, "state": shared[name], "type": "share"} for name in shared if name not in known]
    rows.sort(key=lambda row: str(row["group"]))
    print_rows(
        rows,
        [Column("group"), Column("state"), Column("type")],
        output,
        empty="No consumer groups. One begins with its first member: moldau consume TOPIC --group NAME",
    )


@group.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_groups, type=NAME)
@format_option
@cluster_options
def describe(cluster: "Cluster", names: tuple[str, ...], output: str) -> None:
    """Show the members of groups, and how far behind they are."""
    from moldau.cli.output import print_json
    from moldau.cli.share import describe_share_group, share_groups

    shared = share_groups(cluster)
    found = [
        describe_share_group(cluster, name) if name in shared else _describe(cluster, name)
        for name in dict.fromkeys(names)
    ]
    if output == "json":
        print_json(found)
        return
    for number, each in enumerate(found):
        if number:
            click.echo()
        _print_description(each)


def _describe(cluster: "Cluster", name: str) -> dict[str, Any]:
    """One group as JSON shows it."""
    described = _group(cluster, name)
    committed = cluster.committed(name)
    owners = {
        (where.topic, where.partition): member
        for member in described.members
        for where in (member.assignment.topic_partitions if member.assignment else ())
    }
    partitions = sorted({*committed, *owners})
    ends = cluster.ends(_existing(cluster, partitions))
    rows = []
    for where in partitions:
        member = owners.get(where)
        at, end = committed.get(where), ends.get(where)
        rows.append(
            {
                "topic": where[0],
                "partition": where[1],
                "committed_offset": at,
                "end_offset": end,
                "lag": None if at is None or end is None else max(end - at, 0),
                "member_id": None if member is None else member.member_id,
                "client_id": None if member is None else member.client_id,
                "host": None if member is None else member.host.lstrip("/"),
            }
        )
    return {
        "group": name,
        "state": _state(described.state),
        "type": _type(described.type),
        "assignor": described.partition_assignor or None,
        "coordinator": None if described.coordinator is None else described.coordinator.id,
        "lag": sum(row["lag"] or 0 for row in rows),
        "members": [
            {
                "member_id": member.member_id,
                "client_id": member.client_id,
                "host": member.host.lstrip("/"),
                "instance_id": member.group_instance_id,
                "partitions": len(member.assignment.topic_partitions) if member.assignment else 0,
            }
            for member in described.members
        ],
        "partitions": rows,
    }


def _print_share_group(found: dict[str, Any]) -> None:
    from moldau.cli.output import Column, print_rows

    if found["partitions"]:
        click.echo()
        columns = [Column("topic"), Column("partition", right=True), Column("start_offset", "START", right=True)]
        columns += [Column("lag", right=True), Column("members", right=True)]
        print_rows(found["partitions"], columns, "table")
    if found["members"]:
        click.echo()
        rows = [{**member, "partitions": ", ".join(member["partitions"])} for member in found["members"]]
        columns = [Column("member_id", "MEMBER"), Column("client_id", "CLIENT"), Column("host"), Column("partitions")]
        print_rows(rows, columns, "table")


def _print_description(found: dict[str, Any]) -> None:
    from moldau.cli.output import Column, print_fields, print_rows

    print_fields(
        {key: found[key] for key in ("group", "state", "type", "assignor", "coordinator")}
        | {"members": len(found["members"]), "lag": f"{found['lag']:,}"},
        "table",
    )
    if found["type"] == "share":
        _print_share_group(found)
        return
    if found["partitions"]:
        click.echo()
        print_rows(
            found["partitions"],
            [
                Column("topic"),
                Column("partition", right=True),
                Column("committed_offset", "COMMITTED", right=True),
                Column("end_offset", "END", right=True),
                Column("lag", right=True),
                Column("client_id", "CLIENT"),
                Column("host"),
                Column("member_id", "MEMBER"),
            ],
            "table",
        )
    idle = [member for member in found["members"] if not member["partitions"]]
    if idle:
        click.echo()
        print_rows(
            idle,
            [Column("member_id", "MEMBER WITHOUT PARTITIONS"), Column("client_id", "CLIENT"), Column("host")],
            "table",
        )


@group.command()
@click.argument("name", shell_complete=complete_groups, type=NAME)
@click.option(
    "-t",
    "--topic",
    "topics",
    metavar="TOPIC[:P,P]",
    multiple=True,
    help="Only this topic, or these of its partitions; repeatable.",
)
@click.option("--all-topics", is_flag=True, help="Every topic the group has offsets of.")
@click.option("--to-earliest", is_flag=True, help="To the beginning.")
@click.option("--to-latest", is_flag=True, help="To the end.")
@click.option("--to-offset", metavar="N", type=click.IntRange(0), help="To this offset.")
@click.option("--to-datetime", metavar="TIME", help="To the first record at or after TIME; -1h is an hour ago.")
@click.option("--shift-by", metavar="N", type=int, help="Forward, or back where N is negative.")
@click.option("--execute", is_flag=True, help="Do it; without this, only show what would change.")
@click.option("--dry-run", is_flag=True, help="Only show what would change; this is the default.")
@format_option
@cluster_options
def reset(cluster: "Cluster", name: str, execute: bool, dry_run: bool, output: str, **options: Any) -> None:
    """Move the committed offsets of a group, or where a share group goes on; it must have no members.

    \b
    moldau group reset billing --all-topics --to-earliest
    moldau group reset billing -t orders:0,1 --to-datetime 2026-03-01T12:00:00Z --execute
    """
    from moldau.cli.output import Column, print_rows
    from moldau.cli.share import alter_share_offsets, describe_share_group, share_groups

    if execute and dry_run:
        raise click.UsageError("Give --execute or --dry-run, not both.")
    target = _target(options)
    share = name in share_groups(cluster)
    committed = _starts(describe_share_group(cluster, name)) if share else cluster.committed(name)
    if share and options["all_topics"] and not committed:
        raise CliError(f"group {name!r} has begun no partition; --topic names what to reset")
    partitions = _selected(cluster, name, committed, options["topics"], options["all_topics"])
    rows = _plan(cluster, partitions, committed, target, options["shift_by"])
    if execute:
        (alter_share_offsets if share else _apply)(cluster, name, rows)
    print_rows(
        rows,
        [
            Column("topic"),
            Column("partition", right=True),
            Column("committed_offset", "COMMITTED", right=True),
            Column("new_offset", "NEW", right=True),
            Column("end_offset", "END", right=True),
        ],
        output,
    )
    if not execute:
        note("Nothing is changed yet; --execute does it.")
    elif output == "table":
        note(f"Group {name} goes on from there.")


def _starts(described: dict[str, Any]) -> "dict[Partition, int]":
    """Where a share group is."""
    return {
        (row["topic"], row["partition"]): row["start_offset"]
        for row in described["partitions"]
        if row["start_offset"] is not None
    }


def _target(options: dict[str, Any]) -> Position | None:
    """Where to; None for --shift-by. UsageError unless exactly one place is given."""
    given = [
        flag
        for flag in ("to_earliest", "to_latest", "to_offset", "to_datetime", "shift_by")
        if options[flag] not in (None, False)
    ]
    if len(given) != 1:
        raise click.UsageError("Give one of --to-earliest, --to-latest, --to-offset, --to-datetime and --shift-by.")
    if options["to_earliest"]:
        return Position(Kind.BEGINNING)
    if options["to_latest"]:
        return Position(Kind.END)
    if options["to_offset"] is not None:
        return Position(Kind.OFFSET, options["to_offset"])
    if options["to_datetime"] is not None:
        try:
            moment = parse_time(options["to_datetime"].removeprefix("@"), time.time_ns() // 1_000_000)
        except ValueError as error:
            raise click.UsageError(f"--to-datetime: {error}") from None
        return Position(Kind.TIME, moment)
    return None


def _selected(
    cluster: "Cluster", name: str, committed: "dict[Partition, int]", topics: tuple[str, ...], all_topics: bool
) -> "list[Partition]":
    """The partitions to reset, from ``--topic`` and ``--all-topics``."""
    if bool(topics) == all_topics:
        raise click.UsageError("Say which offsets: --topic TOPIC (or TOPIC:0,1), or --all-topics.")
    if all_topics:
        if not committed:
            _group(cluster, name)
            raise CliError(f"group {name!r} has committed no offsets; --topic names what to reset")
        return _existing(cluster, sorted(committed))
    selected: list[Partition] = []
    for text in topics:
        topic, colon, numbers = text.partition(":")
        known = cluster.partitions([topic])[topic]
        if not colon:
            selected += [(topic, each) for each in known]
            continue
        for number in numbers.split(","):
            if not number.isdigit():
                raise click.UsageError(f"--topic {text!r} is not of the form TOPIC or TOPIC:0,1.")
            cluster.check_partition(topic, int(number), known)
            selected.append((topic, int(number)))
    return list(dict.fromkeys(selected))


def _plan(
    cluster: "Cluster",
    partitions: "list[Partition]",
    committed: "dict[Partition, int]",
    target: Position | None,
    shift: int | None,
) -> list[dict[str, Any]]:
    """Each partition's committed and new offset; a new offset never leaves what the partition holds."""
    beginnings = cluster.beginnings(partitions)
    ends = cluster.ends(partitions)
    at_time: dict[Partition, int] = {}
    if target is not None and target.kind is Kind.TIME:
        at_time = cluster.at_time(partitions, target.value)
    rows = []
    for where in partitions:
        beginning, end, at = beginnings[where], ends[where], committed.get(where)
        if target is None:
            assert shift is not None
            if at is None:
                raise CliError(f"{where[0]} partition {where[1]} has no committed offset to shift")
            new = at + shift
        else:
            new = target.offset(beginning, end, at_time.get(where))
        rows.append(
            {
                "topic": where[0],
                "partition": where[1],
                "committed_offset": at,
                "new_offset": min(max(new, beginning), end),
                "end_offset": end,
            }
        )
    return rows


def _apply(cluster: "Cluster", name: str, rows: list[dict[str, Any]]) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    from moldau.cli.client import error_name, error_text

    targets = [TopicPartition(row["topic"], row["partition"], row["new_offset"]) for row in rows]
    request = ConsumerGroupTopicPartitions(name, targets)
    futures = cluster.admin.alter_consumer_group_offsets([request], request_timeout=cluster.timeout_s)
    result = cluster.wait_all(futures, "reset the offsets")[name]
    if isinstance(result, Exception):
        if error_name(result) in ("UNKNOWN_MEMBER_ID", "NON_EMPTY_GROUP", "REBALANCE_IN_PROGRESS"):
            raise _has_members(cluster, name)
        raise CliError(f"group {name!r}: {error_text(result)}")
    for each in result.topic_partitions:
        if each.error is not None:
            if each.error.name() in ("UNKNOWN_MEMBER_ID", "NON_EMPTY_GROUP", "REBALANCE_IN_PROGRESS"):
                raise _has_members(cluster, name)
            raise CliError(f"{each.topic} partition {each.partition}: {each.error.str()}")


@group.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_groups, type=NAME)
@yes_option
@cluster_options
def delete(cluster: "Cluster", names: tuple[str, ...], yes: bool) -> None:
    """Delete groups that have no members, and their offsets."""
    from moldau.cli.client import error_name, error_text
    from moldau.cli.share import share_groups

    wanted = list(dict.fromkeys(names))
    shared = share_groups(cluster)
    for name in wanted:
        if name not in shared:
            _group(cluster, name)
    confirm(f"Delete {', '.join(wanted)} with all committed offsets?", yes)
    futures = cluster.admin.delete_consumer_groups(wanted, request_timeout=cluster.timeout_s)
    results = cluster.wait_all(futures, "delete the group")
    for name, result in results.items():
        if not isinstance(result, Exception):
            click.echo(f"Deleted group {name}.")
    for name, result in results.items():
        if isinstance(result, Exception):
            if error_name(result) == "NON_EMPTY_GROUP" and name in shared:
                raise CliError(f"group {name!r} has members; stop them first: only an empty group can be changed")
            if error_name(result) == "NON_EMPTY_GROUP":
                raise _has_members(cluster, name)
            if error_name(result) == "GROUP_ID_NOT_FOUND":
                raise _unknown(cluster, name)
            raise CliError(f"group {name!r}: {error_text(result)}")


def _group(cluster: "Cluster", name: str) -> "ConsumerGroupDescription":
    """The broker's description of a group; CliError where there is no such group.

    A broker describes an unknown group as dead (older ones) or refuses it (KIP-1043).
    """
    from moldau.cli.client import error_name, error_text

    try:
        futures = cluster.admin.describe_consumer_groups([name], request_timeout=cluster.timeout_s)
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from None
    result = cluster.wait_all(futures, "describe the group")[name]
    if isinstance(result, Exception):
        if error_name(result) == "GROUP_ID_NOT_FOUND":
            raise _unknown(cluster, name)
        raise CliError(f"group {name!r}: {error_text(result)}")
    if _state(result.state) == "Dead":
        raise _unknown(cluster, name)
    assert result is not None
    described: ConsumerGroupDescription = result
    return described


def _existing(cluster: "Cluster", partitions: "list[Partition]") -> "list[Partition]":
    """Those partitions that (still) exist: offsets outlive a deleted topic for a moment."""
    topics = cluster.metadata().topics
    return [each for each in partitions if each[0] in topics and each[1] in topics[each[0]].partitions]


def _unknown(cluster: "Cluster", name: str) -> CliError:
    listing = cluster.wait(cluster.admin.list_consumer_groups(request_timeout=cluster.timeout_s), "list the groups")
    known = [each.group_id for each in listing.valid]
    hint = did_you_mean(name, known) or " 'moldau group list' shows those there are."
    return CliError(f"there is no group {name!r}.{hint}")


def _has_members(cluster: "Cluster", name: str) -> CliError:
    from moldau.cli.output import count

    members = _group(cluster, name).members
    hosts = sorted({member.host.lstrip("/") for member in members})
    return CliError(
        f"group {name!r} has {count(len(members), 'member')}"
        + (f" (on {', '.join(hosts)})" if hosts else "")
        + "; stop them first: only an empty group can be changed"
    )


def _state(state: Any) -> str:
    """Kafka's own word for a group state."""
    name = str(getattr(state, "name", state))
    return _STATES.get(name, "Unknown")


def _type(kind: Any) -> str | None:
    name = str(getattr(kind, "name", kind))
    return None if name in ("UNKNOWN", "None") else name.lower()
