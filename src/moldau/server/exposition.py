"""The broker's counters in Prometheus' text format, made when somebody asks. Names and meanings: docs/operations.md."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from moldau.broker.metrics import bucket_bound_seconds
from moldau.protocol import api_keys

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from moldau.broker.assembly import Node

    from .server import Server

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class BrokerCollector:
    """A prometheus_client collector over plain ints."""

    def __init__(self, node: Node, server: Server) -> None:
        self._node = node
        self._server = server

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        node, broker = self._node, self._node.broker
        metrics = broker.metrics
        yield CounterMetricFamily("moldau_bytes_in", "Bytes of record batches taken.", metrics.bytes_in)
        yield CounterMetricFamily("moldau_bytes_out", "Bytes of record batches sent to consumers.", metrics.bytes_out)
        yield CounterMetricFamily("moldau_records_in", "Records taken.", metrics.records_in)
        requests = HistogramMetricFamily(
            "moldau_request_seconds", "From the whole frame to the complete reply, by API.", labels=["api"]
        )
        for key, api in sorted(metrics.apis.items()):
            total = 0
            buckets = []
            for bucket, count in enumerate(api.buckets):
                total += count
                bound = "+Inf" if bucket == len(api.buckets) - 1 else f"{bucket_bound_seconds(bucket):.9g}"
                buckets.append((bound, total))
            requests.add_metric([api_keys.name(key)], buckets, api.total_ns / 1e9)
        yield requests
        yield CounterMetricFamily("moldau_commits", "Metadata transactions.", node.engine.commits)
        yield CounterMetricFamily(
            "moldau_commit_seconds", "Time spent in metadata transactions.", node.engine.commit_ns_total / 1e9
        )
        yield CounterMetricFamily("moldau_flushes", "Flushes of the appender.", broker.appender.flushes)
        yield GaugeMetricFamily("moldau_pending_bytes", "Bytes that wait for a flush.", broker.appender.pending_bytes)
        yield GaugeMetricFamily("moldau_connections", "Open client connections.", self._server.connections)
        yield GaugeMetricFamily("moldau_topics", "Topics that are alive.", len(broker.catalog.by_name))
        sizes = GaugeMetricFamily("moldau_log_bytes", "Size of a partition's log.", labels=["topic", "partition"])
        ends = GaugeMetricFamily("moldau_log_end_offset", "High watermark.", labels=["topic", "partition"])
        for topic in broker.catalog.by_id.values():
            for index, partition_id in enumerate(topic.partition_ids):
                view = broker.views.get(partition_id)
                if view is not None:
                    sizes.add_metric([topic.name, str(index)], view.bytes_total)
                    ends.add_metric([topic.name, str(index)], view.high_watermark)
        yield sizes
        yield ends
        usage = resource.getrusage(resource.RUSAGE_SELF)
        scale = 1 if sys.platform == "darwin" else 1024
        yield CounterMetricFamily("moldau_cpu_seconds", "CPU time of the process.", usage.ru_utime + usage.ru_stime)
        yield GaugeMetricFamily("moldau_memory_peak_bytes", "Peak resident memory.", usage.ru_maxrss * scale)


def render(collectors: Iterable[BrokerCollector]) -> bytes:
    """The page."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import generate_latest

    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
