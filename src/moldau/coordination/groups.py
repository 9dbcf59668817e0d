"""All groups of a coordinator, and how an event finds its group. Pure: no clock, no store, no loop.

`handle` decides, `apply` changes. What is here is what does not depend on the type of a group: unknown groups, limits
of requests, offsets, deletion, lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import (
    COORDINATOR_NOT_AVAILABLE,
    GROUP_ID_NOT_FOUND,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    INVALID_GROUP_ID,
    INVALID_SESSION_TIMEOUT,
    NONE,
    UNKNOWN_MEMBER_ID,
)

from . import offsets
from .classic.type import ClassicType
from .config import GroupConfig
from .decision import NEVER, Decision
from .events import (
    DeleteGroup,
    Event,
    ExpireOffsets,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    OffsetCommit,
    OffsetDelete,
    SyncGroup,
    Tick,
)
from .listing import DescribedGroup, ListedGroup, unknown_group
from .packing import RecordFormatError
from .replies import JoinReply, LeaveReply, OffsetDeleteReply, SyncReply
from .types import modern_type, type_of_kind

if TYPE_CHECKING:
    from .group_type import Group, GroupType
    from .surroundings import Surroundings


class Groups:
    """The groups by id, each with its type."""

    __slots__ = ("_around", "_classic", "_groups", "_handlers", "_types_by_kind", "config")

    def __init__(self, config: GroupConfig, around: Surroundings | None = None) -> None:
        """Without surroundings there are classic groups only."""
        self.config = config
        self._groups: dict[str, tuple[GroupType, Any]] = {}
        self._classic: GroupType = ClassicType(config)
        self._types_by_kind: dict[int, GroupType] = {}
        self._handlers: dict[type[Event], Callable[[Any, int, Decision], None]] = {
            JoinGroup: self._join,
            SyncGroup: self._sync,
            Heartbeat: self._heartbeat,
            LeaveGroup: self._leave,
            OffsetCommit: self._commit,
            OffsetDelete: self._delete_offsets,
            DeleteGroup: self._delete_group,
            ExpireOffsets: self._expire_offsets,
            Tick: self._tick,
        }
        self._around = around
        self.register(self._classic)

    def register(self, group_type: GroupType) -> None:
        """Another type of group: its records will be read, and the events that it alone owns are handed to it."""
        for kind in group_type.kinds:
            self._types_by_kind[kind] = group_type
        for event_type in group_type.owns:
            self._handlers.setdefault(event_type, partial(self._owned, group_type))

    def _need(self, name: str | None) -> None:
        """The first group or event of a type is here."""
        if name and self._around is not None:
            self.register(modern_type(name, self._around))

    def get(self, group_id: str) -> Group | None:
        found = self._groups.get(group_id)
        return None if found is None else found[1]

    def __len__(self) -> int:
        return len(self._groups)

    def ids(self) -> list[str]:
        return list(self._groups)

    # -- the three verbs

    def handle(self, event: Event, now: int) -> Decision:
        """Decide about one event.

        Nothing else of this group may be decided before the decision's records are applied.
        """
        out = Decision()
        handler = self._handlers.get(type(event))
        if handler is None:
            self._need(event.owner)
            handler = self._handlers[type(event)]
        handler(event, now, out)
        return self._close(event.group_id, out)

    def apply(self, record: GroupRecord, now: int) -> None:
        """Take over a record that is durable now (live), or was found in the store (recovery)."""
        found = self._groups.get(record.group)
        if found is None:
            if record.value is None:
                return
            if record.kind not in self._types_by_kind:
                self._need(type_of_kind(record.kind))
            group_type = self._types_by_kind.get(record.kind)
            if group_type is None:
                raise RecordFormatError(
                    f"record of kind {record.kind} of group {record.group!r}; known are {sorted(self._types_by_kind)}"
                )
            found = self._groups[record.group] = (group_type, group_type.create(record.group, now))
        found[1].apply(record, now)
        if record.value is None and not found[1].persisted:
            del self._groups[record.group]

    def write_failed(self, group_id: str, now: int) -> Decision:
        """The records of the group's last decision could not be written; answers what that leads to."""
        out = Decision()
        found = self._groups.get(group_id)
        if found is not None:
            found[0].write_failed(found[1], now, out)
        return self._close(group_id, out)

    def load(self, records: Iterable[GroupRecord], now: int) -> list[str]:
        """Fold all records of the store; sessions begin anew. Returns the ids of groups that have a deadline."""
        for record in records:
            self.apply(record, now)
        for group_type, group in list(self._groups.values()):
            group_type.loaded(group, now, Decision())
        return [group_id for group_id, (_, group) in self._groups.items() if group.wake_at != NEVER]

    def deadline(self, group_id: str) -> int:
        """When the group wants a `Tick`; too early is fine."""
        found = self._groups.get(group_id)
        return NEVER if found is None else found[1].wake_at

    def _close(self, group_id: str, out: Decision) -> Decision:
        found = self._groups.get(group_id)
        if found is not None:
            if found[1].is_blank and not out.records:
                del self._groups[group_id]
            else:
                out.deadline = found[1].wake_at
        return out

    # -- members

    def _owned(self, owner: GroupType, event: Event, now: int, out: Decision) -> None:
        """An event that only groups of one type understand."""
        found = self._groups.get(event.group_id)
        if found is not None and found[0] is owner:
            owner.handle(found[1], event, now, out)
        else:
            group = owner.admit(event, found, now, out)
            if group is not None:
                owner.handle(group, event, now, out)

    def _join(self, event: JoinGroup, now: int, out: Decision) -> None:
        config = self.config
        if not event.group_id:
            out.reply(event.ticket, JoinReply(INVALID_GROUP_ID, event.member_id))
            return
        timeout = event.session_timeout_ms
        if not config.group_min_session_timeout_ms <= timeout <= config.group_max_session_timeout_ms:
            out.reply(event.ticket, JoinReply(INVALID_SESSION_TIMEOUT, event.member_id))
            return
        found = self._groups.get(event.group_id)
        if found is None or (found[0] is not self._classic and found[1].is_empty):
            group = self._classic.admit(event, found, now, out)
            if group is None:
                return
            found = self._groups[event.group_id] = (self._classic, group)
        if JoinGroup in found[0].owns:
            found[0].handle(found[1], event, now, out)
        else:
            out.reply(event.ticket, JoinReply(INCONSISTENT_GROUP_PROTOCOL, event.member_id))

    def _sync(self, event: SyncGroup, now: int, out: Decision) -> None:
        found = self._member_of(event)
        if found is None:
            out.reply(event.ticket, SyncReply(UNKNOWN_MEMBER_ID if event.group_id else INVALID_GROUP_ID))
        else:
            found[0].handle(found[1], event, now, out)

    def _heartbeat(self, event: Heartbeat, now: int, out: Decision) -> None:
        out.reply(event.ticket, self.heartbeat(event, now))

    def heartbeat(self, event: Heartbeat, now: int) -> int:
        """Answer a heartbeat at once: it never writes anything."""
        found = self._groups.get(event.group_id) if event.group_id else None
        if found is None:
            return UNKNOWN_MEMBER_ID if event.group_id else INVALID_GROUP_ID
        return found[0].heartbeat(found[1], event, now)

    def _leave(self, event: LeaveGroup, now: int, out: Decision) -> None:
        found = self._member_of(event)
        if found is not None:
            found[0].handle(found[1], event, now, out)
        elif not event.group_id:
            out.reply(event.ticket, LeaveReply(INVALID_GROUP_ID, []))
        else:
            gone = [(member.member_id, member.instance_id, UNKNOWN_MEMBER_ID) for member in event.members]
            out.reply(event.ticket, LeaveReply(NONE, gone))

    def _member_of(self, event: Event) -> tuple[GroupType, Any] | None:
        """The group, if members of it may send that. The empty id may have offsets, and never has members."""
        found = self._groups.get(event.group_id) if event.group_id else None
        return found if found is not None and type(event) in found[0].owns else None

    def _tick(self, event: Tick, now: int, out: Decision) -> None:
        found = self._groups.get(event.group_id)
        if found is not None:
            found[0].handle(found[1], event, now, out)

    # -- offsets

    def _commit(self, event: OffsetCommit, now: int, out: Decision) -> None:
        found = self._groups.get(event.group_id)
        if found is not None:
            group_type, group = found
            error = group_type.validate_commit(group, event)
        elif event.generation_id < 0:
            # A consumer that assigns partitions to itself, or an administrator: its first commit makes the group.
            group_type, group, error = self._classic, self._classic.create(event.group_id, now), NONE
        else:
            error = GROUP_ID_NOT_FOUND if event.knows_group_id_not_found else ILLEGAL_GENERATION
        if error != NONE:
            out.reply(event.ticket, [error] * len(event.offsets))
            return
        out.offsets, errors = offsets.commit_rows(event, self.config.offset_metadata_max_bytes)
        group_type.committed(group, event, now, out)
        if not out.offsets:
            out.records.clear()
        out.reply(event.ticket, errors)

    def commits_again(self, event: OffsetCommit, now: int) -> bool:
        """Whether the event, which was valid once, would be decided to be nothing but offsets to write; then what that does besides is done."""
        found = self._groups.get(event.group_id)
        if found is None or found[0].validate_commit(found[1], event) != NONE:
            return False
        out = Decision()
        found[0].committed(found[1], event, now, out)
        return not out.records

    def validate_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> int:
        """May who says to be that member read the group's offsets? Of an unknown group anybody may: there are none."""
        found = self._groups.get(group_id)
        return NONE if found is None else found[0].validate_fetch(found[1], member_id, member_epoch)

    def _delete_offsets(self, event: OffsetDelete, now: int, out: Decision) -> None:
        found = self._groups.get(event.group_id)
        if not event.group_id:
            out.reply(event.ticket, OffsetDeleteReply(INVALID_GROUP_ID, []))
        elif found is None:
            out.reply(event.ticket, OffsetDeleteReply(GROUP_ID_NOT_FOUND, []))
        elif (error := found[0].validate_offset_delete(found[1])) != NONE:
            out.reply(event.ticket, OffsetDeleteReply(error, []))
        else:
            out.deleted_offsets, errors = offsets.delete_keys(event, found[1].is_subscribed)
            out.reply(event.ticket, OffsetDeleteReply(NONE, errors))

    def _expire_offsets(self, event: ExpireOffsets, now: int, out: Decision) -> None:
        out.deleted_offsets = event.offsets
        found = self._groups.get(event.group_id)
        if found is not None and not event.rest and found[1].is_empty:
            out.records = found[0].tombstones(found[1])

    def offsets_expire_from(self, group_id: str) -> int | None:
        """From when the offsets of that group age; those of a group that is gone age from their commit."""
        found = self._groups.get(group_id)
        return offsets.FROM_COMMIT if found is None else found[0].offsets_expire_from(found[1])

    # -- administration

    def _delete_group(self, event: DeleteGroup, now: int, out: Decision) -> None:
        found = self._groups.get(event.group_id)
        error = GROUP_ID_NOT_FOUND if found is None else found[0].validate_delete(found[1])
        if found is not None and error == NONE:
            out.records = found[0].tombstones(found[1])
            out.deleted_offsets = event.offsets
        out.reply(event.ticket, error)

    def list(self, states: Iterable[str] = (), types: Iterable[str] = ()) -> list[ListedGroup]:
        """Groups in one of `states` and of one of `types`, whatever their case; an empty filter lets all through."""
        states_wanted = {state.strip().lower() for state in states}
        types_wanted = {name.strip().lower() for name in types}
        listed = []
        for group_type, group in self._groups.values():
            if types_wanted and group_type.name not in types_wanted:
                continue
            entry = group_type.listed(group)
            if not states_wanted or entry.state.lower() in states_wanted:
                listed.append(entry)
        return listed

    def describe(self, group_id: str) -> DescribedGroup:
        found = self._groups.get(group_id)
        return unknown_group(group_id) if found is None else found[0].described(found[1])

    def details(self, type_name: str, group_id: str) -> tuple[str | None, Any]:
        """What the describe API of a type answers with: (None, details), or (why not, None): GROUP_ID_NOT_FOUND."""
        found = self._groups.get(group_id)
        if found is None:
            return f"Group {group_id} not found.", None
        if found[0].name != type_name:
            return f"Group {group_id} is not a {type_name} group.", None
        return None, found[0].details(found[1])


WRITE_FAILED = COORDINATOR_NOT_AVAILABLE
"""What clients are told when the store could not take a decision: they look for the coordinator again and retry."""
