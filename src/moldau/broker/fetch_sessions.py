"""Fetch sessions (KIP-227): a client names its partitions once, then only what changed; so does the broker. Pure.

A session remembers for each partition the position last asked for and what was last told. An incremental reply holds a partition only
when it has records, an error, or when high watermark, log start or the preferred replica moved. Partitions that were served move
to the end, so that none starves under a byte limit.
"""

from __future__ import annotations

import os
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

    __slots__ = ("epoch", "last_used", "partitions", "session_id", "uses_topic_ids")

    def __init__(self, session_id: int, uses_topic_ids: bool) -> None:
        self.session_id = session_id
        self.epoch = 1
        self.partitions: OrderedDict[Key, SessionPartition] = OrderedDict()
        self.uses_topic_ids = uses_topic_ids
        self.last_used = 0

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
    """All sessions of this broker, at most `slots`; the least recently used one that rests for `evict_ms` makes room."""

    def __init__(self, slots: int, evict_ms: int = 120_000) -> None:
        self.slots = slots
        self.evict_ms = evict_ms
        self.by_id: OrderedDict[int, FetchSession] = OrderedDict()

    def open(self, partitions: list[SessionPartition], uses_topic_ids: bool, now: int) -> FetchSession | None:
        """A new session, or None when there is no room: the client then sends full requests."""
        if len(self.by_id) >= self.slots:
            oldest = next(iter(self.by_id.values()), None)
            if oldest is None or now - oldest.last_used < self.evict_ms:
                return None
            del self.by_id[oldest.session_id]
        session_id = 0
        while session_id == NO_SESSION or session_id in self.by_id:
            session_id = int.from_bytes(os.urandom(4)) >> 1
        session = FetchSession(session_id, uses_topic_ids)
        session.last_used = now
        session.update(partitions, [])
        self.by_id[session_id] = session
        return session

    def resume(self, session_id: int, epoch: int, uses_topic_ids: bool, now: int) -> tuple[FetchSession | None, int]:
        """(session, error code) for an incremental request."""
        session = self.by_id.get(session_id)
        if session is None:
            return None, error_codes.FETCH_SESSION_ID_NOT_FOUND
        if session.uses_topic_ids != uses_topic_ids:
            return None, error_codes.FETCH_SESSION_TOPIC_ID_ERROR
        if session.epoch != epoch:
            return None, error_codes.INVALID_FETCH_SESSION_EPOCH
        session.epoch = 1 if epoch == 0x7FFFFFFF else epoch + 1
        session.last_used = now
        self.by_id.move_to_end(session_id)
        return session, error_codes.NONE

    def close(self, session_id: int) -> None:
        """The client ends its session."""
        self.by_id.pop(session_id, None)
