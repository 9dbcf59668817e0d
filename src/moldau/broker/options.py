"""The settings that the broker's parts act on, as typed values with their defaults; `moldau.broker.config` fills them from keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config.settings import Settings


EMBEDDED = "embedded"
"""In place of a store's URL: in the data directory."""

ANY_NODE_ID = -1
"""In place of a node id: the lowest that no living broker has."""


class Options:
    """One attribute for each setting; names follow the keys they come from."""

    __slots__ = (
        "auto_create_topics",
        "backlog",
        "blobs_url",
        "block_cache_bytes",
        "busy_poll_us",
        "default_replication_factor",
        "delete_topics",
        "fetch_max_bytes",
        "fetch_session_slots",
        "flush_max_bytes",
        "group_initial_rebalance_delay_ms",
        "group_max_session_timeout_ms",
        "group_max_size",
        "group_min_session_timeout_ms",
        "http_host",
        "http_port",
        "idle_max_ms",
        "inline_max_bytes",
        "maintains",
        "metadata_url",
        "node_id",
        "num_partitions",
        "offset_metadata_max_bytes",
        "offsets_retention_check_interval_ms",
        "offsets_retention_ms",
        "partition_page_max",
        "pending_max_bytes",
        "producer_expiration_ms",
        "rack",
        "receive_buffer_bytes",
        "request_max_bytes",
        "retention_check_ms",
        "segment_build_age_ms",
        "segment_max_bytes",
        "segment_min_bytes",
        "send_buffer_bytes",
        "settings",
        "tail_cache_bytes",
        "transaction_abort_interval_ms",
        "transaction_max_timeout_ms",
        "transaction_remove_interval_ms",
        "transactional_id_expiration_ms",
        "upload_linger_ms",
        "upload_max_bytes",
        "uploads_max",
        "views_max",
        "wal_spare_bytes",
    )

    def __init__(self) -> None:
        self.node_id = 1
        self.send_buffer_bytes = -1
        self.receive_buffer_bytes = -1
        self.producer_expiration_ms = 86_400_000
        self.partition_page_max = 2000
        self.maintains = True
        self.metadata_url = EMBEDDED
        self.blobs_url = EMBEDDED
        self.fetch_max_bytes = 55 * 1024 * 1024
        self.delete_topics = True
        self.default_replication_factor = 1
        self.backlog = 50
        self.rack: str | None = None
        self.auto_create_topics = True
        self.http_host = ""
        self.http_port = 0
        self.idle_max_ms = 600_000
        self.num_partitions = 1
        self.inline_max_bytes = 65536
        self.flush_max_bytes = 8 << 20
        self.busy_poll_us = 100
        self.upload_linger_ms = 250
        self.upload_max_bytes = 8 << 20
        self.uploads_max = 4
        self.pending_max_bytes = 32 << 20
        self.request_max_bytes = 100 << 20
        self.tail_cache_bytes = 32 << 20
        self.block_cache_bytes = 64 << 20
        self.settings: Settings | None = None
        self.views_max = 20_000
        self.wal_spare_bytes = 1280 << 20
        self.fetch_session_slots = 1000
        self.retention_check_ms = 300_000
        self.segment_build_age_ms = 5_000
        self.segment_min_bytes = 768 << 10
        self.segment_max_bytes = 8 << 20
        self.group_min_session_timeout_ms = 6_000
        self.group_max_session_timeout_ms = 1_800_000
        self.group_initial_rebalance_delay_ms = 3_000
        self.group_max_size = 2**31 - 1
        self.offset_metadata_max_bytes = 4096
        self.offsets_retention_ms = 7 * 24 * 3600 * 1000
        self.offsets_retention_check_interval_ms = 600_000
        self.transaction_abort_interval_ms = 10_000
        self.transaction_max_timeout_ms = 900_000
        self.transaction_remove_interval_ms = 3_600_000
        self.transactional_id_expiration_ms = 604_800_000
