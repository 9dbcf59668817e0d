"""A member of a classic group."""

from __future__ import annotations

from typing import Any

from moldau.coordination.decision import NEVER

NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000
"""How long the first JoinGroup of a member stays parked (Kafka's constant):

nobody would notice if it had gone meanwhile.
"""


class ClassicMember:
    """What is known of a member.

    The first group of attributes survives a restart; the second lives in memory only: parked requests and the session
    timer.
    """

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "instance_id",
        "is_new",
        "join_ticket",
        "member_id",
        "protocols",
        "rebalance_timeout_ms",
        "session_deadline",
        "session_timeout_ms",
        "sync_ticket",
    )

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        client_id: str,
        client_host: str,
        session_timeout_ms: int,
        rebalance_timeout_ms: int,
        protocols: tuple[tuple[str, bytes], ...],
        assignment: bytes = b"",
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client_id = client_id
        self.client_host = client_host
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.protocols = protocols
        self.assignment = assignment

        self.join_ticket: Any = None
        """The parked JoinGroup, or None."""
        self.sync_ticket: Any = None
        """The parked SyncGroup, or None."""
        self.is_new = False
        """It has not yet got the answer to its first JoinGroup, and so cannot heartbeat."""
        self.session_deadline = NEVER

    def metadata(self, protocol_name: str | None) -> bytes:
        for name, metadata in self.protocols:
            if name == protocol_name:
                return metadata
        return b""

    @property
    def excused(self) -> bool:
        """A member whose request is parked here counts as alive; but the first join has its own limit."""
        return not self.is_new and (self.join_ticket is not None or self.sync_ticket is not None)

    def durable(self) -> tuple[Any, ...]:
        """What survives a restart."""
        return (
            self.member_id,
            self.instance_id,
            self.client_id,
            self.client_host,
            self.session_timeout_ms,
            self.rebalance_timeout_ms,
            self.protocols,
            self.assignment,
        )

    def __repr__(self) -> str:
        return f"ClassicMember({self.member_id!r}, instance_id={self.instance_id!r})"
