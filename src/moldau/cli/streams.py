"""Streams groups for ``moldau group describe``: what each member runs, and how far the application is in the topics it reads."""

from typing import TYPE_CHECKING, Any

from moldau.cli.group_lookup import existing
from moldau.cli.other_groups import check, coordinator
from moldau.cli.wire import Wire
from moldau.protocol import api_keys
from moldau.protocol.messages.streams_group_describe import Assignment, StreamsGroupDescribeRequest

if TYPE_CHECKING:
    from moldau.cli.client import Cluster


def describe_streams_group(cluster: "Cluster", name: str) -> dict[str, Any]:
    """As JSON shows it. A task is named as in Kafka Streams: subtopology, underscore, partition."""
    there = coordinator(cluster, name)
    with Wire(there.host, there.port, cluster.timeout_s) as wire:
        request = StreamsGroupDescribeRequest(group_ids=[name])
        (group,) = wire.call(api_keys.STREAMS_GROUP_DESCRIBE, 0, request).groups
    check(name, group.error_code)
    partitions = _partitions(cluster, name)
    members = [
        {
            "member_id": member.member_id,
            "client_id": member.client_id,
            "host": member.client_host.lstrip("/"),
            "instance_id": member.instance_id,
            "process_id": member.process_id,
            **_tasks(member.assignment),
        }
        for member in group.members
    ]
    return {
        "group": name,
        "state": group.group_state,
        "type": "streams",
        "assignor": None,
        "coordinator": there.node_id,
        "topology_epoch": None if group.topology is None else group.topology.epoch,
        "subtopologies": [] if group.topology is None else _subtopologies(group.topology),
        "lag": sum(each["lag"] or 0 for each in partitions),
        "members": members,
        "partitions": partitions,
    }


def print_streams_group(found: dict[str, Any]) -> None:
    """The tables under its first lines."""
    import click

    from moldau.cli.output import Column, print_rows

    if found["partitions"]:
        click.echo()
        columns = [
            Column("topic"),
            Column("partition", right=True),
            Column("committed_offset", "COMMITTED", right=True),
        ]
        columns += [Column("end_offset", "END", right=True), Column("lag", right=True)]
        print_rows(found["partitions"], columns, "table")
    if found["members"]:
        click.echo()
        lists = ("active_tasks", "standby_tasks", "warmup_tasks")
        rows = [{**member, **{key: ", ".join(member[key]) for key in lists}} for member in found["members"]]
        columns = [Column("member_id", "MEMBER"), Column("client_id", "CLIENT"), Column("host")]
        columns += [Column("active_tasks", "ACTIVE"), Column("standby_tasks", "STANDBY")]
        print_rows(rows, columns, "table")


def _tasks(assignment: Assignment) -> dict[str, list[str]]:
    return {
        kind: [f"{each.subtopology_id}_{index}" for each in getattr(assignment, kind) for index in each.partitions]
        for kind in ("active_tasks", "standby_tasks", "warmup_tasks")
    }


def _subtopologies(topology: Any) -> list[dict[str, Any]]:
    return [
        {
            "subtopology": each.subtopology_id,
            "source_topics": [*each.source_topics, *(topic.name for topic in each.repartition_source_topics)],
            "changelog_topics": [topic.name for topic in each.state_changelog_topics],
        }
        for each in topology.subtopologies
    ]


def _partitions(cluster: "Cluster", name: str) -> list[dict[str, Any]]:
    committed = cluster.committed(name)
    there = existing(cluster, sorted(committed))
    ends = cluster.ends(there)
    return [
        {
            "topic": topic,
            "partition": partition,
            "committed_offset": committed[topic, partition],
            "end_offset": ends[topic, partition],
            "lag": max(ends[topic, partition] - committed[topic, partition], 0),
        }
        for topic, partition in there
    ]
