"""`GET /share-groups/NAME`: how the records of a share group stand at this broker, as JSON, for `moldau group describe`.

    {"group": "workers", "node_id": 1, "cluster_id": "...", "left_out": 0, "partitions": [{
        "topic": "jobs", "partition": 0, "owner_epoch": 1, "start_offset": 5, "end_offset": 20,
        "acquired": 10, "redeliverable": 2, "acknowledged": 3, "archiving": 0, "archived": 0, "delivery_count_max": 2,
        "members": {"fYhIq...": 10}, "members_left_out": 0}]}

The counts add up to `end_offset` less `start_offset`; see `moldau.coordination.share.deliveries`. 404 where the group has no share-partition at home here. Who
asks several brokers compares `node_id` and `cluster_id` with what it expects: an address may lead to another broker.
"""

from __future__ import annotations

import json
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from moldau.broker.share_states import ShareState, look_at_shares

if TYPE_CHECKING:
    from moldau.broker.broker import Broker

CONTENT_TYPE = "application/json"
MEMBERS_MAX = 20
"""Of each share-partition: those that have most in hand."""


async def share_page(broker: Broker, group: str) -> tuple[int, str, bytes]:
    """(status, content type, body)."""
    found = await look_at_shares(broker, group)
    page: dict[str, Any] = {"group": group, "node_id": broker.node_id, "cluster_id": broker.cluster.cluster_id}
    if not found.rows:
        error = f"broker {broker.node_id} has no share-partition of a group {group!r}: no member has fetched one there"
        return 404, CONTENT_TYPE, _json({"error": error, **page})
    page["left_out"] = found.left_out
    page["partitions"] = [_partition(row) for row in found.rows]
    return 200, CONTENT_TYPE, _json(page)


def _partition(row: ShareState) -> dict[str, Any]:
    deliveries = row.deliveries
    members = nlargest(MEMBERS_MAX, deliveries.members.items(), key=itemgetter(1))
    return {
        "topic": row.topic,
        "partition": row.partition,
        "owner_epoch": row.owner_epoch,
        "start_offset": row.start_offset,
        "end_offset": row.end_offset,
        **deliveries.by_state(),
        "delivery_count_max": deliveries.delivery_count_max,
        "members": dict(members),
        "members_left_out": len(deliveries.members) - len(members),
    }


def _json(page: dict[str, Any]) -> bytes:
    return json.dumps(page).encode() + b"\n"
