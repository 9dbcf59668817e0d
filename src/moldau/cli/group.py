"""``moldau group``: consumer groups, their members, lag and offsets."""

from typing import TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_groups
from moldau.cli.errors import CliError, note
from moldau.cli.group_lookup import existing, find_group, has_members, state_name, type_name, unknown
from moldau.cli.lazy import HelpfulGroup
from moldau.cli.options import NAME, cluster_options, confirm, format_option, yes_option

if TYPE_CHECKING:
    from moldau.cli.client import Cluster


@click.group(cls=HelpfulGroup)
def group() -> None:
    """List, describe, reset and delete consumer groups."""


@group.command("list")
@format_option
@cluster_options
def list_(cluster: "Cluster", output: str) -> None:
    """List groups of every kind: classic, consumer, share, streams."""
    from moldau.cli.other_groups import other_groups
    from moldau.cli.output import Column, print_rows

    admin = cluster.admin
    listing = cluster.wait(admin.list_consumer_groups(request_timeout=cluster.timeout_s), "list the groups")
    if listing.errors and not listing.valid:
        raise listing.errors[0]
    rows = [
        {"group": each.group_id, "state": state_name(each.state), "type": type_name(each.type)}
        for each in listing.valid
    ]
    others = other_groups(cluster)
    rows = [row for row in rows if row["group"] not in others]
    rows += [{"group": name, "state": each.state, "type": each.type} for name, each in others.items()]
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
    """Show the members of groups, and how far behind they are.

    Of a share group also how many records are in flight, will be delivered again, and how often one was delivered at most; brokers tell that on
    their HTTP port (moldau.http.listener).
    """
    from moldau.cli.other_groups import other_groups
    from moldau.cli.output import print_json

    others = other_groups(cluster)
    remarks: dict[str, None] = {}
    found = [
        _describe_other(cluster, name, others[name].type, remarks) if name in others else _describe(cluster, name)
        for name in dict.fromkeys(names)
    ]
    if output == "json":
        print_json(found)
    else:
        for number, each in enumerate(found):
            if number:
                click.echo()
            _print_description(each)
    for remark in remarks:
        note(remark)


def _describe_other(cluster: "Cluster", name: str, kind: str, remarks: dict[str, None]) -> dict[str, Any]:
    from moldau.cli.share import describe_share_group
    from moldau.cli.share_delivery import add_delivery
    from moldau.cli.streams import describe_streams_group

    if kind != "share":
        return describe_streams_group(cluster, name)
    found = describe_share_group(cluster, name)
    remark = add_delivery(cluster, found)
    if remark:
        remarks[remark] = None
    return found


def _describe(cluster: "Cluster", name: str) -> dict[str, Any]:
    """One group as JSON shows it."""
    described = find_group(cluster, name)
    committed = cluster.committed(name)
    owners = {
        (where.topic, where.partition): member
        for member in described.members
        for where in (member.assignment.topic_partitions if member.assignment else ())
    }
    partitions = sorted({*committed, *owners})
    ends = cluster.ends(existing(cluster, partitions))
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
        "state": state_name(described.state),
        "type": type_name(described.type),
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


def _print_description(found: dict[str, Any]) -> None:
    from moldau.cli.output import Column, print_fields, print_rows
    from moldau.cli.share import print_share_group
    from moldau.cli.streams import print_streams_group

    print_fields(
        {key: found[key] for key in ("group", "state", "type", "assignor", "coordinator")}
        | {"members": len(found["members"]), "lag": f"{found['lag']:,}"},
        "table",
    )
    if found["type"] == "share":
        print_share_group(found)
        return
    if found["type"] == "streams":
        print_streams_group(found)
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
    from moldau.cli.group_reset import apply, plan, selected, starts, target_of
    from moldau.cli.other_groups import Listed, other_groups
    from moldau.cli.output import Column, print_rows
    from moldau.cli.share import alter_share_offsets, describe_share_group

    if execute and dry_run:
        raise click.UsageError("Give --execute or --dry-run, not both.")
    target = target_of(options)
    share = other_groups(cluster).get(name, Listed("", "")).type == "share"
    committed = starts(describe_share_group(cluster, name)) if share else cluster.committed(name)
    if share and options["all_topics"] and not committed:
        raise CliError(f"group {name!r} has begun no partition; --topic names what to reset")
    partitions = selected(cluster, name, committed, options["topics"], options["all_topics"])
    rows = plan(cluster, partitions, committed, target, options["shift_by"])
    if execute:
        (alter_share_offsets if share else apply)(cluster, name, rows)
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


@group.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_groups, type=NAME)
@yes_option
@cluster_options
def delete(cluster: "Cluster", names: tuple[str, ...], yes: bool) -> None:
    """Delete groups that have no members, and their offsets."""
    from moldau.cli.client import error_name, error_text
    from moldau.cli.other_groups import other_groups

    wanted = list(dict.fromkeys(names))
    others = other_groups(cluster)
    for name in wanted:
        if name not in others:
            find_group(cluster, name)
    confirm(f"Delete {', '.join(wanted)} with all committed offsets?", yes)
    futures = cluster.admin.delete_consumer_groups(wanted, request_timeout=cluster.timeout_s)
    results = cluster.wait_all(futures, "delete the group")
    for name, result in results.items():
        if not isinstance(result, Exception):
            click.echo(f"Deleted group {name}.")
    for name, result in results.items():
        if isinstance(result, Exception):
            if error_name(result) == "NON_EMPTY_GROUP" and name in others:
                raise CliError(f"group {name!r} has members; stop them first: only an empty group can be changed")
            if error_name(result) == "NON_EMPTY_GROUP":
                raise has_members(cluster, name)
            if error_name(result) == "GROUP_ID_NOT_FOUND":
                raise unknown(cluster, name)
            raise CliError(f"group {name!r}: {error_text(result)}")
