"""Committed offsets: pure decisions about rows, the same for every type of group.

The group's own type says who may commit (`GroupType.validate_commit`) and from when offsets age; the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable

from moldau.metadata.rows_groups import OffsetKey, OffsetRow
from moldau.protocol.error_codes import GROUP_SUBSCRIBED_TO_TOPIC, NONE, OFFSET_METADATA_TOO_LARGE

from .events import OffsetCommit, OffsetDelete

NEVER_MS = (1 << 63) - 1
"""The last moment there is."""
FROM_COMMIT = -1
"""Offsets age from their own commit, not from something that happened to the group."""


def commit_rows(event: OffsetCommit, metadata_max: int) -> tuple[list[OffsetRow], list[int]]:
    """The rows to write, and an error code for each offset of the request: OFFSET_METADATA_TOO_LARGE leaves out that
    one alone.

    `metadata_max` counts UTF-16 units, as `offset.metadata.max.bytes` does in Kafka in spite of its name.
    """
    group, committed = event.group_id, event.commit_timestamp
    expires = min(committed + event.retention_ms, NEVER_MS) if event.retention_ms >= 0 else -1
    rows, errors = [], []
    for topic_id, partition, offset, leader_epoch, metadata in event.offsets:
        if metadata and 2 * len(metadata) > metadata_max and _utf16_units(metadata) > metadata_max:
            errors.append(OFFSET_METADATA_TOO_LARGE)
        else:
            rows.append(OffsetRow(group, topic_id, partition, offset, leader_epoch, metadata or "", committed, expires))
            errors.append(NONE)
    return rows, errors


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def delete_keys(event: OffsetDelete, is_subscribed: Callable[[str], bool]) -> tuple[list[OffsetKey], list[int]]:
    """The offsets to delete, and an error code for each partition of the request: GROUP_SUBSCRIBED_TO_TOPIC, or NONE.

    That there is no such offset is no error.
    """
    keys, errors = [], []
    for topic_name, topic_id, partition in event.partitions:
        if is_subscribed(topic_name):
            errors.append(GROUP_SUBSCRIBED_TO_TOPIC)
        else:
            keys.append(OffsetKey(event.group_id, topic_id, partition))
            errors.append(NONE)
    return keys, errors


def is_expired(row: OffsetRow, expire_from: int, now: int, retention_ms: int) -> bool:
    """Is the offset too old? One with an own expire timestamp (OffsetCommit 2-4) obeys that alone."""
    if row.expire_timestamp >= 0:
        return now >= row.expire_timestamp
    since = row.commit_timestamp if expire_from == FROM_COMMIT else expire_from
    return now - since >= retention_ms
