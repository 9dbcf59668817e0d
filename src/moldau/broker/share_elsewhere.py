"""What members of share groups are told of partitions that are at home at another broker (KIP-951)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .broker import Broker
    from .share_sessions import Place


def leader_of(broker: Broker, place: Place) -> tuple[int, int] | None:
    """(node id, leader epoch) of the partition's leader; None when it is not known here."""
    topic = broker.catalog.by_id.get(place[0])
    if topic is None or not 0 <= place[1] < len(topic.partition_ids):
        return None
    partition_id = topic.partition_ids[place[1]]
    return broker.members.partition_leader(partition_id), broker.leader_epoch_of(partition_id)
