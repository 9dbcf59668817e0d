"""How the records of a share group stand, for ``moldau group describe``: asked of the brokers' HTTP ports, for the Kafka protocol does not tell.

Each broker says by its config where that port is, and tells of the share-partitions it has at home, which are those that it leads. Brokers are
asked side by side, each for two seconds at the most. A Kafka that is not Moldau has no such config, and nothing is asked there.
"""

import json
import socket
import threading
import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from moldau.cli.errors import CliError
from moldau.cli.output import count
from moldau.cli.wire import Wire
from moldau.host_port import host_port, is_loopback
from moldau.protocol import api_keys
from moldau.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

if TYPE_CHECKING:
    from moldau.cli.client import Cluster

KEY = "moldau.http.listener"
_WAIT_S = 2.0
_BYTES_MAX = 1 << 24
_BROKER = 4
"""ConfigResource type."""
_SET = f"set {KEY}=HOST:PORT there, an address that can be reached from here"
_ADDED = ("topic", "partition", "owner_epoch")
"""What a row of the answer says beside the delivery."""

Partition = tuple[str, int]


class Told(NamedTuple):
    """What one broker said, or `why` it could not be asked. `is_ours` is False where that is not known; `left_out` are share-partitions it did not list."""

    rows: tuple[dict[str, Any], ...] = ()
    why: str = ""
    left_out: int = 0
    is_ours: bool = True


_SILENT = Told(why="it does not answer", is_ours=False)


def add_delivery(cluster: "Cluster", found: dict[str, Any]) -> str:
    """Give each partition of a described share group its `delivery`, None where it is not known. What to remark, if brokers could not be asked."""
    metadata = cluster.metadata()
    told = _ask_all(cluster, metadata.cluster_id, metadata.brokers.values(), found["group"])
    delivery = newest(row for each in told.values() for row in each.rows)
    missed: set[int] = set()
    for row in found["partitions"]:
        row["delivery"] = delivery.get((row["topic"], row["partition"]))
        if row["delivery"] is None and row["topic"] in metadata.topics:
            at = metadata.topics[row["topic"]].partitions.get(row["partition"])
            missed.add(-1 if at is None else at.leader)
    return remark(told, missed)


def newest(rows: Iterable[dict[str, Any]]) -> dict[Partition, dict[str, Any]]:
    """By (topic, partition). Of two brokers that tell of one the higher epoch is right: the other does not know yet that it was taken over."""
    found: dict[Partition, dict[str, Any]] = {}
    for row in rows:
        where = (row["topic"], row["partition"])
        if where not in found or found[where]["owner_epoch"] < row["owner_epoch"]:
            found[where] = row
    return {where: {name: value for name, value in row.items() if name not in _ADDED} for where, row in found.items()}


def remark(told: dict[int, Told], missed: set[int]) -> str:
    """What to say of the `missed` brokers, if any at all is ours; empty for nothing."""
    if not any(each.is_ours for each in told.values()):
        return ""
    by_reason: dict[str, list[int]] = {}
    for node_id in sorted(missed & set(told)):
        each = told[node_id]
        why = each.why or (f"{count(each.left_out, 'more partition')} than they list" if each.left_out else "")
        if why:
            by_reason.setdefault(why, []).append(node_id)
    if not by_reason:
        return ""
    parts = [f"broker {', '.join(map(str, nodes))}: {why}" for why, nodes in by_reason.items()]
    return f"Not all delivery states are known ({'; '.join(parts)})."


# -- one broker ------------------------------------------------------------------------------------------------------


def _ask_all(cluster: "Cluster", cluster_id: str | None, brokers: Iterable[Any], group: str) -> dict[int, Told]:
    """By node id; those that do not answer in time are not waited for."""
    wait_s = min(_WAIT_S, cluster.timeout_s)
    brokers = list(brokers)
    told = {broker.id: _SILENT for broker in brokers}

    def ask(broker: Any) -> None:
        told[broker.id] = _ask(broker, cluster_id, group, wait_s)

    threads = [threading.Thread(target=ask, args=(broker,), daemon=True) for broker in brokers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2 * wait_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(told)


def _ask(broker: Any, cluster_id: str | None, group: str, wait_s: float) -> Told:
    try:
        listener = _listener(broker, wait_s)
    except CliError:
        return _SILENT
    if listener is None:
        return Told(is_ours=False)
    where = reachable(listener, broker.host or "")
    if isinstance(where, str):
        return Told(why=where)
    try:
        page = _get(*where, f"/share-groups/{quote(group, safe='')}", wait_s)
    except (OSError, HTTPException) as error:
        reason = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return Told(why=f"no answer at http://{host_port(*where)}: {reason}; {_SET}")
    return read(page, broker.id, cluster_id, host_port(*where))


def _listener(broker: Any, wait_s: float) -> str | None:
    """Its `moldau.http.listener`; None where it has no such config. Raises CliError."""
    resource = DescribeConfigsResource(resource_type=_BROKER, resource_name=str(broker.id), configuration_keys=[KEY])
    with Wire(broker.host or "", broker.port, wait_s) as wire:
        answer = wire.call(api_keys.DESCRIBE_CONFIGS, 4, DescribeConfigsRequest(resources=[resource]))
    found = [entry.value or "" for result in answer.results for entry in result.configs if entry.name == KEY]
    return found[0] if found else None


def reachable(listener: str, broker_host: str) -> tuple[str, int] | str:
    """(host, port) to ask, or why there is none. A wildcard is where the broker is; loopback is only if the broker is told of there, too."""
    host, _, port = listener.rpartition(":")
    if not port.isdigit():
        return f"it serves no HTTP; {_SET}"
    host = host.removeprefix("[").removesuffix("]")
    if _is_any(host):
        return broker_host, int(port)
    if is_loopback(host) and not is_loopback(broker_host):
        return f"it serves HTTP on {listener} only; {_SET}"
    return host, int(port)


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # another name
        return False


def _get(host: str, port: int, path: str, wait_s: float) -> bytes:
    """The page, whatever its status. Raises OSError, HTTPException."""
    link = HTTPConnection(host, port, timeout=wait_s)
    try:
        link.request("GET", path)
        return link.getresponse().read(_BYTES_MAX)
    except socket.gaierror as error:
        raise OSError(error.strerror) from None
    finally:
        link.close()


def read(page: bytes, node_id: int, cluster_id: str | None, where: str) -> Told:
    """What a page says, if it is that broker's: an address may lead elsewhere."""
    try:
        found = json.loads(page)
        theirs = (found["node_id"], found["cluster_id"])
        rows, left_out = tuple(found.get("partitions", ())), int(found.get("left_out", 0))
        newest(rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Told(why=f"what answers at http://{where} does not tell of share groups")
    if theirs != (node_id, cluster_id):
        return Told(why=f"http://{where} is of broker {theirs[0]} of cluster {theirs[1]}; {_SET}")
    return Told(rows, left_out=left_out)
