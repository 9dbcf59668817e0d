"""Which brokers live, and so which of them is named as leader of a partition. Pure; `now` is a clock that never goes back, in ms.

Leadership is a hint (invariant 4): a broker that is asked for a partition of another serves it. So two brokers may disagree for a
while about who lives, and nothing is wrong but slower. What `live` says changes by two things: the rows of the metadata store
(heartbeats, read a few times a second), and what this broker saw itself: a peer whose connection was reset is *suspected*, and no
longer named, until a heartbeat written after that says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from .member import Member
from .placement import order, spread

SETTLE_MS = 1000
"""So long after a change a broker goes on to serve what is now another's: clients are told when it has settled."""


class Membership:
    """All members, this broker (`me`) among them while it is not draining."""

    def __init__(self, me: Member, assigned: Mapping[int, Sequence[int]] = MappingProxyType({})) -> None:
        """`assigned` has the partitions that somebody gave to brokers by hand: they are shown on those of them that live."""
        self.me = me
        self._assigned = assigned
        self.version = 0
        """Rises with each change of who lives."""
        self._members: dict[int, Member] = {me.node_id: me}
        self._suspects: dict[int, int] = {}  # node id -> when it was suspected
        self._gone: set[str] = set()  # owners whose processes ended before our eyes
        self._changed_at = 0
        self._named: list[Member] = []
        self._leaders: dict[int, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._name()

    # -- what is known ------------------------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call it after each change."""
        self._listeners.append(listener)

    def update(self, heartbeats: Iterable[tuple[Member, int]], now: int) -> None:
        """What the store says: members whose heartbeats are young enough, each with the age of its heartbeat in ms."""
        members: dict[int, Member] = {}
        for member, age_ms in heartbeats:
            members[member.node_id] = member
            suspected = self._suspects.get(member.node_id)
            if suspected is not None and now - age_ms > suspected:
                del self._suspects[member.node_id]
        members[self.me.node_id] = self.me
        for node_id in [node_id for node_id in self._suspects if node_id not in members]:
            del self._suspects[node_id]
        self._members = members
        self._gone &= {member.owner for member in members.values()}
        self._name(now)

    def ended(self, peer: Member, now: int) -> None:
        """A peer that had been connected reset the connection, and nobody listens there any more."""
        self._gone.add(peer.owner)
        self.suspect(peer.node_id, now)

    def is_dead(self, owner: str) -> bool:
        """Whether the owner of a lease is known to have ended: we saw it end, or a later start of its node id is registered."""
        if owner in self._gone:
            return True
        node_id, _, incarnation = owner.partition(":")
        if not node_id.isdecimal() or not incarnation.isdecimal():
            return False
        known = self._members.get(int(node_id))
        return known is not None and known.incarnation > int(incarnation)

    def suspect(self, node_id: int, now: int) -> None:
        """A peer's connection broke, and it takes no new one."""
        if node_id in self._members and node_id != self.me.node_id and node_id not in self._suspects:
            self._suspects[node_id] = now
            self._name(now)

    def trust(self, node_id: int, now: int) -> None:
        """The peer has answered."""
        member = self._members.get(node_id)
        if member is not None:
            self._gone.discard(member.owner)
        if self._suspects.pop(node_id, None) is not None:
            self._name(now)

    def _name(self, now: int = 0) -> None:
        usable = [member for member in self._members.values() if member.node_id not in self._suspects]
        named = [member for member in usable if not member.draining] or usable
        named.sort(key=lambda member: member.node_id)
        if named == self._named:
            return
        moved = [member.node_id for member in named] != [member.node_id for member in self._named]
        self._named = named
        if moved:
            self._leaders.clear()
            self._changed_at = now
        self.version += 1
        for listener in tuple(self._listeners):
            listener()

    # -- what follows -------------------------------------------------------------------------------------------------

    @property
    def live(self) -> list[Member]:
        """Those that clients are told of, by node id."""
        return self._named

    @property
    def node_ids(self) -> list[int]:
        """Of `live`."""
        return [member.node_id for member in self._named]

    @property
    def peers(self) -> list[Member]:
        """Every other member, draining and suspected ones too."""
        return [member for member in self._members.values() if member.node_id != self.me.node_id]

    def member(self, node_id: int) -> Member | None:
        """If it is among `live`."""
        return next((member for member in self._named if member.node_id == node_id), None)

    def is_draining(self, node_id: int) -> bool:
        """Whether it is leaving, or is no member any more."""
        member = self._members.get(node_id)
        return member is None or member.draining

    def leader_of(self, key: int) -> int:
        """The broker that is named for a group's shard, a transactional id's hash, or a partition that nobody assigned."""
        named = self._named
        if len(named) == 1:
            return named[0].node_id
        leader = self._leaders.get(key)
        if leader is None:
            leader = self._leaders[key] = order(key, self.node_ids)[0]
        return leader

    def partition_leader(self, partition_id: int) -> int:
        """The broker that is named for a partition: the first that lives of those it was assigned to, else as for any other key."""
        if partition_id in self._assigned and (placed := self._placed(partition_id)):
            return placed[0]
        return self.leader_of(partition_id)

    def _placed(self, partition_id: int) -> list[int]:
        live = self.node_ids
        return [node_id for node_id in self._assigned.get(partition_id, ()) if node_id in live]

    def replicas_of(self, key: int, count: int) -> list[int]:
        """Of a partition, the leader first: those it was assigned to that live; if there are none, the next in the partition's order, over
        racks first, as many as there are and `count` at most.
        """
        if key in self._assigned and (placed := self._placed(key)):
            return placed
        if len(self._named) == 1 or count == 1:
            return [self.leader_of(key)]
        first, *others = order(key, self.node_ids)
        return spread(first, others, {member.node_id: member.rack for member in self._named}, count)

    def in_rack(self, key: int, rack: str) -> int | None:
        """The broker of that rack that comes first in the partition's order."""
        candidates = [member.node_id for member in self._named if member.rack == rack]
        return order(key, candidates)[0] if candidates else None

    def moved_to(self, partition_id: int, now: int) -> int | None:
        """The broker to send a client to: another one has been named for long enough, or this one is leaving."""
        leader = self.partition_leader(partition_id)
        if leader == self.me.node_id:
            return None
        return leader if self.me.draining or now - self._changed_at >= SETTLE_MS else None
