"""Every table of a metadata store, for those who copy one whole: which columns, in which order, and which rows.

The schema is the same on all engines, so a store is moved row by row as it is: ids, offsets, counts and folds keep their values. A test holds this
list against the schema: a table or a column that a migration adds is either here or in `NOT_MOVED`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

Row = tuple[Any, ...]


class Table(NamedTuple):
    """`key` is the order of reading. `of_partition`: the first column is the id of the partition that the row belongs to."""

    name: str
    columns: tuple[str, ...]
    key: str
    where: str = ""
    of_partition: bool = False

    @property
    def select(self) -> str:
        """The same on every engine."""
        where = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}{where} ORDER BY {self.key}"


def _table(name: str, columns: str, key: str, where: str = "", *, of_partition: bool = False) -> Table:
    return Table(name, tuple(columns.split()), key, where, of_partition)


CLUSTER: Final = _table("cluster", "one cluster_id features next_producer_id next_blob_block created_ms", "one")
SEQUENCE: Final = _table("sequence", "name next_value", "name")
TOPIC: Final = _table(
    "topic", "topic_id name configs created_ms deleted_ms replication_factor version assigned", "topic_id"
)
PARTITION: Final = _table(
    "partition",
    "partition_id topic_id partition_index alive end_offset log_start_offset leader_epoch max_timestamp bytes_total",
    "partition_id",
    of_partition=True,
)
EXTENT: Final = _table(
    "extent",
    "partition_id last_offset base_offset blob_id position length max_timestamp running_max_timestamp records leader_epoch kind appended_at fold",
    "partition_id, last_offset",
    of_partition=True,
)
SNAPSHOT: Final = _table("view_snapshot", "partition_id at_offset packed", "partition_id", of_partition=True)
COMPACTION: Final = _table("compaction", "partition_id cleaned_to", "partition_id", of_partition=True)
BLOB: Final = _table("blob", "blob_id kind size created_ms doomed_ms live", "blob_id", "live > 0")
"""Only those that extents name: the rest is garbage, and its bytes may be gone already."""
INLINE_BLOB: Final = _table("inline_blob", "blob_id created_ms data extents", "blob_id")
INLINE_RELEASED: Final = _table("inline_released", "blob_id extents", "blob_id")
GROUP_OFFSET: Final = _table(
    "group_offset",
    "group_id topic_id partition_index committed_offset leader_epoch metadata commit_timestamp expire_timestamp",
    "group_id, topic_id, partition_index",
)
COORDINATOR_RECORD: Final = _table("coordinator_record", "kind group_id record_key value", "kind, group_id, record_key")
SHARE_PARTITION: Final = _table(
    "share_partition",
    "group_id topic_id partition_index owner_epoch state_epoch leader_epoch start_offset final_count state",
    "group_id, topic_id, partition_index",
)
TXN: Final = _table(
    "txn",
    "transactional_id producer_id epoch previous_id previous_epoch state seq timeout_ms started_ms updated_ms version",
    "transactional_id",
)
TXN_PARTITION: Final = _table("txn_partition", "transactional_id partition_id", "transactional_id, partition_id")
TXN_OFFSET: Final = _table(
    "txn_offset",
    "transactional_id group_id topic_id partition_index committed_offset leader_epoch metadata commit_timestamp expire_timestamp",
    "transactional_id, group_id, topic_id, partition_index",
)
ENTITY: Final = _table("entity", "kind name configs", "kind, name")

TABLES: Final = (
    SEQUENCE,
    TOPIC,
    PARTITION,
    BLOB,
    EXTENT,
    SNAPSHOT,
    COMPACTION,
    INLINE_BLOB,
    INLINE_RELEASED,
    GROUP_OFFSET,
    COORDINATOR_RECORD,
    SHARE_PARTITION,
    TXN,
    TXN_PARTITION,
    TXN_OFFSET,
    ENTITY,
    CLUSTER,
)
NOT_MOVED: Final = {
    "broker": "who serves the new store registers there",
    "lease": "is held by a broker",
    "journal": "is empty once the journal is replayed",
}
