"""Requests that a connection makes again and again with other numbers in them: commits of the same partitions.

A handler that has taken a request may leave a `Form` with its reply: how to do the same with other numbers, and what the answer would be. The connection's
next request of that API is held against the bytes of the form; if it is the same but for the numbers and the correlation id, it is not decoded,
and its answer is the form's. Unlike `moldau.broker.routine` the answer may come later.

Sketch: a commit of ten partitions is 45 us of decoding, looking up, deciding, packing and encoding; as a form it is 10 us. To make the form costs 60 us, so
a connection whose requests never fit is not asked for one any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from moldau.protocol.skeleton import Skeleton

if TYPE_CHECKING:
    from .dispatch import Peer, Reply
    from .metrics import Metrics

_BYTES_MAX = 4096
HEAD = 8
"""Bytes of the key, the version and the correlation id."""
TRIES = 4
"""So many forms in a row that nothing came for are enough."""


class Form(Protocol):
    """What a handler leaves. `bodies` are such a request's body with 0 and with -1 for each number, `answer` has its length and a correlation id in front."""

    bodies: tuple[bytes, bytes]
    answer: bytes

    def stands(self) -> bool:
        """Whether what it was made of is as it was; else another one is needed."""
        ...

    def again(self, numbers: Sequence[int], done: Callable[[bytes | None], None]) -> bool:
        """Do it with these numbers, if that may be done as before; else do nothing, and say False. `done` gets None, or another answer than `answer`."""
        ...


class Recurring:
    """See the module's text. One of a connection."""

    __slots__ = ("_api_key", "_form", "_head", "_metrics", "_size", "_skeleton", "_tries")

    _form: Form
    _head: bytes
    _skeleton: Skeleton

    def __init__(self, api_key: int, metrics: Metrics) -> None:
        self._api_key = api_key
        self._size = -1
        """Of its frames in bytes; -1 while there is no form."""
        self._metrics = metrics
        self._tries = 0

    def learn(self, frame: bytearray, make: Callable[[], Form | None]) -> None:
        """A request was handled; `make` would make a form of it."""
        if self._size == len(frame) and self._numbers(frame) is not None and self._form.stands():
            return  # it fitted, and only this time it could not be done so
        self._size = -1
        if self._tries >= TRIES or len(frame) > _BYTES_MAX:
            return
        self._tries += 1
        form = make()
        if form is None or len(frame) - len(form.bodies[0]) < HEAD:
            return
        prefix = bytes(frame[HEAD : len(frame) - len(form.bodies[0])])
        self._head, self._form = bytes(frame[:4]), form
        self._skeleton = Skeleton(*(prefix + body for body in form.bodies))
        if self._numbers(frame) is not None:  # else it says something that we would say otherwise
            self._size = len(frame)

    def _numbers(self, frame: bytearray) -> tuple[int, ...] | None:
        return self._skeleton.numbers(frame, HEAD) if frame.startswith(self._head) else None

    def begin(self, frame: bytearray, reply: Reply) -> bool:
        """See `moldau.broker.dispatch.Again`."""
        if len(frame) != self._size:
            return False
        started = time.perf_counter_ns()
        numbers = self._numbers(frame)
        form = self._form
        if numbers is None or not form.stands():
            return False
        self._tries = 0

        def done(other: bytes | None) -> None:
            answer = form.answer if other is None else other
            self._metrics.request(self._api_key, started)
            reply.send([answer[:4] + frame[4:8] + answer[8:]])

        return form.again(numbers, done)


def learn(peer: Peer, api_key: int, metrics: Metrics, make: Callable[[], Form | None], frame: bytearray) -> None:
    """As `Recurring.learn`, of the peer's requests of that API; but for the frame it is a `moldau.broker.dispatch.Reply.learn`."""
    known = peer.again.get(api_key)
    if known is None:
        known = peer.again[api_key] = Recurring(api_key, metrics)
    assert isinstance(known, Recurring)
    known.learn(frame, make)
