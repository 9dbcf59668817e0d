"""A connection against a dispatcher and a transport made by hand."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

from moldau.broker.dispatch import Peer, Reply
from moldau.server.connection import Connection


class Loop:
    """Time stands still; what is to run later is kept."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def time(self) -> float:
        return 1.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()

    def call_later(self, _: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def run_later(self) -> None:
        due, self.later = self.later, []
        for callback in due:
            callback()


class Dispatcher:
    def __init__(self) -> None:
        self.loop = Loop()
        self.overloaded = False
        self.replies: list[Reply] = []

    def begin(self, peer: Peer, frame: bytearray, reply: Reply) -> None:
        self.replies.append(reply)


class Transport:
    def __init__(self) -> None:
        self.reading = True
        self.written: list[bytes] = []

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def connected() -> tuple[Connection, Dispatcher, Transport]:
    dispatcher, transport = Dispatcher(), Transport()
    connection = Connection(dispatcher, 1000, lambda _: True, lambda _: None)  # type: ignore[arg-type]
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, dispatcher, transport


def receive(connection: Connection, frame: bytes) -> None:
    data = pack(">i", len(frame)) + frame
    connection.get_buffer(len(data))[: len(data)] = data
    connection.buffer_updated(len(data))


def test_reading_goes_on_when_the_overload_of_others_is_over() -> None:
    connection, dispatcher, transport = connected()
    dispatcher.overloaded = True
    receive(connection, bytes(8))
    assert not transport.reading
    dispatcher.replies[0].send([b"answer"])
    assert transport.written == [b"answer"]
    assert not transport.reading
    dispatcher.loop.run_later()
    assert not transport.reading
    dispatcher.overloaded = False
    dispatcher.loop.run_later()
    assert transport.reading
    assert not dispatcher.loop.later
