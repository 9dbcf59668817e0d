"""A connection against a dispatcher and a transport made by hand."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

from moldau.broker.broker import Endpoint
from moldau.broker.dispatch import Peer, Reply
from moldau.server.busy_poll import BusyPoll
from moldau.server.connection import Connection
from moldau.server.frame_budget import FrameBudget


class Loop:
    """Time stands still."""

    def time(self) -> float:
        return 1.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()


class Keeper:
    frame_max = 1000

    def __init__(self) -> None:
        self.budget = FrameBudget(1 << 20)
        self.busy_poll = BusyPoll(None, 0)  # type: ignore[arg-type]

    def opened(self, connection: Connection) -> bool:
        return True

    def closed(self, connection: Connection) -> None:
        pass


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
    connection = Connection(dispatcher, Keeper(), Endpoint("PLAINTEXT", "127.0.0.1", 9092), 1)  # type: ignore[arg-type]
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, dispatcher, transport


def receive(connection: Connection, frame: bytes) -> None:
    data = pack(">i", len(frame)) + frame
    connection.get_buffer(len(data))[: len(data)] = data
    connection.buffer_updated(len(data))


def test_an_overloaded_broker_reads_one_request_after_the_other() -> None:
    """The overload may be of others: a connection with nothing under way must be read, for no reply of its own will wake it."""
    connection, dispatcher, transport = connected()
    dispatcher.overloaded = True
    for number in range(3):
        receive(connection, bytes(8))
        assert not transport.reading
        dispatcher.replies[number].send([b"answer"])
        assert transport.reading
    assert transport.written == [b"answer"] * 3
