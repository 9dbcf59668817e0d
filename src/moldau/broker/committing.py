"""What OffsetCommit and TxnOffsetCommit have in common: which of the offsets that came are of topics and partitions that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes

if TYPE_CHECKING:
    from .broker import Broker


class _Answer(Protocol):
    error_code: int


P = TypeVar("P", bound=_Answer)
T = TypeVar("T")


class Sorted(Generic[T, P]):
    """`topics` is the response, in which the unknown have their errors; `known` the answers to `offsets`, in the same order."""

    __slots__ = ("has_unknown", "known", "offsets", "topics")

    def __init__(self) -> None:
        self.has_unknown = False
        self.topics: list[T] = []
        self.known: list[P] = []
        self.offsets: list[tuple[bytes, int, int, int, str | None]] = []
        """(topic id, partition, offset, leader epoch, metadata) each."""

    def answer(self, codes: list[int]) -> list[T]:
        """The response, with what became of each offset."""
        for answer, code in zip(self.known, codes, strict=True):
            answer.error_code = code
        return self.topics


async def sort_out(
    broker: Broker, asked_topics: list[Any], by_id: bool, of_topic: Callable[..., T], of_partition: Callable[..., P]
) -> Sorted[T, P]:
    """`asked_topics` are the request's; `of_topic` and `of_partition` make their answers.

    Unknown topics and partitions fail alone: UNKNOWN_TOPIC_OR_PARTITION, an unknown id UNKNOWN_TOPIC_ID; where it cannot be found out
    whether another broker made them, COORDINATOR_NOT_AVAILABLE.
    """
    refused = None
    try:
        await broker.catalog.look_for(
            (
                asked.topic_id if by_id else asked.name,
                max((each.partition_index for each in asked.partitions), default=-1),
            )
            for asked in asked_topics
        )
    except StoreError:
        refused = error_codes.COORDINATOR_NOT_AVAILABLE
    return _sorted(broker, asked_topics, by_id, of_topic, of_partition, refused)


def sort_out_now(
    broker: Broker, asked_topics: list[Any], by_id: bool, of_topic: Callable[..., T], of_partition: Callable[..., P]
) -> Sorted[T, P] | None:
    """As `sort_out`; None where others may have made topics that are not known here."""
    if broker.catalog.shared:
        return None
    return _sorted(broker, asked_topics, by_id, of_topic, of_partition, None)


def _sorted(
    broker: Broker,
    asked_topics: list[Any],
    by_id: bool,
    of_topic: Callable[..., T],
    of_partition: Callable[..., P],
    refused: int | None,
) -> Sorted[T, P]:
    """`refused`: what is said of the unknown where nobody could be asked about it."""
    found: Sorted[T, P] = Sorted()
    unknown = refused or (error_codes.UNKNOWN_TOPIC_ID if by_id else error_codes.UNKNOWN_TOPIC_OR_PARTITION)
    unknown_partition = refused or error_codes.UNKNOWN_TOPIC_OR_PARTITION
    for asked in asked_topics:
        topic = broker.catalog.by_id.get(asked.topic_id) if by_id else broker.catalog.by_name.get(asked.name)
        partitions: list[P] = []
        found.topics.append(of_topic(name=asked.name, topic_id=asked.topic_id, partitions=partitions))
        for each in asked.partitions:
            answer = of_partition(partition_index=each.partition_index)
            partitions.append(answer)
            if topic is None:
                answer.error_code = unknown
                found.has_unknown = True
            elif not 0 <= each.partition_index < len(topic.partition_ids):
                answer.error_code = unknown_partition
                found.has_unknown = True
            else:
                found.offsets.append(
                    (
                        topic.topic_id,
                        each.partition_index,
                        each.committed_offset,
                        each.committed_leader_epoch,
                        each.committed_metadata,
                    )
                )
                found.known.append(answer)
    return found
