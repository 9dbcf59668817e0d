"""Classic groups: joining, syncing, heartbeats, leaving; listing, describing and deleting them."""

from __future__ import annotations

import time
from typing import Any

from conversation import Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest
from moldau.protocol.messages.describe_groups import DescribeGroupsRequest
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.heartbeat import HeartbeatRequest
from moldau.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from moldau.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from moldau.protocol.messages.list_groups import ListGroupsRequest
from moldau.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

GROUP_APIS = (k.FIND_COORDINATOR, k.JOIN_GROUP, k.SYNC_GROUP, k.HEARTBEAT, k.LEAVE_GROUP)
# a subscription to nothing (ConsumerProtocolSubscription 0): Apache Kafka 4.3 never answers a member whose bytes are none
NOTHING = b"\0\0" + b"\0\0\0\0" + b"\xff\xff\xff\xff"
RANGE = [("range", NOTHING)]


def group_ready(c: Conversation, name: str = "g") -> str:
    """A group id of this scenario's own, once the coordinator answers for it."""
    group = f"{c.prefix}-{name}"
    for _ in range(200):
        time.sleep(0.01)
        if c.quiet(k.FIND_COORDINATOR, 3, FindCoordinatorRequest(key=group)).error_code:
            continue
        beat = HeartbeatRequest(group_id=group, generation_id=1, member_id="nobody")
        if c.quiet(k.HEARTBEAT, 3, beat).error_code == 25:  # UNKNOWN_MEMBER_ID: it is there and knows nobody
            return group
    raise AssertionError("no coordinator")


def join_body(
    group: str,
    version: int,
    *,
    member: str = "",
    instance: str | None = None,
    protocols: list[tuple[str, bytes]] = RANGE,
    kind: str = "consumer",
    session_ms: int = 10_000,
) -> JoinGroupRequest:
    body = JoinGroupRequest(
        group_id=group,
        session_timeout_ms=session_ms,
        member_id=member,
        protocol_type=kind,
        protocols=[JoinGroupRequestProtocol(name=n, metadata=m) for n, m in protocols],
    )
    if version >= 1:
        body.rebalance_timeout_ms = 10_000
    if version >= 5:
        body.group_instance_id = instance
    return body


def sync_body(
    group: str,
    version: int,
    generation: int,
    member: str,
    assignments: dict[str, bytes] | None = None,
    *,
    kind: str = "consumer",
    name: str = "range",
    instance: str | None = None,
) -> SyncGroupRequest:
    body = SyncGroupRequest(
        group_id=group,
        generation_id=generation,
        member_id=member,
        assignments=[SyncGroupRequestAssignment(member_id=m, assignment=a) for m, a in (assignments or {}).items()],
    )
    if version >= 3:
        body.group_instance_id = instance
    if version >= 5:
        body.protocol_type, body.protocol_name = kind, name
    return body


def join_alone(c: Conversation, group: str, **fields: Any) -> tuple[int, str]:
    """The only member of a stable group: generation and member id."""
    answer = c.quiet(k.JOIN_GROUP, 3, join_body(group, 3, **fields))
    assert answer.error_code == 0, f"JoinGroup answered error code {answer.error_code}"
    synced = c.quiet(
        k.SYNC_GROUP, 3, sync_body(group, 3, answer.generation_id, answer.member_id, {answer.member_id: b"mine"})
    )
    assert synced.error_code == 0, f"SyncGroup answered error code {synced.error_code}"
    return answer.generation_id, answer.member_id


@scenario(k.JOIN_GROUP, *GROUP_APIS)
def join_group(c: Conversation, version: int) -> None:
    group = group_ready(c)

    def ask(label: str, to: str, **fields: Any) -> Any:
        return c.ask(label, k.JOIN_GROUP, version, join_body(to, version, **fields), on=label)

    first = ask("without a member id", group)
    if version >= 4:
        first = ask("with the id it got", group, member=first.member_id)
    ask("empty group id", "")
    ask("unknown member", group, member="nobody-at-all")
    ask("session too short", group, session_ms=1)
    ask("session too long", group, session_ms=10_000_000)
    ask("another protocol type", group, kind="connect")
    ask("no protocol in common", group, protocols=[("sticky", NOTHING)])
    ask("no protocols", group, protocols=[])
    ask("no protocol type", f"{group}-2", kind="")
    ask("new group without protocols", f"{group}-3", protocols=[])
    if version >= 5:
        static = f"{group}-static"
        one = ask("static member", static, instance="i-1")
        ask("the same instance again", static, instance="i-1")
        ask("the fenced member", static, instance="i-1", member=one.member_id)
        ask("an instance nobody knows", static, instance="i-2", member="someone")
        ask("empty instance id", f"{group}-empty", instance="")


