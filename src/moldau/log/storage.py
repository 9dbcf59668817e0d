"""How a batch is stored where stores are shared: express, inside the metadata commit, or standard, in an object that many batches share.

An express batch costs one commit of the metadata store (some milliseconds); a standard one waits for its object to fill and to be put (some
hundred), but a mebibyte of it costs no more rows than a small batch. A topic may choose (`moldau.storage`); `auto` is express while the topic is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

EXPRESS = "express"
STANDARD = "standard"
AUTO = "auto"

FAST_BYTES_PER_SECOND = 1 << 20
"""A topic that is `auto` becomes standard at this rate, and express again below half of it."""
MEMORY_SECONDS = 2.0
"""Bytes count for the rate with a weight that falls to a third in this time."""
_TOPICS_MAX = 10_000

ModeOf = Callable[[bytes], str]
"""Topic id -> EXPRESS, STANDARD or AUTO."""


class AppendRules:
    """Limits of the appender of shared stores; the defaults are those of the keys."""

    __slots__ = ("fast_bytes_per_second", "inline_max_bytes", "upload_linger_ms", "upload_max_bytes", "uploads_max")

    def __init__(
        self,
        inline_max_bytes: int = 65536,
        upload_linger_ms: int = 250,
        upload_max_bytes: int = 8 << 20,
        uploads_max: int = 4,
        fast_bytes_per_second: int = FAST_BYTES_PER_SECOND,
    ) -> None:
        self.inline_max_bytes = inline_max_bytes
        self.upload_linger_ms = upload_linger_ms
        self.upload_max_bytes = upload_max_bytes
        self.uploads_max = uploads_max
        self.fast_bytes_per_second = fast_bytes_per_second


class _Rate:
    __slots__ = ("at", "bytes", "fast")

    def __init__(self, at: float) -> None:
        self.at = at
        self.bytes = 0.0
        self.fast = False


class Storage:
    """Decides for each batch as it arrives. Pure."""

    def __init__(self, mode_of: ModeOf, rules: AppendRules) -> None:
        self._mode_of = mode_of
        self._inline_max = rules.inline_max_bytes
        self._fast_at = rules.fast_bytes_per_second * MEMORY_SECONDS
        self._rates: dict[bytes, _Rate] = {}

    def is_express(self, topic_id: bytes, size: int, waiting: int, now: float) -> bool:
        """For a batch of `size` bytes when `waiting` express bytes of its partition are not committed yet; `now` in seconds.

        A batch above `inline_max_bytes` never is.
        """
        mode = self._mode_of(topic_id)
        if mode == STANDARD or size > self._inline_max:
            if mode == AUTO:
                self._is_fast(topic_id, size, now)
            return False
        if mode == EXPRESS:
            return True
        return not self._is_fast(topic_id, size, now) and waiting + size <= self._inline_max

    def _is_fast(self, topic_id: bytes, size: int, now: float) -> bool:
        rate = self._rates.get(topic_id)
        if rate is None:
            if len(self._rates) >= _TOPICS_MAX:
                self._rates.clear()
            rate = self._rates[topic_id] = _Rate(now)
        elapsed = now - rate.at
        if elapsed > 0:
            rate.bytes *= exp(-elapsed / MEMORY_SECONDS)
            rate.at = now
        rate.bytes += size
        if rate.fast:
            rate.fast = rate.bytes >= self._fast_at / 2
        else:
            rate.fast = rate.bytes >= self._fast_at
        return rate.fast
