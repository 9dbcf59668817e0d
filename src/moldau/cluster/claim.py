"""A node id for a broker that was given none: the lowest that no living broker has.

Two brokers that start at once cannot take the same: each holds the id's lease from before it looks until it is registered.
"""

from __future__ import annotations

from moldau.metadata.ports import ClusterStore, LeaseStore

from .pulse import GONE_MS

CLAIM_MS = 10_000
FIRST = 1


def _name(node_id: int) -> str:
    return f"node/{node_id}"


async def claim(cluster: ClusterStore, leases: LeaseStore, owner: str) -> int:
    """The id; `owner` is nobody else's. `settle` when the broker is registered. Raises StoreError."""
    node_id = FIRST
    while True:
        lease = await leases.acquire(_name(node_id), owner, CLAIM_MS)
        if lease.owner == owner:
            # in this order: whoever had the lease before is registered by now
            if all(row.node_id != node_id or row.age_ms >= GONE_MS for row in await cluster.load_brokers()):
                return node_id
            await leases.release(owner, [_name(node_id)])
        node_id += 1


async def settle(leases: LeaseStore, owner: str, node_id: int) -> None:
    """It is registered: its heartbeats keep others away now. Raises StoreError."""
    await leases.release(owner, [_name(node_id)])
