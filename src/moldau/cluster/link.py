"""One connection to another broker: notes go out, the answers say that the peer lives.

A peer whose connection breaks is suspected at once, before anybody can ask who leads its partitions; one that is silent for `SILENCE_SECONDS` is
too. The link goes on trying, and takes the suspicion back with the first answer: where only the connection broke, after some milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from struct import Struct
from typing import cast

from .member import Member
from .membership import Membership
from .notes import ENDS_MAX, Note, frame

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.002
"""Ends of partitions are told at most this often."""
PING_SECONDS = 0.25
SILENCE_SECONDS = 1.0
_CONNECT_SECONDS = 0.5
_RETRY_SECONDS = 0.1
_UNANSWERED_MAX = 64
"""Beyond it nothing is told until the peer answers: what is kept is one end for each partition."""
_LENGTH = Struct(">i")


class Link(asyncio.Protocol):
    """To one incarnation of a peer. `close` ends it."""

    def __init__(
        self, me: Member, peer: Member, address: tuple[str, int], members: Membership, now: Callable[[], int]
    ) -> None:
        self.peer = peer
        self._me = me
        self._address = address
        self._members = members
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._note = Note()
        self._correlation = 0
        self._answered = 0
        self._received = bytearray()
        self._heard = self._loop.time()
        self._said = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._was_up = False
        self._doubted = False
        self._lost = asyncio.Event()
        self._task = self._loop.create_task(self._keep_up(), name=f"moldau-peer-{peer.node_id}")

    @property
    def up(self) -> bool:
        """The peer has answered lately."""
        return self._transport is not None and self._loop.time() - self._heard < SILENCE_SECONDS

    # -- tell ---------------------------------------------------------------------------------------------------------

    def end(self, partition_id: int, end_offset: int) -> None:
        """A partition ends there now."""
        self._note.ends[partition_id] = end_offset
        self._soon(GATHER_SECONDS)

    def tell(self, flags: int = 0, metadata_version: int = 0) -> None:
        """Something that the peer should look at now."""
        self._note.flags |= flags
        self._note.metadata_version = max(self._note.metadata_version, metadata_version)
        self._soon(0.0)

    def _soon(self, delay: float) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(delay, self._say)

    def _say(self) -> None:
        self._timer = None
        if self._transport is not None and self._transport.is_closing():
            self._drop()  # a write would raise, and one that a connect gave up when its time was over is never told of as lost
        transport = self._transport
        if transport is None or self._correlation - self._answered >= _UNANSWERED_MAX:
            if len(self._note.ends) > ENDS_MAX:
                self._note.ends.clear()  # polling finds them
            return
        note, self._note = self._note, Note()
        if len(note.ends) > ENDS_MAX:
            rest = list(note.ends.items())
            note.ends, self._note.ends = dict(rest[:ENDS_MAX]), dict(rest[ENDS_MAX:])
            self._soon(0.0)
        self._correlation += 1
        self._said = self._loop.time()
        transport.write(frame(note, self._me.owner, self._correlation))

    # -- transport ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._correlation = self._answered = 0
        self._received.clear()
        self._lost.clear()
        self._say()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= 4:
            (length,) = _LENGTH.unpack_from(received, at)
            if not 4 <= length <= 64:
                self._drop()
                return
            if len(received) - at < 4 + length:
                break
            (self._answered,) = _LENGTH.unpack_from(received, at + 4)
            at += 4 + length
        if at:
            del received[:at]
            self._heard = self._loop.time()
            self._was_up = True
            self._doubted = False
            self._members.trust(self.peer.node_id, self._now())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None and not self._transport.is_closing():
            return  # it is about the one before
        self._transport = None
        self._lost.set()
        if self._was_up and not self._closed:
            # clients lost theirs in the same moment: told of the old leader once more, librdkafka waits for its next look at metadata
            self._suspect("the connection broke")

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            self._lost.set()

    # -- keep up ------------------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Connect, ping, notice silence, connect again."""
        while True:
            if self._transport is not None and self._transport.is_closing():
                self._drop()
            if self._transport is None:
                await self._connect()
            now = self._loop.time()
            if self._transport is None:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if now - self._said >= PING_SECONDS:
                self._say()
            if now - self._heard >= SILENCE_SECONDS and self._correlation > self._answered:
                self._suspect("silent")
                self._drop()
                continue
            await self._pause()

    async def _pause(self) -> None:
        """Until the next ping, or the loss of the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                await self._lost.wait()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._loop.create_connection(lambda: self, *self._address)
            self._heard = self._loop.time()
        except TimeoutError:
            self._drop()
            if self._loop.time() - self._heard >= SILENCE_SECONDS:
                self._suspect("it does not answer")
        except OSError as error:
            if self._was_up and isinstance(error, ConnectionRefusedError):
                self._members.ended(self.peer, self._now())
            self._suspect(str(error))

    def _suspect(self, why: str) -> None:
        if not self._doubted:
            self._doubted = True
            # one that died before it was met does not listen, and one that leaves does not any more
            expected = not self._was_up or self._members.is_draining(self.peer.node_id)
            log.log(
                logging.DEBUG if expected else logging.WARNING,
                "event=peer_suspected node=%d why='%s'",
                self.peer.node_id,
                why,
            )
        self._members.suspect(self.peer.node_id, self._now())

    def close(self) -> None:
        """For good."""
        self._closed = True
        self._task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
