"""Records of dead-letter topics (KIP-1191): where a record was, who gave it up and why, and the record itself if the group wants a copy. Pure.

Headers, all of them text:

    __dlq.errors.topic            the topic
    __dlq.errors.partition        the partition
    __dlq.errors.offset           the offset
    __dlq.errors.group            the share group
    __dlq.errors.delivery.count   how often it was delivered
    __dlq.errors.message          why it was given up

A copy has the record's key and value; its own headers are not copied. The timestamp is that of the letter. Kafka: ShareGroupDLQRecordHelper.
"""

from __future__ import annotations

from moldau.coordination.share.partition import Letter
from moldau.records.record import Record

REJECTED = b"Offset rejected by client."
DELIVERED_TOO_OFTEN = b"Offset delivery count exceeded the threshold."
_OVERHEAD = 21
"""Of a record beside its fields, at most."""
_FIELD_OVERHEAD = 5


class Origin:
    """What the letters of one share-partition have in common."""

    __slots__ = ("_group", "_partition", "_topic")

    def __init__(self, group: str, topic: str, partition: int) -> None:
        self._group = group.encode()
        self._topic = topic.encode()
        self._partition = str(partition).encode()

    def record(self, letter: Letter, offset: int, now: int, original: Record | None) -> Record:
        """The letter about one offset; `original` is copied, if it is there."""
        context: list[tuple[str, bytes | None]] = [
            ("__dlq.errors.topic", self._topic),
            ("__dlq.errors.partition", self._partition),
            ("__dlq.errors.offset", str(offset).encode()),
            ("__dlq.errors.group", self._group),
            ("__dlq.errors.delivery.count", str(letter.deliveries).encode()),
            ("__dlq.errors.message", REJECTED if letter.rejected else DELIVERED_TOO_OFTEN),
        ]
        if original is None:
            return Record(0, now, None, None, context)
        return Record(0, now, original.key, original.value, context)


def size_of(record: Record) -> int:
    """How many bytes it takes in a batch, at most."""
    size = _OVERHEAD + len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        # a character takes four bytes at most
        size += (len(name) if name.isascii() else 4 * len(name)) + len(value or b"") + 2 * _FIELD_OVERHEAD
    return size
