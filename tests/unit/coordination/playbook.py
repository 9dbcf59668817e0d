"""A rebalance as a dialogue: events in, replies out, compared as text so that a difference reads like a story.

    Playbook().join("a").said("join a: MEMBER_ID_REQUIRED id=a-1").join("a", "a-1").quiet().after(3_000).said(
        "join a: generation 1 range id=a-1 leader=a-1 members=a-1"
    )

Steps hand in an event, let time pass, or restart the broker; `said` compares every reply since the last look.
"""

from __future__ import annotations

from typing import Any

from moldau.coordination.config import GroupConfig
from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.events import (
    DeleteGroup,
    Event,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    LeavingMember,
    OffsetCommit,
    OffsetDelete,
    SyncGroup,
    Tick,
)
from moldau.coordination.groups import Groups
from moldau.coordination.replies import JoinReply, LeaveReply, OffsetDeleteReply, SyncReply, failed, refusal
from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow
from moldau.protocol import error_codes

GROUP = "g"
TOPIC = b"\x11" * 16
START = 1_000_000


def subscription(*topics: str) -> bytes:
    """Consumer protocol subscription, version 0."""
    out = (0).to_bytes(2, "big") + len(topics).to_bytes(4, "big")
    for topic in topics:
        out += len(topic).to_bytes(2, "big") + topic.encode()
    return out + b"\xff\xff\xff\xff"


RANGE = (("range", subscription("t")),)


class Playbook:
    """Groups, a store that is a dict, and a clock that jumps.

    Members are named by what stands before the dash in their member id: `join("a")` of an unknown member is given the id `a-1`,
    the next time `a-2`. Tickets are `<verb> <member>`, and every reply becomes one line of `lines`.
    """

    def __init__(self, **config: int) -> None:
        self.config = GroupConfig(**config)
        self.now = START
        self.groups = self.make_groups()
        self.records: dict[tuple[int, str, str], GroupRecord] = {}
        self.offsets: dict[OffsetKey, OffsetRow] = {}
        self.lines: list[str] = []
        self.open: set[str] = set()
        self.written = 0
        self.store_fails = False
        self._joins: dict[str, int] = {}
        self._tickets = 0

    def make_groups(self) -> Groups:
        return Groups(self.config)

    # -- steps

    def join(
        self, name: str, member_id: str = "", protocols: Any = RANGE, kind: str = "consumer", **more: Any
    ) -> Playbook:
        """A JoinGroup of `name`; the default is a new member that asks for its id first (JoinGroup 4+)."""
        if not member_id:
            self._joins[name] = self._joins.get(name, 0) + 1
        values = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 60_000, "client_id": name} | more
        new_id = f"{name}-{self._joins.get(name, 0)}"
        return self.hand_in("join", name, JoinGroup(GROUP, member_id, new_id, kind, protocols, **values))

    def come(self, *names: str, **more: Any) -> Playbook:
        """Members without an id join at once (JoinGroup below 4)."""
        for name in names:
            self.join(name, requires_known_member_id=False, **more)
        return self

    def sync(
        self, member_id: str, generation: int, assignments: dict[str, bytes] | None = None, **more: Any
    ) -> Playbook:
        return self.hand_in("sync", _name(member_id), SyncGroup(GROUP, member_id, generation, assignments, **more))

    def beat(self, member_id: str, generation: int, instance_id: str | None = None) -> Playbook:
        return self.hand_in("heartbeat", _name(member_id), Heartbeat(GROUP, member_id, generation, instance_id))

    def leave(self, *members: str | tuple[str, str]) -> Playbook:
        """By member id, or by (member id, instance id)."""
        leaving = [LeavingMember(m) if isinstance(m, str) else LeavingMember(*m) for m in members]
        name = "+".join(_name(m.member_id) or str(m.instance_id) for m in leaving)
        return self.hand_in("leave", name, LeaveGroup(GROUP, leaving))

    def commit(
        self,
        member_id: str,
        generation: int,
        offset: int = 1,
        metadata: str | None = "",
        partition: int = 0,
        **more: Any,
    ) -> Playbook:
        event = OffsetCommit(
            GROUP, member_id, generation, [(TOPIC, partition, offset, -1, metadata)], commit_timestamp=self.now, **more
        )
        return self.hand_in("commit", _name(member_id), event)

    def delete_offsets(self, *topics: str) -> Playbook:
        return self.hand_in("delete-offsets", "", OffsetDelete(GROUP, [(topic, TOPIC, 0) for topic in topics]))

    def delete(self) -> Playbook:
        return self.hand_in("delete", "", DeleteGroup(GROUP, [key for key in self.offsets if key.group == GROUP]))

    def after(self, ms: int) -> Playbook:
        """Time passes; timers go off at their own time, not at the end."""
        end = self.now + ms
        while (deadline := self.groups.deadline(GROUP)) <= end:
            self.now = max(self.now, deadline)
            self._carry_out(Tick(GROUP))
        self.now = end
        return self

    def restart(self) -> Playbook:
        """The broker dies and comes back: only records remain, and nobody answers what was parked."""
        self.groups = self.make_groups()
        self.groups.load(sorted(self.records.values()), self.now)
        self.open.clear()
        return self

    # -- what came of it

    @property
    def group(self) -> Any:
        return self.groups.get(GROUP)

    @property
    def state(self) -> str:
        """`Stable 3 leader=a-1 members=a-1,b-1`"""
        group = self.group
        if group is None:
            return "gone"
        leader = f" leader={group.leader_id}" if group.leader_id else ""
        members = f" members={','.join(group.members)}" if group.members else ""
        return f"{group.state} {group.generation_id}{leader}{members}"

    def said(self, *expected: str) -> Playbook:
        """Everything said since the last check, no more and no less, and in that order."""
        lines, self.lines = self.lines, []
        assert lines == list(expected)
        return self

    def quiet(self) -> Playbook:
        return self.said()

    def forget(self) -> Playbook:
        """Do not look at what was said so far."""
        self.lines.clear()
        return self

    def hand_in(self, verb: str, name: str, event: Event) -> Playbook:
        self._tickets += 1
        event.ticket = f"{verb} {name}".strip() + f"#{self._tickets}"
        self.open.add(event.ticket)
        self._carry_out(event)
        return self

    def _carry_out(self, event: Event) -> None:
        """What the runtime does, without its waiting."""
        decision = self.groups.handle(event, self.now)
        self._write(event.group_id, decision)
        for ticket, reply in decision.replies:
            self.open.remove(ticket)  # a second answer to the same event is a KeyError here
            self.lines.append(f"{ticket.partition('#')[0]}: {self.told(reply)}")
        if decision.again is not None:
            self._carry_out(decision.again)

    def told(self, reply: Any) -> str:
        return told(reply)

    def _write(self, group_id: str, decision: Decision) -> None:
        if not decision.writes:
            return
        if self.store_fails:
            code = error_codes.COORDINATOR_NOT_AVAILABLE
            decision.replies = [(ticket, failed(reply, code)) for ticket, reply in decision.replies]
            if decision.records:
                decision.replies += self.groups.write_failed(group_id, self.now).replies
            if decision.again is not None:
                decision.replies.append((decision.again.ticket, refusal(decision.again, code)))
                decision.again = None
            return
        self.written += 1
        for record in decision.records:
            if record.value is None:
                self.records.pop(record[:3], None)
            else:
                self.records[record[:3]] = GroupRecord(*record)
            self.groups.apply(record, self.now)
        for key in decision.deleted_offsets:
            self.offsets.pop(key, None)
        for row in decision.offsets:
            self.offsets[row.key] = row


