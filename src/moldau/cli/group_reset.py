"""What ``moldau group reset`` moves, and where to."""

import time
from typing import TYPE_CHECKING, Any

import click

from moldau.cli.errors import CliError
from moldau.cli.group_lookup import existing, find_group, has_members
from moldau.cli.positions import Kind, Position, parse_time

if TYPE_CHECKING:
    from moldau.cli.client import Cluster, Partition


def starts(described: dict[str, Any]) -> "dict[Partition, int]":
    """Where a share group is."""
    return {
        (row["topic"], row["partition"]): row["start_offset"]
        for row in described["partitions"]
        if row["start_offset"] is not None
    }


def target_of(options: dict[str, Any]) -> Position | None:
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


def selected(
    cluster: "Cluster", name: str, committed: "dict[Partition, int]", topics: tuple[str, ...], all_topics: bool
) -> "list[Partition]":
    """The partitions to reset, from ``--topic`` and ``--all-topics``."""
    if bool(topics) == all_topics:
        raise click.UsageError("Say which offsets: --topic TOPIC (or TOPIC:0,1), or --all-topics.")
    if all_topics:
        if not committed:
            find_group(cluster, name)
            raise CliError(f"group {name!r} has committed no offsets; --topic names what to reset")
        return existing(cluster, sorted(committed))
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


def plan(
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


def apply(cluster: "Cluster", name: str, rows: list[dict[str, Any]]) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    from moldau.cli.client import error_name, error_text

    targets = [TopicPartition(row["topic"], row["partition"], row["new_offset"]) for row in rows]
    request = ConsumerGroupTopicPartitions(name, targets)
    futures = cluster.admin.alter_consumer_group_offsets([request], request_timeout=cluster.timeout_s)
    result = cluster.wait_all(futures, "reset the offsets")[name]
    if isinstance(result, Exception):
        if error_name(result) in ("UNKNOWN_MEMBER_ID", "NON_EMPTY_GROUP", "REBALANCE_IN_PROGRESS"):
            raise has_members(cluster, name)
        raise CliError(f"group {name!r}: {error_text(result)}")
    for each in result.topic_partitions:
        if each.error is not None:
            if each.error.name() in ("UNKNOWN_MEMBER_ID", "NON_EMPTY_GROUP", "REBALANCE_IN_PROGRESS"):
                raise has_members(cluster, name)
            raise CliError(f"{each.topic} partition {each.partition}: {each.error.str()}")
