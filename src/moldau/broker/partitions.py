"""From a topic's name and a partition's index to its view, with Kafka's error codes for what is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes

if TYPE_CHECKING:
    from moldau.log.view import PartitionView

    from .broker import Broker


NO_EPOCH = -1
"""The client did not say which leader epoch it knows. Any other negative number is an epoch of long ago."""


class PartitionError(Exception):
    """There is no view to be had."""

    def __init__(self, error_code: int) -> None:
        super().__init__(error_codes.name(error_code))
        self.error_code = error_code


async def view_of(broker: Broker, name: str, index: int, current_leader_epoch: int = NO_EPOCH) -> PartitionView:
    """With all that was committed before this call. Raises PartitionError: unknown, fenced or too new an epoch (if one is given), or the store does not answer."""
    try:
        await broker.catalog.look_for([(name, index)])
        view = await _view(broker, name, index)
        if view is None and broker.catalog.shared:
            await broker.catalog.fresh()  # the topic was deleted by another broker, which may have made it anew
            view = await _view(broker, name, index)
    except StoreError as error:
        raise PartitionError(error_codes.KAFKA_STORAGE_ERROR) from error
    if view is None:
        raise PartitionError(error_codes.UNKNOWN_TOPIC_OR_PARTITION)
    if current_leader_epoch != NO_EPOCH and current_leader_epoch != view.leader_epoch:
        newer = current_leader_epoch > view.leader_epoch
        raise PartitionError(error_codes.UNKNOWN_LEADER_EPOCH if newer else error_codes.FENCED_LEADER_EPOCH)
    return view


async def _view(broker: Broker, name: str, index: int) -> PartitionView | None:
    topic = broker.catalog.by_name.get(name)
    if topic is None or not 0 <= index < len(topic.partition_ids):
        raise PartitionError(error_codes.UNKNOWN_TOPIC_OR_PARTITION)
    return await broker.refresher.refresh(topic.partition_ids[index])
