"""What /metrics shows. Names and meanings are `METRICS`, and docs/operations.md for people; tests hold the two together.

A scrape reads counters that are there anyway. What grows with the data (partitions, groups) is read in portions, so that the loop goes
on with requests between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from moldau.broker.embedded import EmbeddedNode
from moldau.broker.lag import GroupLag, Lag
from moldau.broker.share_states import look_at_shares
from moldau.protocol import api_keys, error_codes
from moldau.version import VERSION

from .exposition import Exposition
from .scrape_blobs import SHARED_METRICS, show_blobs

if TYPE_CHECKING:
    from moldau.broker.assembly import Node
    from moldau.log.view import PartitionView

    from .loop_lag import LoopLag
    from .server import Server

_PORTION = 500

C, G, H = "counter", "gauge", "histogram"
METRICS: dict[str, tuple[str, str]] = {
    "moldau_info": (G, "Always 1; release, node id and cluster id are in the labels."),
    "moldau_start_time_seconds": (G, "When the broker started, in seconds since 1970."),
    "moldau_request_seconds": (H, "From the whole request to the complete reply, by API."),
    "moldau_request_errors_total": (C, "Error codes in replies, by API."),
    "moldau_bytes_in_total": (C, "Bytes of record batches taken."),
    "moldau_bytes_out_total": (C, "Bytes of record batches sent to consumers."),
    "moldau_records_in_total": (C, "Records taken."),
    "moldau_records_out_total": (C, "Records sent to consumers, counted by offsets."),
    "moldau_commit_seconds": (H, "Metadata transactions, from begin to the end of the sync."),
    "moldau_commit_failures_total": (C, "Metadata transactions that the disk or the file refused."),
    "moldau_sync_seconds": (H, "Writes to stable storage: the sync of blobs, the synced COMMIT of metadata."),
    "moldau_flushes_total": (C, "Flushes of the appender: each is one commit of all partitions."),
    "moldau_note_sections_total": (
        C,
        "Writes to the journal of offsets, groups and transactions; of a broker that is alone with its stores.",
    ),
    "moldau_pending_batches": (G, "Record batches that wait for a flush."),
    "moldau_pending_bytes": (G, "Bytes of record batches that wait for a flush."),
    "moldau_checkpoints_total": (C, "Checkpoints of the metadata's write-ahead log."),
    "moldau_wal_pages": (G, "Pages of the metadata's write-ahead log that wait for a checkpoint."),
    "moldau_log_bytes": (G, "Size of a partition's log."),
    "moldau_log_start_offset": (G, "First offset of a partition."),
    "moldau_log_end_offset": (G, "High watermark of a partition."),
    "moldau_topics": (G, "Topics that are alive."),
    "moldau_partitions": (G, "Partitions of topics that are alive."),
    "moldau_views": (G, "Partitions whose view is in memory."),
    "moldau_tail_cache_bytes": (G, "Memory that holds the newest batches."),
    "moldau_tail_cache_reads_total": (C, "Reads that the tail cache could answer (hit) and those it could not (miss)."),
    "moldau_groups": (G, "Consumer groups by state."),
    "moldau_group_lag": (G, "Offsets between what a group has committed and the high watermark."),
    "moldau_group_lag_seconds": (G, "Age of the oldest record that a group has not consumed."),
    "moldau_share_records": (G, "Records in the windows of share-partitions at home here, by state."),
    "moldau_connections": (G, "Open client connections, by listener."),
    "moldau_connections_accepted_total": (C, "Connections that were let in."),
    "moldau_connections_refused_total": (C, "Connections that a limit closed."),
    "moldau_fetches_waiting": (G, "Fetches that wait for records."),
    "moldau_fetch_sessions": (G, "Incremental fetch sessions that are remembered."),
    "moldau_request_buffer_bytes": (G, "Memory of large requests, whole or half-read."),
    "moldau_unsent_bytes": (G, "Memory of replies to clients that read slowly."),
    "moldau_loop_lag_seconds": (H, "How late the event loop is; four samples a second."),
    "moldau_cpu_seconds_total": (C, "CPU time of the process."),
    "moldau_memory_bytes": (G, "Resident memory of the process; where the system tells it (Linux)."),
    "moldau_memory_peak_bytes": (G, "The most resident memory so far."),
    "moldau_open_files": (G, "Open files and sockets of the process; where the system tells it."),
    **SHARED_METRICS,
}


class Scrape:
    """Makes the page."""

    def __init__(self, node: Node, server: Server, loop_lag: LoopLag) -> None:
        self._node = node
        self._server = server
        self._loop_lag = loop_lag
        self._lag = GroupLag(node.broker)
        self._started = time.time()

    async def page(self) -> bytes:
        """The page as it is now."""
        out = Exposition()
        self._requests(out)
        self._commits(out)
        await self._partitions(out)
        await self._groups(out)
        await self._shares(out)
        self._connections(out)
        self._process(out)
        return out.text()

    def _one(self, out: Exposition, name: str, value: float, **labels: str | int) -> None:
        out.family(name, *METRICS[name])
        out.sample(name, value, **labels)

    def _requests(self, out: Exposition) -> None:
        broker = self._node.broker
        metrics = broker.metrics
        self._one(out, "moldau_info", 1, version=VERSION, node_id=broker.node_id, cluster_id=broker.cluster.cluster_id)
        self._one(out, "moldau_start_time_seconds", round(self._started, 3))
        out.family("moldau_request_seconds", *METRICS["moldau_request_seconds"])
        for key, api in sorted(metrics.apis.items()):
            out.histogram("moldau_request_seconds", api, api=api_keys.name(key))
        out.family("moldau_request_errors_total", *METRICS["moldau_request_errors_total"])
        for (key, code), count in sorted(metrics.errors.items()):
            out.sample("moldau_request_errors_total", count, api=api_keys.name(key), error=error_codes.name(code))
        self._one(out, "moldau_bytes_in_total", metrics.bytes_in)
        self._one(out, "moldau_bytes_out_total", metrics.bytes_out)
        self._one(out, "moldau_records_in_total", metrics.records_in)
        self._one(out, "moldau_records_out_total", metrics.records_out)

    def _commits(self, out: Exposition) -> None:
        appender = self._node.broker.appender
        engine = self._node.engine
        out.family("moldau_commit_seconds", *METRICS["moldau_commit_seconds"])
        out.histogram("moldau_commit_seconds", engine.commit_seconds)
        self._one(out, "moldau_commit_failures_total", engine.failures)
        if hasattr(engine, "wal_pages"):
            self._disk(out, engine)
        show_blobs(out, getattr(self._node, "blobs", None), self._node.broker.reader.inline)
        self._one(out, "moldau_flushes_total", appender.flushes)
        notes = getattr(self._node, "notes", None)
        if notes is not None:
            self._one(out, "moldau_note_sections_total", notes.sections)
        self._one(out, "moldau_pending_batches", appender.pending_batches)
        self._one(out, "moldau_pending_bytes", appender.pending_bytes)

    def _disk(self, out: Exposition, engine: Any) -> None:
        """Of a metadata file."""
        out.family("moldau_sync_seconds", *METRICS["moldau_sync_seconds"])
        out.histogram("moldau_sync_seconds", engine.sync_seconds, store="metadata")
        if isinstance(self._node, EmbeddedNode):
            out.histogram("moldau_sync_seconds", self._node.blobs.sync_seconds, store="blobs")
        self._one(out, "moldau_checkpoints_total", engine.checkpoints)
        self._one(out, "moldau_wal_pages", engine.wal_pages)

    async def _partitions(self, out: Exposition) -> None:
        broker = self._node.broker
        views = await self._views()
        for name, attribute in (
            ("moldau_log_bytes", "bytes_total"),
            ("moldau_log_start_offset", "log_start_offset"),
            ("moldau_log_end_offset", "high_watermark"),
        ):
            out.family(name, *METRICS[name])
            for at, (topic, view) in enumerate(views):
                out.sample(name, getattr(view, attribute), topic=topic, partition=view.partition_index)
                if at % _PORTION == _PORTION - 1:
                    await asyncio.sleep(0)
        self._one(out, "moldau_topics", len(broker.catalog.by_id))
        self._one(out, "moldau_partitions", sum(len(each.partition_ids) for each in broker.catalog.by_id.values()))
        self._one(out, "moldau_views", len(broker.views))
        self._one(out, "moldau_tail_cache_bytes", broker.cache.held_bytes)
        out.family("moldau_tail_cache_reads_total", *METRICS["moldau_tail_cache_reads_total"])
        out.sample("moldau_tail_cache_reads_total", broker.cache.hits, result="hit")
        out.sample("moldau_tail_cache_reads_total", broker.cache.misses, result="miss")

    async def _views(self) -> list[tuple[str, PartitionView]]:
        """(topic name, view) of everything in memory, in the order of topics."""
        broker = self._node.broker
        found: list[tuple[str, PartitionView]] = []
        for at, topic in enumerate(sorted(broker.catalog.by_id.values(), key=lambda each: each.name)):
            for partition_id in topic.partition_ids:
                view = broker.views.get(partition_id)
                if view is not None:
                    found.append((topic.name, view))
            if at % _PORTION == _PORTION - 1:
                await asyncio.sleep(0)
        return found

    async def _groups(self, out: Exposition) -> None:
        states = Counter(group.state for group in self._node.broker.groups.list_groups())
        out.family("moldau_groups", *METRICS["moldau_groups"])
        for state, count in sorted(states.items()):
            out.sample("moldau_groups", count, state=state)
        rows = await self._lag.rows()
        for name in ("moldau_group_lag", "moldau_group_lag_seconds"):
            out.family(name, *METRICS[name])
            for at, row in enumerate(rows):
                value = row.offsets if name == "moldau_group_lag" else row.age_ms / 1000
                if value >= 0:
                    out.sample(name, value, **_lag_labels(row))
                if at % _PORTION == _PORTION - 1:
                    await asyncio.sleep(0)

    async def _shares(self, out: Exposition) -> None:
        name = "moldau_share_records"
        out.family(name, *METRICS[name])
        for at, row in enumerate((await look_at_shares(self._node.broker)).rows):
            for state, count in row.deliveries.by_state().items():
                out.sample(name, count, group=row.group, topic=row.topic, partition=row.partition, state=state)
            if at % _PORTION == _PORTION - 1:
                await asyncio.sleep(0)

    def _connections(self, out: Exposition) -> None:
        broker, server = self._node.broker, self._server
        out.family("moldau_connections", *METRICS["moldau_connections"])
        for endpoint in broker.endpoints:
            out.sample(
                "moldau_connections", server.admission.of_listener(endpoint.listener), listener=endpoint.listener
            )
        self._one(out, "moldau_connections_accepted_total", server.accepted)
        self._one(out, "moldau_connections_refused_total", server.admission.refused)
        self._one(out, "moldau_fetches_waiting", len(broker.purgatory))
        self._one(out, "moldau_fetch_sessions", len(broker.fetch_sessions.by_id))
        self._one(out, "moldau_request_buffer_bytes", server.budget.held_bytes)
        self._one(out, "moldau_unsent_bytes", broker.outbox.held_bytes)

    def _process(self, out: Exposition) -> None:
        out.family("moldau_loop_lag_seconds", *METRICS["moldau_loop_lag_seconds"])
        out.histogram("moldau_loop_lag_seconds", self._loop_lag.seconds)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._one(out, "moldau_cpu_seconds_total", round(usage.ru_utime + usage.ru_stime, 6))
        resident = resident_bytes()
        if resident is not None:
            self._one(out, "moldau_memory_bytes", resident)
        self._one(out, "moldau_memory_peak_bytes", usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        with contextlib.suppress(OSError):
            self._one(out, "moldau_open_files", len(os.listdir("/dev/fd")) - 1)


def resident_bytes() -> int | None:
    """Resident memory now; None where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return None


def _lag_labels(row: Lag) -> dict[str, str | int]:
    return {"group": row.group, "topic": row.topic, "partition": row.partition}
