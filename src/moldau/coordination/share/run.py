"""A run of offsets that are in the same state, and what a share-partition may do with records.

    AVAILABLE     may be delivered (again): released, its lock is over, or never delivered since it was read
    ACQUIRED      delivered to a member, locked for it until a time
    ACKNOWLEDGED  processed
    ARCHIVING     as the next one, but first to be put down in the group's dead-letter topic (KIP-1191)
    ARCHIVED      not to be delivered any more: rejected, a gap in the log, or delivered too often

The first two are in flight; ACKNOWLEDGED and ARCHIVED are final. Numbers are Kafka's (`RecordState`, `AcknowledgeType`).
"""

from __future__ import annotations

AVAILABLE, ACQUIRED, ACKNOWLEDGED, ARCHIVING, ARCHIVED = 0, 1, 2, 3, 4
GAP, ACCEPT, RELEASE, REJECT, RENEW = 0, 1, 2, 3, 4
"""What a member says of a record it has: it is not there, done, give it to anybody again, nobody can process it, I need more time."""

OUTCOMES = {GAP: ARCHIVED, ACCEPT: ACKNOWLEDGED, RELEASE: AVAILABLE, REJECT: ARCHIVED}
"""The state that follows; a renewal changes the lock only."""

NOBODY = ""


class Run:
    """Offsets `first` to `last`, both included.

    `count` says how often they were delivered. `batch` is how many offsets were delivered together at first: of records that fail again
    and again ever smaller parts of that are given out.
    """

    __slots__ = ("batch", "count", "first", "last", "member", "state", "until")

    def __init__(
        self, first: int, last: int, state: int, count: int, member: str = NOBODY, until: int = 0, batch: int = 0
    ) -> None:
        self.first = first
        self.last = last
        self.state = state
        self.count = count
        self.member = member
        self.until = until
        """When the lock is over, in the time of `now`; of acquired ones only."""
        self.batch = batch or last - first + 1

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    @property
    def is_final(self) -> bool:
        return self.state == ACKNOWLEDGED or self.state == ARCHIVED

    def __repr__(self) -> str:
        return (
            f"{self.first}-{self.last} state={self.state} count={self.count} member={self.member!r} until={self.until}"
        )
