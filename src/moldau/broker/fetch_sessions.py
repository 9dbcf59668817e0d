"""Fetch sessions (KIP-227): a client names its partitions once, then only what changed; so does the broker. Pure.

A session remembers for each partition the position last asked for and what was last told. An incremental reply holds a partition only
when it has records, an error, or when high watermark, log start or the preferred replica moved. Partitions that were served move
to the end, so that none starves under a byte limit.
"""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections import OrderedDict

from moldau.protocol import error_codes

INITIAL_EPOCH = 0
FINAL_EPOCH = -1
NO_SESSION = 0

Key = tuple[bytes, str, int]
"""(topic id, topic name, partition): the id is zero for versions that name topics."""


class SessionPartition:
    """One partition of a fetch, with what the session last told of it (-1: nothing yet)."""

    __slots__ = (
        "fetch_offset",
        "key",
        "last_high_watermark",
        "last_log_start_offset",
        "leader_epoch",
        "max_bytes",
    )

    def __init__(self, key: Key, fetch_offset: int, max_bytes: int, leader_epoch: int) -> None:
        self.key = key
        self.fetch_offset = fetch_offset
        self.max_bytes = max_bytes
        self.leader_epoch = leader_epoch
        self.last_high_watermark = -1
        self.last_log_start_offset = -1


class FetchSession:
    """One client's session."""

    __slots__ = ("created", "epoch", "last_used", "partitions", "ranked", "session_id", "uses_topic_ids")

    def __init__(self, session_id: int, uses_topic_ids: bool, now: int) -> None:
        self.session_id = session_id
        self.epoch = 1
        self.partitions: OrderedDict[Key, SessionPartition] = OrderedDict()
        self.uses_topic_ids = uses_topic_ids
        self.created = self.last_used = now
        self.ranked = -1
        """The number of partitions by which a larger session may take its place; -1 while it is too young for that."""

    def update(self, changed: list[SessionPartition], forgotten: list[Key]) -> None:
        """Take what the client said anew."""
        for partition in changed:
            known = self.partitions.get(partition.key)
            if known is None:
                self.partitions[partition.key] = partition
            else:
                known.fetch_offset = partition.fetch_offset
                known.max_bytes = partition.max_bytes
                known.leader_epoch = partition.leader_epoch
        for key in forgotten:
            self.partitions.pop(key, None)


class FetchSessions:
    """All sessions of this broker, at most `slots`.

    Room for one more is made as in Kafka: the least recently used session goes when it rests for longer than `evict_ms`; else the one
    with the fewest partitions of those that are older than that, when the new one has more. Sessions do not end with their
    connection: a client that dies without closing its own keeps the slot until then.
    """

    def __init__(self, slots: int, evict_ms: int = 120_000) -> None:
        self.slots = slots
        self.evict_ms = evict_ms
        self.by_id: OrderedDict[int, FetchSession] = OrderedDict()
        self._ranking: list[tuple[int, int]] = []
        """(partitions, session id) of the sessions a larger one may replace, the smallest first."""

    def open(self, partitions: list[SessionPartition], uses_topic_ids: bool, now: int) -> FetchSession | None:
        """A new session, or None when there is no room: the client then sends full requests."""
        if len(self.by_id) >= self.slots and not self._make_room(len(partitions), now):
            return None
        session_id = 0
        while session_id == NO_SESSION or session_id in self.by_id:
            session_id = int.from_bytes(os.urandom(4)) >> 1
        session = FetchSession(session_id, uses_topic_ids, now)
        session.update(partitions, [])
        self.by_id[session_id] = session
        return session

    def resume(
        self,
        session_id: int,
        epoch: int,
        uses_topic_ids: bool,
        changed: list[SessionPartition],
        forgotten: list[Key],
        now: int,
    ) -> tuple[FetchSession | None, int]:
        """(session, error code) for an incremental request. A session left without partitions ends: (None, 0)."""
        session = self.by_id.get(session_id)
        if session is None:
            return None, error_codes.FETCH_SESSION_ID_NOT_FOUND
        if session.uses_topic_ids != uses_topic_ids:
            return None, error_codes.FETCH_SESSION_TOPIC_ID_ERROR
        if session.epoch != epoch:
            return None, error_codes.INVALID_FETCH_SESSION_EPOCH
        session.update(changed, forgotten)
        if not session.partitions:
            self.close(session_id)
            return None, error_codes.NONE
        session.epoch = 1 if epoch == 0x7FFFFFFF else epoch + 1
        session.last_used = now
        self.by_id.move_to_end(session_id)
        if now - session.created > self.evict_ms and session.ranked != len(session.partitions):
            self._unrank(session)
            session.ranked = len(session.partitions)
            insort(self._ranking, (session.ranked, session_id))
        return session, error_codes.NONE

    def close(self, session_id: int) -> None:
        """The client ends its session."""
        session = self.by_id.pop(session_id, None)
        if session is not None:
            self._unrank(session)

    def _make_room(self, partitions: int, now: int) -> bool:
        if not self.by_id:
            return False
        oldest = next(iter(self.by_id.values()))
        if now - oldest.last_used > self.evict_ms:
            self.close(oldest.session_id)
            return True
        if self._ranking and self._ranking[0][0] < partitions:
            self.close(self._ranking[0][1])
            return True
        return False

    def _unrank(self, session: FetchSession) -> None:
        if session.ranked >= 0:
            del self._ranking[bisect_left(self._ranking, (session.ranked, session.session_id))]
            session.ranked = -1
