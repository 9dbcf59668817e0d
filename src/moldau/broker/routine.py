"""The request that a connection makes again and again, word for word, and is always answered the same: a heartbeat that changes nothing.

A handler that has answered at once may leave a `repeat` with its reply: a call does all that handling the very same request once more would do, and says
True; or it does nothing and says False, when anything is not as it was. Then the request goes the long way, which may leave another one. What is the same is
every byte of the request but its correlation id, on the same connection: API, version, client id, tagged fields and body.

Sketch: decoding, an event, a future, a decision, a message and its encoding are 10 us; a comparison of some hundred bytes, the look at what could have changed and
three short pieces of answer are 2 us. A connection keeps one routine, of a kilobyte at most each way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moldau.metadata.rows import ClusterRow

    from .dispatch import Buffer
    from .metrics import Metrics

_BYTES_MAX = 1024


class Routine:
    """See the module's text."""

    __slots__ = ("_after", "_api_key", "_before", "_frame", "_metrics", "_repeat")

    def __init__(
        self, frame: bytearray, answer: bytes, repeat: Callable[[], bool], api_key: int, metrics: Metrics
    ) -> None:
        """`frame` is kept, and changed; `answer` has its length and correlation id in front."""
        self._frame = frame
        self._before, self._after = answer[:4], answer[8:]
        self._repeat = repeat
        self._api_key = api_key
        self._metrics = metrics

    @classmethod
    def of(
        cls, frame: bytearray, buffers: Sequence[Buffer], repeat: Callable[[], bool], api_key: int, metrics: Metrics
    ) -> Routine | None:
        """None for what is too large to be kept."""
        answer = b"".join(buffers)
        if len(frame) > _BYTES_MAX or len(answer) > _BYTES_MAX:
            return None
        return cls(frame, answer, repeat, api_key, metrics)

    def is_of(self, frame: bytearray) -> bool:
        """Whether this is the request, correlation id aside."""
        known = self._frame
        if len(frame) != len(known):
            return False
        known[4:8] = frame[4:8]
        return frame == known

    def answer(self, frame: bytearray) -> bytes | None:
        """The answer to the same request once more; None: it has to be handled."""
        started = time.perf_counter_ns()
        if not self._repeat():
            return None
        self._metrics.request(self._api_key, started)
        return self._before + frame[4:8] + self._after


def while_levels_last(cluster: ClusterRow, repeat: Callable[[], bool]) -> Callable[[], bool]:
    """`repeat` as long as the levels of features are those of now, by which the API is served; a change brings another dict of them."""
    return partial(_while, cluster, cluster.features, repeat)


def _while(cluster: ClusterRow, levels: dict[str, int], repeat: Callable[[], bool]) -> bool:
    return cluster.features is levels and repeat()
