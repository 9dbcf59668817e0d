"""``moldau cluster``: what a cluster consists of, and the levels of its features."""

from typing import TYPE_CHECKING, Any

import click

from moldau.cli.lazy import HelpfulGroup
from moldau.cli.options import cluster_options, format_option

if TYPE_CHECKING:
    from moldau.cli.client import Cluster


@click.group(cls=HelpfulGroup)
def cluster() -> None:
    """Show what a cluster consists of, and finish its upgrade."""


@cluster.command()
@format_option
@cluster_options
def info(cluster: "Cluster", output: str) -> None:
    """Show the cluster's id, its brokers, and how much it holds."""
    from moldau.cli.output import Column, print_fields, print_json, print_rows

    found = _describe(cluster)
    if output == "json":
        print_json(found)
        return
    print_fields({key: value for key, value in found.items() if key != "brokers"}, "table")
    click.echo()
    print_rows(
        found["brokers"],
        [
            Column("id", "BROKER", right=True),
            Column("host"),
            Column("port", right=True),
            Column("rack"),
            Column("leads", "PARTITIONS LED", right=True),
            Column("controller"),
        ],
        "table",
    )


@cluster.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be raised, and whether all brokers can serve it.")
@format_option
@cluster_options
def upgrade(cluster: "Cluster", dry_run: bool, output: str) -> None:
    """Raise every feature to the highest level of this release, once all brokers run it.

    Nothing is raised while a broker that cannot serve it is alive; it is named. Brokers of older releases do not start afterwards.
    """
    from moldau.cli.features import Connection
    from moldau.cli.output import Column, print_rows

    with Connection(cluster) as connection:
        levels = connection.levels()
        lower = [each for each in levels if each.level < each.highest]
        if lower:
            connection.upgrade(lower, validate_only=dry_run)
    rows = [{"feature": each.feature, "before": each.level, "after": max(each.level, each.highest)} for each in levels]
    print_rows(rows, [Column("feature"), Column("before", right=True), Column("after", right=True)], output)


def _describe(cluster: "Cluster") -> dict[str, Any]:
    admin = cluster.admin
    described = cluster.wait(admin.describe_cluster(request_timeout=cluster.timeout_s), "describe the cluster")
    metadata = cluster.metadata()
    partitions = [each for topic in metadata.topics.values() for each in topic.partitions.values()]
    controller = None if described.controller is None else described.controller.id
    return {
        "cluster_id": described.cluster_id,
        "bootstrap": cluster.bootstrap,
        "controller": controller,
        "topics": len(metadata.topics),
        "partitions": len(partitions),
        "partitions_without_leader": sum(1 for each in partitions if each.leader < 0),
        "partitions_under_replicated": sum(1 for each in partitions if len(each.isrs) < len(each.replicas)),
        "brokers": [
            {
                "id": node.id,
                "host": node.host,
                "port": node.port,
                "rack": node.rack or None,
                "leads": sum(1 for each in partitions if each.leader == node.id),
                "controller": node.id == controller,
            }
            for node in sorted(described.nodes or (), key=lambda node: int(node.id))
        ],
    }
