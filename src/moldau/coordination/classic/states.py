"""States of a classic group and the transitions between them.

Theory of operation. A group lives through generations. Each begins with a *join phase* (PreparingRebalance): whoever
is a member sends JoinGroup and is parked until all have, or until the rebalance timeout throws out who has not. Then
the generation number rises, all parked joins are answered, and the *sync phase* (CompletingRebalance) begins: the
leader, one of the members, has learned everybody's subscription, computes the assignment and brings it with SyncGroup;
the others are parked in SyncGroup until then. Once the assignment is durable the group is Stable, until a member
comes, goes, dies, or joins with something new.

What survives a restart is written at two moments only: when a group becomes Stable (or a static member of a stable
group is replaced) and when it becomes Empty. A restart inside a rebalance falls back to the last of them, and the
members, who find themselves in a generation that the group does not know, join again.

How each state answers (JG: JoinGroup, SG: SyncGroup, HB: Heartbeat, LG: LeaveGroup, OC: OffsetCommit; OffsetFetch
always works):

Empty                 no members; offsets may remain until they expire
    JG without id       admitted, the initial rebalance begins (or it is told its id first: MEMBER_ID_REQUIRED)
    JG with an id       UNKNOWN_MEMBER_ID, unless the id was just handed out
    SG, HB, LG          UNKNOWN_MEMBER_ID
    OC                  taken without a generation; with one UNKNOWN_MEMBER_ID
    leads to            PreparingRebalance (a member joins), Dead (deleted, or all offsets expired)
PreparingRebalance    the join phase
    JG                  parked
    SG, HB              REBALANCE_IN_PROGRESS
    LG                  removed
    OC                  taken, in the generation that was
    leads to            CompletingRebalance (all joined, or time is up), Empty (nobody is left)
CompletingRebalance   the sync phase
    JG unchanged        answered with the current generation
    JG changed or new   new rebalance
    SG                  a follower's is parked; the leader's is written, then everybody is answered
    HB                  fine
    LG                  removed, new rebalance
    OC                  REBALANCE_IN_PROGRESS
    leads to            Stable (the assignment is durable), PreparingRebalance (a member comes, goes, dies, changes)
Stable                members work
    JG unchanged        a follower is answered with the current generation; the leader begins a new rebalance
    JG changed or new   new rebalance
    SG                  the assignment
    HB                  fine
    LG                  removed, new rebalance
    OC                  taken, in this generation
    leads to            PreparingRebalance (a member comes, goes, dies, changes; the leader asks)
Dead                  deleted; whoever still holds the object has to look again: COORDINATOR_NOT_AVAILABLE

Names and rules are those of Kafka's ClassicGroupState.
"""

from __future__ import annotations

from collections.abc import Iterable

EMPTY = "Empty"
PREPARING_REBALANCE = "PreparingRebalance"
COMPLETING_REBALANCE = "CompletingRebalance"
STABLE = "Stable"
DEAD = "Dead"

PREDECESSORS = {
    EMPTY: frozenset((PREPARING_REBALANCE,)),
    PREPARING_REBALANCE: frozenset((STABLE, COMPLETING_REBALANCE, EMPTY)),
    COMPLETING_REBALANCE: frozenset((PREPARING_REBALANCE,)),
    STABLE: frozenset((COMPLETING_REBALANCE,)),
    DEAD: frozenset((STABLE, PREPARING_REBALANCE, COMPLETING_REBALANCE, EMPTY, DEAD)),
}
"""For each state, the states it may follow."""

CAN_REBALANCE = PREDECESSORS[PREPARING_REBALANCE]


class InvalidTransition(Exception):
    """A group did what it never may: a defect of ours. The text tells the group's recent story."""

    def __init__(self, group_id: str, what: str, story: Iterable[tuple[int, str, str, str]]) -> None:
        self.group_id = group_id
        self.what = what
        self.story = list(story)
        lines = [f"  {now} {state}: {event} {detail}".rstrip() for now, state, event, detail in self.story]
        super().__init__("\n".join([f"group {group_id!r}: {what}; what happened before:", *lines]))
