"""Groups that the Kafka client behind the other commands does not know: share groups (KIP-932) and streams groups (KIP-1071)."""

from typing import TYPE_CHECKING, Any, NamedTuple

from moldau.cli.errors import CliError
from moldau.cli.wire import Wire, is_plaintext
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.list_groups import ListGroupsRequest

if TYPE_CHECKING:
    from moldau.cli.client import Cluster

TYPES = ("share", "streams")


class Listed(NamedTuple):
    """One of them in a list."""

    type: str
    state: str


def other_groups(cluster: "Cluster") -> dict[str, Listed]:
    """By group id. Empty where brokers are older than such groups, or are not reached without encryption."""
    found: dict[str, Listed] = {}
    if not is_plaintext(cluster):
        return found
    for broker in cluster.metadata().brokers.values():
        try:
            with Wire(broker.host or "", broker.port, cluster.timeout_s) as wire:
                answer = wire.call(api_keys.LIST_GROUPS, 5, ListGroupsRequest(types_filter=list(TYPES)))
        except CliError:
            continue
        found |= {each.group_id: Listed(each.group_type.lower(), each.group_state) for each in answer.groups}
    return found


def coordinator(cluster: "Cluster", name: str) -> Any:
    """Where the group is: FindCoordinator's answer. Raises CliError."""
    first = next(iter(cluster.metadata().brokers.values()))
    with Wire(first.host or "", first.port, cluster.timeout_s) as wire:
        request = FindCoordinatorRequest(key_type=0, coordinator_keys=[name])
        (there,) = wire.call(api_keys.FIND_COORDINATOR, 4, request).coordinators
    check(name, there.error_code)
    return there


def check(name: str, code: int) -> None:
    """Raises CliError."""
    if code:
        raise CliError(f"group {name!r}: {error_codes.name(code)}")
