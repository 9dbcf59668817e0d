"""Counters of the hot paths: plain ints, read by the exporter when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from moldau.histogram import Histogram
from moldau.protocol.message import Struct

_WALK_MAX = 500
"""Parts of one response that are looked at for error codes."""


class Metrics:
    """See the module's text."""

    __slots__ = ("apis", "bytes_in", "bytes_out", "errors", "records_in", "records_out")

    def __init__(self) -> None:
        self.apis: dict[int, Histogram] = {}
        self.errors: Counter[tuple[int, int]] = Counter()
        """Error codes in answers by (API key, code); NONE is not counted."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.records_in = 0
        self.records_out = 0

    def request(self, api_key: int, started_ns: int) -> None:
        """A request was answered."""
        api = self.apis.get(api_key)
        if api is None:
            api = self.apis[api_key] = Histogram()
        api.observe(time.perf_counter_ns() - started_ns)

    def response(self, api_key: int, message: Struct) -> None:
        """Count the error codes in an answer."""
        for code in error_codes_in(message):
            self.errors[api_key, code] += 1


def error_codes_in(message: Struct) -> Iterator[int]:
    """Every `error_code` but NONE in a message and its parts; of a very large one those of the first few hundred parts."""
    left = [message]
    for _ in range(_WALK_MAX):
        if not left:
            return
        part = left.pop()
        for name in part.__slots__:
            value = getattr(part, name)
            if name == "error_code":
                if value:
                    yield value
            elif value.__class__ is list and value and isinstance(value[0], Struct):
                left += value[:_WALK_MAX]