def stable(*names: str, **config: int) -> Playbook:
    """A stable group in generation 1: `a-1` leads, each member is assigned its own name."""
    play = Playbook(group_initial_rebalance_delay_ms=0, **config).come(*names).after(1)
    for name in names[1:]:
        play.sync(f"{name}-1", 1)
    play.sync(f"{names[0]}-1", 1, {f"{name}-1": name.encode() for name in names})
    assert play.state == f"Stable 1 leader={names[0]}-1 members={','.join(f'{n}-1' for n in names)}"
    return play.forget()


def told(reply: Any) -> str:
    """One line that says all of a reply that matters."""
    match reply:
        case int():
            return error_codes.name(reply)
        case list():
            return ",".join(error_codes.name(code) for code in reply)
        case JoinReply() if reply.error_code:
            return f"{error_codes.name(reply.error_code)} id={reply.member_id}"
        case JoinReply():
            skip = " skip" if reply.skip_assignment else ""
            members = f" members={','.join(m[0] for m in reply.members)}" if reply.members else ""
            return f"generation {reply.generation_id} {reply.protocol_name} id={reply.member_id} leader={reply.leader}{skip}{members}"
        case SyncReply() if reply.error_code:
            return error_codes.name(reply.error_code)
        case SyncReply():
            return f"assigned {reply.assignment.decode()!r}"
        case LeaveReply() if reply.error_code:
            return error_codes.name(reply.error_code)
        case LeaveReply():
            return ",".join(error_codes.name(code) for _, _, code in reply.members)
        case OffsetDeleteReply() if reply.error_code:
            return error_codes.name(reply.error_code)
        case OffsetDeleteReply():
            return ",".join(error_codes.name(code) for code in reply.errors)
    raise TypeError(reply)


def _name(member_id: str) -> str:
    return member_id.rpartition("-")[0]


__all__ = ["GROUP", "NEVER", "RANGE", "START", "TOPIC", "Playbook", "stable", "subscription", "told"]
