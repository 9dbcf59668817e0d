"""Counters of the hot paths: plain ints, read by the exporter when somebody asks."""

from __future__ import annotations

import time

_BUCKETS = 24
"""Latency buckets: powers of two of 16 us, the last one open."""


class ApiMetrics:
    """Requests of one API: how many, and how long they took."""

    __slots__ = ("buckets", "count", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.buckets = [0] * _BUCKETS


class Metrics:
    """See the module's text."""

    __slots__ = ("apis", "bytes_in", "bytes_out", "connections", "records_in")

    def __init__(self) -> None:
        self.apis: dict[int, ApiMetrics] = {}
        self.bytes_in = 0
        self.bytes_out = 0
        self.records_in = 0
        self.connections = 0

    def request(self, api_key: int, started_ns: int) -> None:
        """A request was answered."""
        api = self.apis.get(api_key)
        if api is None:
            api = self.apis[api_key] = ApiMetrics()
        took = time.perf_counter_ns() - started_ns
        api.count += 1
        api.total_ns += took
        bucket = (took >> 14).bit_length()
        api.buckets[bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1


def bucket_bound_seconds(bucket: int) -> float:
    """The upper bound of a latency bucket."""
    return float((1 << bucket) << 14) / 1e9
