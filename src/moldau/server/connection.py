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
from collections.abc import Callable
from struct import Struct
from typing import cast

from moldau.broker.dispatch import Buffer, Dispatcher, Peer, Reply

log = logging.getLogger(__name__)

_INT32 = Struct(">i")
_SCRATCH_BYTES = 64 * 1024
_PIPELINE_MAX = 64
"""Requests of one connection that may wait for their replies; beyond it the socket is not read."""
_WRITE_HIGH_BYTES = 4 << 20
_OVERLOAD_SECONDS = 0.02
"""How often a connection with nothing under way looks whether the broker is still overloaded."""


class Connection(asyncio.BufferedProtocol):
    """See the module's text."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        frame_max: int,
        opened: Callable[[Connection], bool],
        closed: Callable[[Connection], None],
    ) -> None:
        self._opened = opened
        self._dispatcher = dispatcher
        self._frame_max = frame_max
        self._closed = closed
        self._transport: asyncio.Transport
        self.peer: Peer
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
        self._paused_reading = False
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
        self.peer = Peer(str(peername[0]), int(peername[1]))
        self.last_active = self._dispatcher.loop.time()
        if not self._opened(self):
            self.close()

    def set_buffers(self, send_bytes: int, receive_bytes: int) -> None:
        """Sizes of the socket's buffers; -1 leaves what the system chose."""
        link = self._transport.get_extra_info("socket")
        for option, size in ((socket.SO_SNDBUF, send_bytes), (socket.SO_RCVBUF, receive_bytes)):
            if size > 0 and link is not None:
                link.setsockopt(socket.SOL_SOCKET, option, size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._waiting.clear()
        for reply in self._replies:
            reply.abandon()
        self._replies.clear()
        self._closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._frame_view is not None:
            return self._frame_view[self._frame_filled :]
        return self._scratch_view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
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

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._pump()

    def close(self) -> None:
        """Close after what was written has left."""
        if self._open:
            self._send()
            self._open = False
            self._transport.close()

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
        backlog = len(self._waiting) + len(self._replies)
        if self._paused_reading:
            if backlog < _PIPELINE_MAX // 2 and not self._dispatcher.overloaded and self._open:
                self._paused_reading = False
                self._transport.resume_reading()
            elif not backlog and self._open:
                # the overload is of others: no reply of ours will call again
                self._dispatcher.loop.call_later(_OVERLOAD_SECONDS, self._pump)
        elif (backlog >= _PIPELINE_MAX or self._dispatcher.overloaded) and self._open and backlog:
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
        reply = Reply(self._ready)
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
                self.close()
                return
            if head.buffers:
                self._outgoing += head.buffers
        if self._outgoing and not self._sending:
            self._sending = True
            self._dispatcher.loop.call_soon(self._send)
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
