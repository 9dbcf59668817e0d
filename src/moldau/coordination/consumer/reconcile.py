"""How a member comes from what it has to its target: gives up first, then is given. Pure.

    stable       at the target's epoch: nothing to do
                 the target is newer: give up what is not in it (then unrevoked); if nothing is, get what is free (stable, or unreleased
                 when some is still another's) and come to the target's epoch
    unrevoked    stays in its epoch until it says what it owns and none of `revoking` is in that; then as above
    unreleased   gets what has become free; stable when it has all

A partition is another's as long as any member has it in `assigned` or `revoking`: so it never has two owners (KIP-848; Kafka's
CurrentAssignmentBuilder). A member that has changed its subscription gives up at once what it no longer subscribes to, also before there
is a new target.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from .events import Partitions
from .member import STABLE, UNRELEASED, UNREVOKED, Assigned, ConsumerMember

IsTaken = Callable[[bytes, int], bool]
"""Whether a member, whichever, has that partition of a topic id."""


def reconcile(
    member: ConsumerMember,
    target_epoch: int,
    owned: Partitions | None,
    is_taken: IsTaken,
    subscribed: Collection[bytes],
    subscription_changed: bool,
) -> ConsumerMember:
    """The member after one heartbeat in which it said what it owns (None: it said nothing). `subscribed` are ids of topics."""
    if member.state == STABLE and member.member_epoch == target_epoch:
        return _give_up_unsubscribed(member, owned, subscribed) if subscription_changed else member
    if member.state == UNREVOKED and _owns_any(owned, member.revoking):
        return _give_up_unsubscribed(member, owned, subscribed) if subscription_changed else member
    return _next(member, target_epoch, owned, is_taken, subscribed)


def _owns_any(owned: Partitions | None, given_up: Assigned) -> bool:
    """Who does not say what it owns may own it all."""
    if owned is None:
        return True
    return any(not owned.get(topic_id, frozenset()).isdisjoint(epochs) for topic_id, epochs in given_up.items())


def _give_up_unsubscribed(
    member: ConsumerMember, owned: Partitions | None, subscribed: Collection[bytes]
) -> ConsumerMember:
    gone = {topic_id: epochs for topic_id, epochs in member.assigned.items() if topic_id not in subscribed}
    if not gone:
        return member
    kept = {topic_id: epochs for topic_id, epochs in member.assigned.items() if topic_id in subscribed}
    revoking = {**member.revoking}
    for topic_id, epochs in gone.items():
        revoking[topic_id] = {**revoking.get(topic_id, {}), **epochs}
    if _owns_any(owned, revoking):
        return member.but(state=UNREVOKED, assigned=kept, revoking=revoking)
    return member.but(assigned=kept)


def _next(
    member: ConsumerMember,
    target_epoch: int,
    owned: Partitions | None,
    is_taken: IsTaken,
    subscribed: Collection[bytes],
) -> ConsumerMember:
    kept: Assigned = {}
    revoking: Assigned = {}
    given: dict[bytes, list[int]] = {}
    waits = False
    for topic_id in member.target.keys() | member.assigned.keys():
        target = member.target.get(topic_id, frozenset()) if topic_id in subscribed else frozenset()
        current = member.assigned.get(topic_id, {})
        keeps = {partition: epoch for partition, epoch in current.items() if partition in target}
        if keeps:
            kept[topic_id] = keeps
        if len(keeps) < len(current):
            revoking[topic_id] = {partition: epoch for partition, epoch in current.items() if partition not in target}
        missing = [partition for partition in target if partition not in keeps]
        free = [partition for partition in missing if not is_taken(topic_id, partition)]
        waits = waits or len(free) < len(missing)
        if free:
            given[topic_id] = free
    if revoking and _owns_any(owned, revoking):
        return member.but(state=UNREVOKED, assigned=kept, revoking=revoking)
    for topic_id, free in given.items():
        kept[topic_id] = {**kept.get(topic_id, {}), **dict.fromkeys(free, target_epoch)}
    return member.at_epoch(target_epoch, state=UNRELEASED if waits else STABLE, assigned=kept, revoking={})