@scenario(k.SYNC_GROUP, *GROUP_APIS)
def sync_group(c: Conversation, version: int) -> None:
    group = group_ready(c)
    joined = c.quiet(k.JOIN_GROUP, 3, join_body(group, 3))
    generation, member = joined.generation_id, joined.member_id

    def ask(label: str, *args: Any, to: str = group, **fields: Any) -> Any:
        return c.ask(label, k.SYNC_GROUP, version, sync_body(to, version, *args, **fields), on=label)

    ask("unknown member", generation, "nobody")
    ask("wrong generation", generation + 5, member)
    ask("unknown group", 1, "nobody", to=f"{c.prefix}-none")
    ask("empty group id", 1, member, to="")
    if version >= 5:
        ask("another protocol", generation, member, {member: b"mine"}, name="sticky")
        ask("another type", generation, member, {member: b"mine"}, kind="connect")
    ask("the leader", generation, member, {member: b"mine"})
    ask("again, stable", generation, member)


@scenario(k.JOIN_GROUP, *GROUP_APIS)
def rebalance(c: Conversation, version: int) -> None:
    """Two members: the second joins, the first must join again, the second leaves."""
    group = group_ready(c)
    first = c.ask("first joins", k.JOIN_GROUP, version, join_body(group, version), on="a")
    if version >= 4:
        first = c.ask("first, named", k.JOIN_GROUP, version, join_body(group, version, member=first.member_id), on="a")
    a = first.member_id
    c.ask("first syncs", k.SYNC_GROUP, 3, sync_body(group, 3, first.generation_id, a, {a: b"all"}), on="a")
    named = ""
    if version >= 4:
        second = c.ask("second asks", k.JOIN_GROUP, version, join_body(group, version), on="b")
        named = second.member_id
    c.post(k.JOIN_GROUP, version, join_body(group, version, member=named), on="b")
    beat = HeartbeatRequest(group_id=group, generation_id=first.generation_id, member_id=a)
    for _ in range(200):
        if c.quiet(k.HEARTBEAT, 3, beat).error_code == 27:  # REBALANCE_IN_PROGRESS
            break
    c.ask("first hears of it", k.HEARTBEAT, 3, beat, on="a")
    c.ask("first syncs too late", k.SYNC_GROUP, 3, sync_body(group, 3, first.generation_id, a), on="a")
    again = c.ask("first joins again", k.JOIN_GROUP, version, join_body(group, version, member=a), on="a")
    second = c.take("second is in", on="b")
    b = second.member_id
    c.post(k.SYNC_GROUP, 3, sync_body(group, 3, second.generation_id, b), on="b")
    shares = {a: b"half", b: b"other half"}
    c.ask("leader shares out", k.SYNC_GROUP, 3, sync_body(group, 3, again.generation_id, a, shares), on="a")
    c.take("second gets its share", on="b")
    c.ask("second leaves", k.LEAVE_GROUP, 2, LeaveGroupRequest(group_id=group, member_id=b), on="b")
    beat = HeartbeatRequest(group_id=group, generation_id=again.generation_id, member_id=a)
    c.ask("first hears of that", k.HEARTBEAT, 3, beat, on="a")
    last = c.ask("first joins once more", k.JOIN_GROUP, version, join_body(group, version, member=a), on="a")
    c.ask("first alone", k.SYNC_GROUP, 3, sync_body(group, 3, last.generation_id, a, {a: b"all"}), on="a")


@scenario(k.HEARTBEAT, *GROUP_APIS)
def heartbeat(c: Conversation, version: int) -> None:
    group = group_ready(c)
    generation, member = join_alone(c, group)

    def ask(label: str, to: str, gen: int, who: str, instance: str | None = None) -> None:
        body = HeartbeatRequest(group_id=to, generation_id=gen, member_id=who)
        if version >= 3:
            body.group_instance_id = instance
        c.ask(label, k.HEARTBEAT, version, body)

    ask("alive", group, generation, member)
    ask("wrong generation", group, generation + 1, member)
    ask("unknown member", group, generation, "nobody")
    ask("unknown group", f"{c.prefix}-none", 1, "nobody")
    ask("empty group id", "", 1, member)
    if version >= 3:
        ask("unknown instance", group, generation, member, "i-9")


