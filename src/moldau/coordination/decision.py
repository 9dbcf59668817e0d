"""What a coordinator decided about one event."""

from __future__ import annotations

from typing import Any

from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

from .value import Value

NEVER = 2**63 - 1
"""The deadline of who waits for nothing."""


class Decision(Value):
    """What to write, whom to answer, and when to ask again (Kafka's CoordinatorResult).

    `records`, `offsets` and `deleted_offsets` are written as one transaction. Then each record is applied to the
    group, with the `apply` that recovery uses too, and only then the replies leave. Until that has happened no other
    event of the group may be decided. A decision that writes nothing is answered at once.
    """

    __slots__ = ("deadline", "deleted_offsets", "offsets", "records", "replies")

    def __init__(self) -> None:
        self.records: list[GroupRecord] = []
        self.offsets: list[OffsetRow] = []
        self.deleted_offsets: list[OffsetKey] = []
        self.replies: list[tuple[Any, Any]] = []
        self.deadline = NEVER

    def reply(self, ticket: Any, reply: Any) -> None:
        """Answer `ticket`, which may be of this event or of an earlier one that was parked."""
        self.replies.append((ticket, reply))

    @property
    def writes(self) -> bool:
        return bool(self.records or self.offsets or self.deleted_offsets)
