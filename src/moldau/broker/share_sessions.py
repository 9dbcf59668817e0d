"""Share sessions (KIP-932): a member names the partitions it fetches from a broker once, then what changed. Pure.

A session is one member's at one broker. Its epoch rises with each ShareFetch and ShareAcknowledge; -1 closes it, and what the member has in
hand goes back to the group. So does the end of the connection it was opened on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from moldau.protocol import error_codes

INITIAL_EPOCH = 0
FINAL_EPOCH = -1
_MAX_EPOCH = 0x7FFFFFFF
MEMBER_ID_MOST = 36
"""Characters of a member's id: members make a UUID."""

Place = tuple[bytes, int]
"""(topic id, partition)"""


class ShareSession:
    """One member's session."""

    __slots__ = ("connection", "epoch", "group", "member", "partitions", "turn")

    def __init__(self, group: str, member: str, connection: int) -> None:
        self.group = group
        self.member = member
        self.connection = connection
        self.epoch = 1
        self.partitions: OrderedDict[Place, None] = OrderedDict()
        self.turn = 0
        """How many fetches there were: the partitions take turns at being first."""

    def update(self, added: Iterable[Place], forgotten: Iterable[Place]) -> None:
        for place in added:
            self.partitions[place] = None
        for place in forgotten:
            self.partitions.pop(place, None)

    def in_turn(self) -> list[Place]:
        """All partitions, each time another one first, so that none starves under a limit."""
        places = list(self.partitions)
        if places:
            first = self.turn % len(places)
            self.turn += 1
            places = places[first:] + places[:first]
        return places


class ShareSessions:
    """All sessions of this broker, at most `slots` (`group.share.max.share.sessions`)."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._sessions: dict[tuple[str, str], ShareSession] = {}
        self._by_connection: dict[int, set[tuple[str, str]]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, group: str, member: str, connection: int, places: Iterable[Place]
    ) -> tuple[ShareSession | None, int]:
        """(session, error code): a new session in the place of one that the member may have. SHARE_SESSION_LIMIT_REACHED without room."""
        self._remove(group, member)
        if len(self._sessions) >= self.slots:
            return None, error_codes.SHARE_SESSION_LIMIT_REACHED
        session = self._sessions[group, member] = ShareSession(group, member, connection)
        self._by_connection.setdefault(connection, set()).add((group, member))
        session.update(places, ())
        return session, error_codes.NONE

    def resume(self, group: str, member: str, epoch: int) -> tuple[ShareSession | None, int]:
        """(session, error code) for the next request of a session, whose epoch rises."""
        session = self._sessions.get((group, member))
        if session is None:
            return None, error_codes.SHARE_SESSION_NOT_FOUND
        if session.epoch != epoch:
            return None, error_codes.INVALID_SHARE_SESSION_EPOCH
        session.epoch = 1 if epoch == _MAX_EPOCH else epoch + 1
        return session, error_codes.NONE

    def close(self, group: str, member: str) -> ShareSession | None:
        """The session that ends, if there is one."""
        return self._remove(group, member)

    def hung_up(self, connection: int) -> list[ShareSession]:
        """The connection is gone, and with it these."""
        keys = self._by_connection.get(connection, set())
        return [session for session in [self._remove(*key) for key in list(keys)] if session is not None]

    def of_group(self, group: str) -> list[ShareSession]:
        return [session for session in self._sessions.values() if session.group == group]

    def _remove(self, group: str, member: str) -> ShareSession | None:
        session = self._sessions.pop((group, member), None)
        if session is not None:
            keys = self._by_connection[session.connection]
            keys.discard((group, member))
            if not keys:
                del self._by_connection[session.connection]
        return session