@scenario(k.LEAVE_GROUP, *GROUP_APIS)
def leave_group(c: Conversation, version: int) -> None:
    group = group_ready(c)
    _, member = join_alone(c, group)

    def ask(label: str, to: str, *members: tuple[str, str | None]) -> None:
        if version >= 3:
            leaving = [MemberIdentity(member_id=m, group_instance_id=i) for m, i in members]
            body = LeaveGroupRequest(group_id=to, members=leaving)
        else:
            body = LeaveGroupRequest(group_id=to, member_id=members[0][0])
        c.ask(label, k.LEAVE_GROUP, version, body)

    ask("unknown member", group, ("nobody", None))
    ask("unknown group", f"{c.prefix}-none", ("nobody", None))
    ask("empty group id", "", (member, None))
    if version >= 3:
        ask("two, one known", group, ("nobody", None), (member, None))
        static = group_ready(c, "static")
        c.quiet(k.JOIN_GROUP, 5, join_body(static, 5, instance="i-1"))
        ask("unknown instance", static, ("", "i-9"))
        ask("instance with another id", static, ("nobody", "i-1"))
        ask("by instance", static, ("", "i-1"))
        ask("nobody", group)
    else:
        ask("member", group, (member, None))
    ask("again", group, (member, None))


@scenario(k.DESCRIBE_GROUPS, *GROUP_APIS)
def describe_groups(c: Conversation, version: int) -> None:
    group = group_ready(c)
    join_alone(c, group)
    static = group_ready(c, "static")
    if version >= 4:
        c.quiet(k.JOIN_GROUP, 5, join_body(static, 5, instance="i-1"))

    def ask(label: str, *groups: str, **fields: bool) -> None:
        c.ask(label, k.DESCRIBE_GROUPS, version, DescribeGroupsRequest(groups=list(groups), **fields))

    ask("stable", group)
    ask("unknown", f"{c.prefix}-none")
    ask("two", group, f"{c.prefix}-none")
    ask("none")
    if version >= 3:
        ask("operations", group, include_authorized_operations=True)
    if version >= 4:
        ask("before the leader synced", static)


@scenario(k.LIST_GROUPS, *GROUP_APIS)
def list_groups(c: Conversation, version: int) -> None:
    group, empty = group_ready(c), group_ready(c, "empty")
    join_alone(c, group)
    _, member = join_alone(c, empty)
    c.quiet(k.LEAVE_GROUP, 2, LeaveGroupRequest(group_id=empty, member_id=member))

    def ask(label: str, **fields: Any) -> None:
        wire = c.wire()
        wire.send(k.LIST_GROUPS, version, ListGroupsRequest(**fields))
        answer = wire.receive()
        answer.groups = [g for g in getattr(answer, "groups", []) if g.group_id.startswith(c.prefix + "-")]
        c.note(label, answer)

    ask("all")
    if version >= 4:
        for states in (["Stable"], ["Empty"], ["stable"], ["Dead", "Empty"], ["Nonsense"]):
            ask(f"states {states}", states_filter=states)
    if version >= 5:
        for types in (["classic"], ["Classic"], ["consumer"], ["nonsense"]):
            ask(f"types {types}", types_filter=types)


@scenario(k.DELETE_GROUPS, *GROUP_APIS)
def delete_groups(c: Conversation, version: int) -> None:
    group, empty = group_ready(c), group_ready(c, "empty")
    join_alone(c, group)
    _, member = join_alone(c, empty)
    c.quiet(k.LEAVE_GROUP, 2, LeaveGroupRequest(group_id=empty, member_id=member))

    def ask(label: str, *groups: str) -> None:
        c.ask(label, k.DELETE_GROUPS, version, DeleteGroupsRequest(groups_names=list(groups)))

    ask("with a member", group)
    ask("unknown", f"{c.prefix}-none")
    ask("two", group, empty)
    ask("gone", empty)
    ask("none")
