"""All links of this broker, one for each other member; and the notes that come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .link import Link
from .member import Member
from .membership import Membership
from .notes import LEAVING_KNOWN, Note


class Peers:
    """`follow` keeps the links equal to the members. `received` is called with each note that comes in."""

    def __init__(
        self, members: Membership, listener: str, now: Callable[[], int], received: Callable[[Note], None]
    ) -> None:
        self._members = members
        self._listener = listener
        self._now = now
        self._links: dict[int, Link] = {}
        self._known_by: set[str] = set()
        self._released_by: set[str] = set()
        self._told_leaving: set[str] = set()
        self._news = asyncio.Event()
        self.received = received
        members.on_change(self._news.set)

    def follow(self) -> None:
        """Open links to members that are new, close those of members that are gone or began anew. Those that leave hear that it is known."""
        wanted = {peer.node_id: peer for peer in self._members.peers}
        owners = {peer.owner for peer in wanted.values()}
        self._known_by &= owners
        self._released_by &= owners
        self._told_leaving &= owners
        self._news.set()
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
            if peer.draining and node_id in self._links and peer.owner not in self._told_leaving:
                self._told_leaving.add(peer.owner)
                self._links[node_id].tell(LEAVING_KNOWN)

    def _address(self, peer: Member) -> tuple[str, int] | None:
        return peer.endpoint(self._listener) or next(iter(peer.endpoints.values()), None)

    def take(self, note: Note, sender: str) -> None:
        """A note came in from `sender`, a peer's `node id:incarnation`: which knows this broker, then."""
        self._known_by.add(sender)
        if note.flags & LEAVING_KNOWN:
            self._released_by.add(sender)
        self._news.set()
        self.received(note)

    async def known(self) -> None:
        """Until every peer that is named to clients has sent a note: from then on each names this broker, too."""
        await self._all_of(self._known_by)

    async def released(self) -> None:
        """Until every peer that is named to clients knows that this broker leaves: from then on none of them names it."""
        await self._all_of(self._released_by)

    async def _all_of(self, heard: set[str]) -> None:
        while not heard.issuperset(self._named()):
            self._news.clear()
            await self._news.wait()

    def _named(self) -> list[str]:
        return [member.owner for member in self._members.live if member is not self._members.me]

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
