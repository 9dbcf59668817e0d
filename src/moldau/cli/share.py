"""Share groups for ``moldau group``: how far they are in their partitions, and sent elsewhere."""

from typing import TYPE_CHECKING, Any

from moldau.cli.errors import CliError
from moldau.cli.other_groups import check, coordinator
from moldau.cli.wire import Wire
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from moldau.protocol.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from moldau.protocol.messages.share_group_describe import ShareGroupDescribeRequest

if TYPE_CHECKING:
    from moldau.cli.client import Cluster


def describe_share_group(cluster: "Cluster", name: str) -> dict[str, Any]:
    """As JSON shows it."""
    there = coordinator(cluster, name)
    with Wire(there.host, there.port, cluster.timeout_s) as wire:
        (group,) = wire.call(api_keys.SHARE_GROUP_DESCRIBE, 1, ShareGroupDescribeRequest(group_ids=[name])).groups
        check(name, group.error_code)
        asked = DescribeShareGroupOffsetsRequestGroup(group_id=name, topics=None)
        request_ = DescribeShareGroupOffsetsRequest(groups=[asked])
        (offsets,) = wire.call(api_keys.DESCRIBE_SHARE_GROUP_OFFSETS, 1, request_).groups
    check(name, offsets.error_code)
    members = [
        {
            "member_id": member.member_id,
            "client_id": member.client_id,
            "host": member.client_host.lstrip("/"),
            "partitions": sorted(
                f"{each.topic_name}-{index}" for each in member.assignment.topic_partitions for index in each.partitions
            ),
        }
        for member in group.members
    ]
    partitions = [
        {
            "topic": topic.topic_name,
            "partition": each.partition_index,
            "start_offset": each.start_offset if each.start_offset >= 0 else None,
            "lag": each.lag if each.lag >= 0 else None,
            "members": sum(f"{topic.topic_name}-{each.partition_index}" in member["partitions"] for member in members),
        }
        for topic in offsets.topics
        for each in topic.partitions
    ]
    return {
        "group": name,
        "state": group.group_state,
        "type": "share",
        "assignor": group.assignor_name or None,
        "coordinator": there.node_id,
        "lag": sum(each["lag"] or 0 for each in partitions),
        "members": members,
        "partitions": partitions,
    }


def print_share_group(found: dict[str, Any]) -> None:
    """The tables under its first lines."""
    import click

    from moldau.cli.output import Column, print_rows

    if found["partitions"]:
        click.echo()
        columns = [Column("topic"), Column("partition", right=True), Column("start_offset", "START", right=True)]
        columns += [Column("lag", right=True), Column("members", right=True)]
        rows = [{**(row.get("delivery") or {}), **row} for row in found["partitions"]]
        if any(row.get("delivery") for row in rows):
            columns += [
                Column("acquired", "IN FLIGHT", right=True),
                Column("redeliverable", "AGAIN", right=True),
                Column("delivery_count_max", "DELIVERIES", right=True),
            ]
        print_rows(rows, columns, "table")
    if found["members"]:
        click.echo()
        rows = [{**member, "partitions": ", ".join(member["partitions"])} for member in found["members"]]
        columns = [Column("member_id", "MEMBER"), Column("client_id", "CLIENT"), Column("host"), Column("partitions")]
        print_rows(rows, columns, "table")


def alter_share_offsets(cluster: "Cluster", name: str, rows: list[dict[str, Any]]) -> None:
    """The group goes on at each row's `new_offset`; it must have no members."""
    topics: dict[str, AlterShareGroupOffsetsRequestTopic] = {}
    for row in rows:
        topic = topics.setdefault(
            row["topic"], AlterShareGroupOffsetsRequestTopic(topic_name=row["topic"], partitions=[])
        )
        topic.partitions.append(
            AlterShareGroupOffsetsRequestPartition(partition_index=row["partition"], start_offset=row["new_offset"])
        )
    there = coordinator(cluster, name)
    with Wire(there.host, there.port, cluster.timeout_s) as wire:
        request = AlterShareGroupOffsetsRequest(group_id=name, topics=list(topics.values()))
        answer = wire.call(api_keys.ALTER_SHARE_GROUP_OFFSETS, 0, request)
    if answer.error_code == error_codes.NON_EMPTY_GROUP:
        raise CliError(f"group {name!r} has members; stop them first: only an empty group can be changed")
    check(name, answer.error_code)
    for each in answer.responses:
        for partition in each.partitions:
            if partition.error_code:
                why = partition.error_message or error_codes.name(partition.error_code)
                raise CliError(f"{each.topic_name} partition {partition.partition_index}: {why}")
