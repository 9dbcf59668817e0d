"""Links over real sockets on loopback; the peer is a few lines that answer, or do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.aio import run

from moldau.cluster import link
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.cluster.notes import LEAVING_KNOWN, MEMBERS_CHANGED, Note, unpack
from moldau.cluster.peers import Peers


class Peer:
    """Another broker's port: notes that come in, answers while `answers`."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.answers = True
        self.server: asyncio.Server
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                self.notes.append(unpack(frame[10 + int.from_bytes(frame[8:10], "big") :]))
                if self.answers:
                    writer.write(b"\0\0\0\4" + frame[4:8])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def hang_up(self) -> None:
        """Its connections break, and it takes new ones."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.server.close()
        self.hang_up()
        await self.server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_SECONDS", 0.02)
    monkeypatch.setattr(link, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(link, "_RETRY_SECONDS", 0.01)


async def joined() -> tuple[Peer, Membership, Peers]:
    peer = Peer()
    await peer.open()
    loop = asyncio.get_running_loop()
    members = Membership(Member(1, 1, None, {}, "1"))

    def now() -> int:
        return int(loop.time() * 1000)

    peers = Peers(members, "PLAINTEXT", now, lambda note: None)
    other = Member(2, 1, None, {"PLAINTEXT": ("127.0.0.1", peer.port)}, "1")
    members.update([(other, 0)], now())
    peers.follow()
    await until(lambda: peers.up(2))
    return peer, members, peers


def test_who_knows_this_broker() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        waits = asyncio.create_task(peers.known())
        await asyncio.sleep(0)
        peers.take(Note(), "2:0")  # an earlier start of it
        peers.take(Note(), "3:1")
        await asyncio.sleep(0.01)
        assert not waits.done()
        peers.take(Note(), "2:1")
        await asyncio.wait_for(waits, 5)
        await asyncio.wait_for(peers.known(), 5)
        members.update([(Member(2, 7, None, {"PLAINTEXT": ("127.0.0.1", peer.port)}, "1"), 0)], 0)
        peers.follow()
        waits = asyncio.create_task(peers.known())
        await asyncio.sleep(0.01)
        assert not waits.done()
        members.update([], 0)  # it is gone: nobody is left who could know
        peers.follow()
        await asyncio.wait_for(waits, 5)
        peers.close()
        await peer.close()

    run(main())


def test_one_that_leaves_hears_once_from_each_that_knows() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        peers.follow()
        assert not any(note.flags & LEAVING_KNOWN for note in peer.notes)
        leaves = Member(2, 1, None, {"PLAINTEXT": ("127.0.0.1", peer.port)}, "1", draining=True)
        for _ in range(3):
            members.update([(leaves, 0)], 0)
            peers.follow()
        await until(lambda: any(note.flags & LEAVING_KNOWN for note in peer.notes))
        peers.tell(MEMBERS_CHANGED)
        await until(lambda: peer.notes[-1].flags & MEMBERS_CHANGED)
        assert sum(bool(note.flags & LEAVING_KNOWN) for note in peer.notes) == 1
        peers.close()
        await peer.close()

    run(main())


def test_it_is_released_by_those_that_are_named() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        waits = asyncio.create_task(peers.released())
        peers.take(Note(), "2:1")
        peers.take(Note(LEAVING_KNOWN), "2:0")  # an earlier start of it
        await asyncio.sleep(0.01)
        assert not waits.done()
        peers.take(Note(LEAVING_KNOWN), "2:1")
        await asyncio.wait_for(waits, 5)
        other = Member(3, 1, None, {}, "1")
        same = Member(2, 1, None, {"PLAINTEXT": ("127.0.0.1", peer.port)}, "1")
        members.update([(same, 0), (other, 0)], 0)
        waits = asyncio.create_task(peers.released())
        await asyncio.sleep(0.01)
        assert not waits.done()
        members.update([(same, 0)], 0)  # it is gone: it names nobody
        await asyncio.wait_for(waits, 5)
        peers.close()
        await peer.close()

    run(main())


class Closing:
    """A transport that broke in this turn of the loop, as uvloop's does."""

    def is_closing(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    def abort(self) -> None:
        pass


def test_what_is_said_while_a_connection_closes_is_said_on_the_next_one() -> None:
    async def main() -> None:
        peer, _, peers = await joined()
        (it,) = peers._links.values()
        old = it._transport
        assert old is not None
        it._transport = Closing()  # type: ignore[assignment]
        peer.notes.clear()
        peers.tell(MEMBERS_CHANGED)
        await until(lambda: any(note.flags & MEMBERS_CHANGED for note in peer.notes))
        assert peers.up(2)
        old.abort()
        peers.close()
        await peer.close()

    run(main())


def test_ends_are_told_together() -> None:
    async def main() -> None:
        peer, _, peers = await joined()
        for end in range(1, 100):
            peers.published(7, end)
        peers.published(8, 5)
        peers.tell(MEMBERS_CHANGED, 3)
        await until(lambda: any(note.ends for note in peer.notes))
        told = [note for note in peer.notes if note.ends]
        assert told[0].ends == {7: 99, 8: 5}
        await until(lambda: any(note.flags for note in peer.notes))
        assert max(note.metadata_version for note in peer.notes) == 3
        peers.close()
        await peer.close()

    run(main())


@pytest.mark.slow
def test_a_death_is_noticed_by_the_reset_and_a_return_too() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        await peer.close()
        await until(lambda: members.node_ids == [1])
        assert not peers.up(2)
        await peer.open()
        await until(lambda: members.node_ids == [1, 2])
        peers.close()
        await peer.close()

    run(main())


def test_a_peer_whose_connection_breaks_is_not_named_until_it_answers_again() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        named: list[list[int]] = []
        members.on_change(lambda: named.append(members.node_ids))
        peer.hang_up()
        await until(lambda: len(named) == 2)
        assert named == [[1], [1, 2]]
        peers.close()
        await peer.close()

    run(main())


@pytest.mark.slow
def test_silence_is_noticed() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        peer.answers = False
        await until(lambda: members.node_ids == [1])
        peer.answers = True
        await until(lambda: members.node_ids == [1, 2])
        peers.close()
        await peer.close()

    run(main())


class Closed:
    """A transport that was closed without a word to its protocol, as uvloop's when a connect is cancelled in its last moment."""

    def __init__(self, *, closing: bool = True) -> None:
        self.closing = closing
        self.written = 0

    def is_closing(self) -> bool:
        return self.closing

    def write(self, _: bytes) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.written += 1

    def abort(self) -> None:
        self.closing = True

    close = abort


def test_a_connection_that_is_closed_already_is_made_anew() -> None:
    async def main() -> None:
        peer, _, peers = await joined()
        (one,) = peers._links.values()
        alive = one._transport
        assert alive is not None
        one._transport = Closed()  # type: ignore[assignment]
        peers.published(7, 1)
        await until(lambda: one._transport is not None and not isinstance(one._transport, Closed))
        peers.published(7, 2)
        await until(lambda: any(note.ends.get(7) == 2 for note in peer.notes))
        alive.abort()
        await asyncio.sleep(0.01)
        assert one._transport is not None, "what is said of the connection before does not concern this one"
        peers.close()
        await peer.close()

    run(main())


def test_links_follow_the_members() -> None:
    async def main() -> None:
        peer, members, peers = await joined()
        members.update([], 1 << 50)
        peers.follow()
        assert not peers.up(2)
        peers.close()
        await peer.close()

    run(main())
