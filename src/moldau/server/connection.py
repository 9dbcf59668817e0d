"""One client connection: frames in, replies out in order, bounded on both sides.

A connection handles one request at a time, as Kafka does; only Produce overlaps with Produce, so that pipelined batches share a
commit. Replies leave in the order of the requests (KIP-219 and every client rely on it).

    frame = int32 length | request header | body         reply = int32 length | response header | body

Small frames are copied out of one receive buffer; a frame larger than that gets a buffer of its own, filled by the kernel and
kept by the tail cache as it is: record bytes are copied once, from the socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from struct import Struct
from typing import Protocol, cast

from moldau.broker.broker import Endpoint
from moldau.broker.dispatch import Buffer, Dispatcher, Peer, Reply

from .busy_poll import BusyPoll
from .frame_budget import FrameBudget

log = logging.getLogger(__name__)

_INT32 = Struct(">i")
_SCRATCH_BYTES = 64 * 1024
_PIPELINE_MAX = 64
"""Requests of one connection that may wait for their replies; beyond it the socket is not read."""
_WRITE_HIGH_BYTES = 4 << 20


class Keeper(Protocol):
    """What a connection asks of its server."""

    frame_max: int
    budget: FrameBudget
    busy_poll: BusyPoll

    def opened(self, connection: Connection) -> bool: ...

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """See the module's text."""

    def __init__(self, dispatcher: Dispatcher, keeper: Keeper, endpoint: Endpoint, number: int) -> None:
        self._dispatcher = dispatcher
        self._keeper = keeper
        self._budget = keeper.budget
        self._busy_poll = keeper.busy_poll
        self._frame_max = keeper.frame_max
        self._transport: asyncio.Transport
        self.peer = Peer("", 0, number, endpoint)
        self.last_active = 0.0
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._scratch_view = memoryview(self._scratch)
        self._filled = 0
        self._frame: bytearray | None = None
        self._frame_view: memoryview | None = None
        self._frame_filled = 0
        self._waiting: deque[bytearray] = deque()
        self._replies: deque[Reply] = deque()
        self._paused_writing = False
        self._unsent = 0  # counted in the outbox while writing is paused
        self._paused_reading = False
        self._starved = False  # a large frame waits for the budget
        self._paid = 0  # what the budget has granted for it
        self._open = False
        self._pumping = False
        self._outgoing: list[Buffer] = []
        self._sending = False

    # -- transport ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses
        transport = self._transport
        self._open = True
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        peername = transport.get_extra_info("peername") or ("", 0)
        self.peer.host, self.peer.port = str(peername[0]), int(peername[1])
        self.last_active = self._dispatcher.loop.time()
        if not self._keeper.opened(self):
            self.close()

    def set_buffers(self, send_bytes: int, receive_bytes: int) -> None:
        """Sizes of the socket's buffers; -1 leaves what the system chose."""
        link = self._transport.get_extra_info("socket")
        for option, size in ((socket.SO_SNDBUF, send_bytes), (socket.SO_RCVBUF, receive_bytes)):
            if size > 0 and link is not None:
                link.setsockopt(socket.SOL_SOCKET, option, size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        held = self._paid + sum(reply.held_bytes for reply in self._replies)
        held += sum(len(frame) for frame in self._waiting if len(frame) + 4 > _SCRATCH_BYTES)
        held += len(self._frame) if self._frame is not None else 0
        self._frame = self._frame_view = None
        self._paid = 0
        self._waiting.clear()
        self.peer.routine = None
        self.peer.again.clear()
        for reply in self._replies:
            reply.abandon()
        self._replies.clear()
        self._outgoing.clear()
        self._count_unsent(0)
        self._budget.forget(self)
        if held:
            self._budget.give(held)
        self._keeper.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._frame_view is not None:
            return self._frame_view[self._frame_filled :]
        return self._scratch_view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._busy_poll.asked()
        if self._frame is not None:
            self._frame_filled += nbytes
            if self._frame_filled == len(self._frame):
                frame, self._frame, self._frame_view = self._frame, None, None
                self._waiting.append(frame)
        else:
            self._filled += nbytes
            self._cut()
        self._pump()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused_writing = True
        self._count_unsent(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._count_unsent(0)
        self._pump()

    def _count_unsent(self, size: int) -> None:
        self._dispatcher.broker.outbox.held_bytes += size - self._unsent
        self._unsent = size

    def close(self) -> None:
        """Close after what was written has left."""
        if self._open:
            self._send()
            self._open = False
            self._transport.close()

    def abort(self) -> None:
        """Close now; what was written and not sent is dropped."""
        if self._open:
            self._open = False
            self._transport.abort()

    @property
    def half_read(self) -> bool:
        """A large request has come in part."""
        return self._frame is not None

    @property
    def writing_paused(self) -> bool:
        """The client reads more slowly than it asks."""
        return self._paused_writing

    @property
    def progress(self) -> object:
        """Another value whenever bytes have moved."""
        return (self._frame_filled, self._transport.get_write_buffer_size())

    @property
    def idle(self) -> bool:
        """No request is being handled."""
        return not self._replies and not self._waiting

    @property
    def only_waits(self) -> bool:
        """Whether all that is under way are long polls and the like, which a stopping broker need not answer."""
        return not self._waiting and all(reply.on_abandon is not None for reply in self._replies)

    # -- frames in ----------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        """Take whole frames out of the receive buffer; begin a large one."""
        start, filled, scratch = 0, self._filled, self._scratch
        while filled - start >= 4:
            (length,) = _INT32.unpack_from(scratch, start)
            if length < 8 or length > self._frame_max:
                log.warning(
                    "event=bad_frame peer=%s length=%d expected=8..%d action=close", self.peer, length, self._frame_max
                )
                self.close()
                return
            end = start + 4 + length
            if end <= filled:
                self._waiting.append(scratch[start + 4 : end])
                start = end
                continue
            if length + 4 > _SCRATCH_BYTES:
                if self._paid:
                    self._paid = 0
                elif not self._budget.take(length):
                    self._starved = True
                    self._budget.wait(self, length, self._granted)
                    break
                frame = bytearray(length)
                have = filled - start - 4
                frame[:have] = self._scratch_view[start + 4 : filled]
                self._frame, self._frame_view, self._frame_filled = frame, memoryview(frame), have
                self._filled = 0
                return
            break
        if start:
            rest = filled - start
            if rest:
                scratch[:rest] = scratch[start:filled]
            self._filled = rest

    def _granted(self, size: int) -> None:
        """There is room for the large frame now."""
        self._paid = size
        self._starved = False
        self._dispatcher.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._open:
            self._cut()
            self._pump()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin what may begin."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._waiting and self._open and not self._paused_writing and self._may_begin():
                self._begin(self._waiting.popleft())
        finally:
            self._pumping = False
        if self._outgoing and not self._sending:
            self._send()
        backlog = len(self._waiting) + len(self._replies)
        if self._paused_reading:
            calm = not backlog or (backlog < _PIPELINE_MAX // 2 and not self._dispatcher.overloaded)
            if calm and not self._starved and not self._paid and self._open:
                self._paused_reading = False
                self._transport.resume_reading()
        elif self._open and (self._starved or (backlog and (backlog >= _PIPELINE_MAX or self._dispatcher.overloaded))):
            self._paused_reading = True
            self._transport.pause_reading()

    def _may_begin(self) -> bool:
        if not self._replies:
            return True
        frame = self._waiting[0]
        # api key 0 is Produce
        return frame[0] == 0 and frame[1] == 0 and self._replies[-1].overlaps and len(self._replies) < _PIPELINE_MAX

    def _begin(self, frame: bytearray) -> None:
        self.last_active = self._dispatcher.loop.time()
        routine = self.peer.routine
        if routine is not None and not self._replies and routine.is_of(frame):
            answer = routine.answer(frame)
            if answer is not None:
                self._outgoing.append(answer)
                return
            self.peer.routine = None
        reply = Reply(self._ready)
        if len(frame) + 4 > _SCRATCH_BYTES:
            reply.held_bytes = len(frame)
        self._replies.append(reply)
        self._dispatcher.begin(self.peer, frame, reply)

    def _ready(self, reply: Reply) -> None:
        """A reply is complete: send it and those behind it that waited for it."""
        replies = self._replies
        if not self._open:
            return
        while replies and replies[0].complete:
            head = replies.popleft()
            if head.close:
                if head.held_bytes:
                    self._budget.give(head.held_bytes)
                self.close()
                return
            if head.buffers:
                self._outgoing += head.buffers
            if head.held_bytes:
                self._budget.give(head.held_bytes)
        if self._pumping:
            return  # it sends when it has begun all that may begin
        if self._outgoing and not self._sending:
            if replies or self._waiting:
                self._sending = True
                self._dispatcher.loop.call_soon(self._send)
            else:
                self._send()
        self._pump()

    def _send(self) -> None:
        """One system call for all replies that one commit made ready."""
        self._sending = False
        outgoing, self._outgoing = self._outgoing, []
        if not self._open or not outgoing:
            return
        if len(outgoing) == 1:
            self._transport.write(outgoing[0])
        else:
            self._transport.writelines(outgoing)
        self._busy_poll.answered()
