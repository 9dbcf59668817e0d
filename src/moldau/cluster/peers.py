"""All links of this broker, one for each other member; and the notes that come in."""

from __future__ import annotations

from collections.abc import Callable

from .link import Link
from .member import Member
from .membership import Membership
from .notes import Note


class Peers:
    """`follow` keeps the links equal to the members. `received` is called with each note that comes in."""

    def __init__(
        self, members: Membership, listener: str, now: Callable[[], int], received: Callable[[Note], None]
    ) -> None:
        self._members = members
        self._listener = listener
        self._now = now
        self._links: dict[int, Link] = {}
        self.received = received

    def follow(self) -> None:
        """Open links to members that are new, close those of members that are gone or began anew."""
        wanted = {peer.node_id: peer for peer in self._members.peers}
        for node_id, link in list(self._links.items()):
            peer = wanted.get(node_id)
            if (
                peer is None
                or peer.incarnation != link.peer.incarnation
                or self._address(peer) != self._address(link.peer)
            ):
                link.close()
                del self._links[node_id]
        for node_id, peer in wanted.items():
            address = self._address(peer)
            if node_id not in self._links and address is not None:
                self._links[node_id] = Link(self._members.me, peer, address, self._members, self._now)

    def _address(self, peer: Member) -> tuple[str, int] | None:
        return peer.endpoint(self._listener) or next(iter(peer.endpoints.values()), None)

    def published(self, partition_id: int, end_offset: int) -> None:
        """This broker has written to a partition."""
        for link in self._links.values():
            link.end(partition_id, end_offset)

    def tell(self, flags: int = 0, metadata_version: int = 0) -> None:
        """All peers, at once."""
        for link in self._links.values():
            link.tell(flags, metadata_version)

    def up(self, node_id: int) -> bool:
        """Whether that peer has answered lately."""
        link = self._links.get(node_id)
        return link is not None and link.up

    def close(self) -> None:
        """All links."""
        for link in self._links.values():
            link.close()
        self._links.clear()
