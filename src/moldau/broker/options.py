"""The settings that the broker's parts act on, as typed values with their defaults; `moldau.broker.config` fills them from keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config.settings import Settings


class Options:
    """One attribute for each setting; names follow the keys they come from."""

    __slots__ = (
        "auto_create_topics",
        "connections_max",
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
        "node_id",
        "num_partitions",
        "offset_metadata_max_bytes",
        "offsets_retention_check_interval_ms",
        "offsets_retention_ms",
        "pending_max_bytes",
        "rack",
        "request_max_bytes",
        "retention_check_ms",
        "settings",
        "tail_cache_bytes",
        "views_max",
    )

    def __init__(self) -> None:
        self.node_id = 1
        self.rack: str | None = None
        self.auto_create_topics = True
        self.connections_max = 2**31 - 1
        self.http_host = ""
        self.http_port = 0
        self.idle_max_ms = 600_000
        self.num_partitions = 1
        self.inline_max_bytes = 65536
        self.flush_max_bytes = 8 << 20
        self.pending_max_bytes = 32 << 20
        self.request_max_bytes = 100 << 20
        self.tail_cache_bytes = 32 << 20
        self.settings: Settings | None = None
        self.views_max = 20_000
        self.fetch_session_slots = 1000
        self.retention_check_ms = 300_000
        self.group_min_session_timeout_ms = 6_000
        self.group_max_session_timeout_ms = 1_800_000
        self.group_initial_rebalance_delay_ms = 3_000
        self.group_max_size = 2**31 - 1
        self.offset_metadata_max_bytes = 4096
        self.offsets_retention_ms = 7 * 24 * 3600 * 1000
        self.offsets_retention_check_interval_ms = 600_000
