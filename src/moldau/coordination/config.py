"""The broker settings that the coordinators obey, under Kafka's names with underscores for dots."""

from __future__ import annotations


class GroupConfig:
    """Defaults are Kafka's.

    All of them may be changed while the broker runs; a rebalance that is under way keeps its times.
    """

    __slots__ = (
        "group_initial_rebalance_delay_ms",
        "group_max_session_timeout_ms",
        "group_max_size",
        "group_min_session_timeout_ms",
        "offset_metadata_max_bytes",
        "offsets_retention_check_interval_ms",
        "offsets_retention_ms",
    )

    def __init__(
        self,
        group_min_session_timeout_ms: int = 6_000,
        group_max_session_timeout_ms: int = 1_800_000,
        group_initial_rebalance_delay_ms: int = 3_000,
        group_max_size: int = 2**31 - 1,
        offset_metadata_max_bytes: int = 4096,
        offsets_retention_ms: int = 7 * 24 * 3600 * 1000,
        offsets_retention_check_interval_ms: int = 600_000,
    ) -> None:
        self.group_min_session_timeout_ms = group_min_session_timeout_ms
        self.group_max_session_timeout_ms = group_max_session_timeout_ms
        self.group_initial_rebalance_delay_ms = group_initial_rebalance_delay_ms
        self.group_max_size = group_max_size
        self.offset_metadata_max_bytes = offset_metadata_max_bytes
        self.offsets_retention_ms = offsets_retention_ms
        """`offsets.retention.minutes`, in milliseconds."""
        self.offsets_retention_check_interval_ms = offsets_retention_check_interval_ms
