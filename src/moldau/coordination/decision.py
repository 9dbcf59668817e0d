"""What a coordinator decided about one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

from .value import Value

if TYPE_CHECKING:
    from .events import Event

NEVER = 2**63 - 1
"""The deadline of who waits for nothing."""


class Computation(Value):
    """Work that is too long for the event loop. A thread does it once the decision's records are applied; what comes of it is an event.

    `work` must take with it what it needs: the group goes on meanwhile. `then` makes the event of the group of what `work` returned or
    raised. When the coordinator closes first there is no event.
    """

    __slots__ = ("then", "work")

    def __init__(self, work: Callable[[], Any], then: Callable[[Any, Exception | None], Event]) -> None:
        self.work = work
        self.then = then


class Standing(Protocol):
    """How things stood when an event changed nothing but a deadline."""

    @property
    def group(self) -> Any:
        """The group that it was decided in."""
        ...

    def repeat(self, now: int) -> bool:
        """Do what deciding the very same event does, if it would do and answer the same again; else do nothing, and say False."""
        ...


class Decision(Value):
    """What to write, whom to answer, and when to ask again (Kafka's CoordinatorResult).

    `records`, `offsets` and `deleted_offsets` are written as one transaction. Then each record is applied to the
    group, with the `apply` that recovery uses too, and only then the replies leave. Until that has happened no other
    event of the group may be decided. A decision that writes nothing is answered at once.

    `again` is an event to be decided anew as soon as the records are applied, before any other of the group: what was written has only
    cleared its way. `computation` is begun then, too. `standing` is there when nothing changed, and the same may be said again.
    """

    __slots__ = ("again", "computation", "deadline", "deleted_offsets", "offsets", "records", "replies", "standing")

    def __init__(self) -> None:
        self.records: list[GroupRecord] = []
        self.offsets: list[OffsetRow] = []
        self.deleted_offsets: list[OffsetKey] = []
        self.replies: list[tuple[Any, Any]] = []
        self.deadline = NEVER
        self.again: Event | None = None
        self.computation: Computation | None = None
        self.standing: Standing | None = None

    def reply(self, ticket: Any, reply: Any) -> None:
        """Answer `ticket`, which may be of this event or of an earlier one that was parked."""
        self.replies.append((ticket, reply))

    @property
    def writes(self) -> bool:
        return bool(self.records or self.offsets or self.deleted_offsets)
