"""Which broker the clients of a partition are to go to, where there are several.

Any broker can serve any partition (invariant 4), but a partition is quickest, and cheapest, at one. So a client is sent away when its partition
has had another leader for a while, or when this broker leaves; and a consumer that names its rack is told of the broker there (KIP-392; in
Kafka only with the `RackAwareReplicaSelector`), which serves it as a follower would.
"""

from __future__ import annotations

from moldau.clock import Clock
from moldau.cluster.membership import Membership
from moldau.protocol.error_codes import NONE, NOT_LEADER_OR_FOLLOWER


class Steering:
    """See the module's text. `clock` never goes back, in ms."""

    def __init__(self, members: Membership, clock: Clock) -> None:
        self._members = members
        self._clock = clock

    def writer(self, partition_id: int) -> bool:
        """Whether a producer may stay here."""
        return self._members.moved_to(partition_id, self._clock()) is None

    def reader(self, partition_id: int, rack: str) -> tuple[int, int] | None:
        """Where a consumer in that rack (empty: unknown) goes: None, it stays; (NONE, node id), it reads there from now on;
        (NOT_LEADER_OR_FOLLOWER, node id), that is the leader.
        """
        members = self._members
        me = members.me
        if rack and rack == me.rack and not me.draining:
            return None
        leader = members.moved_to(partition_id, self._clock())
        if leader is not None:
            return NOT_LEADER_OR_FOLLOWER, leader
        near = members.in_rack(partition_id, rack) if rack else None
        return (NONE, near) if near is not None and near != me.node_id else None
