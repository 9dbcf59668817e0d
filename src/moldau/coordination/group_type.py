"""What the coordinator needs of a group and of its type.

Each type brings one `GroupType`; `moldau.coordination.types` names them.
"""

from __future__ import annotations

from typing import Any, Protocol

from moldau.metadata.rows_groups import GroupRecord

from .decision import Decision
from .events import Event, Heartbeat, OffsetCommit
from .listing import DescribedGroup, ListedGroup


class Group(Protocol):
    """A group in memory, whatever its type."""

    group_id: str
    wake_at: int
    """No deadline of the group is earlier; `NEVER` when it has none."""
    persisted: bool
    """The store has a record of it."""

    @property
    def is_empty(self) -> bool:
        """It has no members."""
        ...

    @property
    def is_blank(self) -> bool:
        """It may be forgotten: empty, never written, nobody expected."""
        ...

    def is_subscribed(self, topic_name: str) -> bool: ...

    def apply(self, record: GroupRecord, now: int) -> None: ...


class GroupType(Protocol):
    """Rules of one type of group. Methods decide; only `Group.apply` changes what survives a restart."""

    name: str
    """As ListGroups spells it."""
    kinds: frozenset[int]
    """Kinds of `GroupRecord` that belong to groups of this type."""
    owns: frozenset[type[Event]]
    """Events that `handle` takes (beside `Tick`)."""

    def create(self, group_id: str, now: int) -> Any: ...

    def admit(self, event: Event, other: tuple[GroupType, Any] | None, now: int, out: Decision) -> Any | None:
        """An event of this type came for a group that does not exist, or that is of another type: with that type and group as `other`.

        Returns the group to hand it to: a blank one, or one made of `other` (the decision's records must then end `other` and begin the new
        one, which `apply` makes of them; the group returned is for the decision only). Or None: then `out` has the reply, or `out.again`.
        """
        ...

    def handle(self, group: Any, event: Event, now: int, out: Decision) -> None: ...

    def heartbeat(self, group: Any, event: Heartbeat, now: int) -> int:
        """Answer a (classic) Heartbeat with an error code; writes nothing."""
        ...

    def loaded(self, group: Any, now: int, out: Decision) -> None:
        """All records of the group were applied; the broker begins to serve."""
        ...

    def write_failed(self, group: Any, now: int, out: Decision) -> None:
        """The records of the last decision could not be written; its replies have been answered with an error."""
        ...

    def validate_commit(self, group: Any, event: OffsetCommit) -> int: ...

    def committed(self, group: Any, event: OffsetCommit, now: int, out: Decision) -> None:
        """A valid commit: touch the member; add a record when the store does not know the group yet."""
        ...

    def validate_fetch(self, group: Any, member_id: str | None, member_epoch: int) -> int:
        """May who says to be that member (None: nobody) read the offsets?"""
        ...

    def validate_offset_delete(self, group: Any) -> int: ...

    def validate_delete(self, group: Any) -> int: ...

    def tombstones(self, group: Any) -> list[GroupRecord]: ...

    def offsets_expire_from(self, group: Any) -> int | None:
        """A time, `offsets.FROM_COMMIT`, or None while no offset may expire."""
        ...

    def listed(self, group: Any) -> ListedGroup: ...

    def described(self, group: Any) -> DescribedGroup:
        """As DescribeGroups has it; groups that are not classic are unknown to that."""
        ...

    def details(self, group: Any) -> Any:
        """What the type's own describe API answers with."""
        ...
