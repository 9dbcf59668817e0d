"""Which group a name means, for ``moldau group``, in Kafka's words."""

from typing import TYPE_CHECKING, Any

from moldau.cli.errors import EXIT_USAGE, CliError
from moldau.cli.lazy import did_you_mean

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


def find_group(cluster: "Cluster", name: str) -> "ConsumerGroupDescription":
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
            raise unknown(cluster, name)
        raise CliError(f"group {name!r}: {error_text(result)}")
    if state_name(result.state) == "Dead":
        raise unknown(cluster, name)
    assert result is not None
    described: ConsumerGroupDescription = result
    return described


def existing(cluster: "Cluster", partitions: "list[Partition]") -> "list[Partition]":
    """Those partitions that (still) exist: offsets outlive a deleted topic for a moment."""
    topics = cluster.metadata().topics
    return [each for each in partitions if each[0] in topics and each[1] in topics[each[0]].partitions]


def unknown(cluster: "Cluster", name: str) -> CliError:
    """To raise: there is no such group."""
    listing = cluster.wait(cluster.admin.list_consumer_groups(request_timeout=cluster.timeout_s), "list the groups")
    known = [each.group_id for each in listing.valid]
    hint = did_you_mean(name, known) or " 'moldau group list' shows those there are."
    return CliError(f"there is no group {name!r}.{hint}")


def has_members(cluster: "Cluster", name: str) -> CliError:
    """To raise: what was asked for needs an empty group."""
    from moldau.cli.output import count

    members = find_group(cluster, name).members
    hosts = sorted({member.host.lstrip("/") for member in members})
    return CliError(
        f"group {name!r} has {count(len(members), 'member')}"
        + (f" (on {', '.join(hosts)})" if hosts else "")
        + "; stop them first: only an empty group can be changed"
    )


def state_name(state: Any) -> str:
    """Kafka's own word for a group state."""
    name = str(getattr(state, "name", state))
    return _STATES.get(name, "Unknown")


def type_name(kind: Any) -> str | None:
    """In small letters; None where the broker does not say."""
    name = str(getattr(kind, "name", kind))
    return None if name in ("UNKNOWN", "None") else name.lower()
