"""The rows that the coordinators keep in the metadata store.

Named tuples, because they go straight into (and come straight out of) SQL statements by position.
Times are milliseconds since the epoch; topic ids are 16 bytes.
"""

from __future__ import annotations

from typing import NamedTuple


class GroupRecord(NamedTuple):
    """One packed record of a group. A `value` of None deletes the record.

    `kind` names the format and the owner (`moldau.coordination.records`); `key` tells several records of one kind and
    group apart.
    """

    kind: int
    group: str
    key: str
    value: bytes | None


class OffsetKey(NamedTuple):
    """What names a committed offset."""

    group: str
    topic_id: bytes
    partition: int


class OffsetRow(NamedTuple):
    """A committed offset. `leader_epoch` -1: unknown. `expire_timestamp` -1: expires by the group's retention rules."""

    group: str
    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp: int
    expire_timestamp: int

    @property
    def key(self) -> OffsetKey:
        return OffsetKey(self.group, self.topic_id, self.partition)
