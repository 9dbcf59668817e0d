"""A batch of a Produce request that is not in the log: what its partition's answer says, whichever way the request took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol import api_keys, error_codes

if TYPE_CHECKING:
    from moldau.protocol.messages.produce import PartitionProduceResponse

    from .broker import Broker


def refuse(
    broker: Broker, answer: PartitionProduceResponse, code: int, message: str | None, *, known: bool = False
) -> None:
    """Say why, and count it. `known`: the catalog has the partition; if that is gone all the same, the catalog is behind."""
    answer.error_code = code
    answer.error_message = message
    broker.metrics.errors[api_keys.PRODUCE, code] += 1
    if known and code == error_codes.UNKNOWN_TOPIC_OR_PARTITION:
        broker.catalog.suspect()
