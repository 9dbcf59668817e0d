-- serves: 6
-- Transactions: a row for each transactional id, and rows for what takes part in an open transaction.
-- An older release would give uncommitted records to readers of committed ones.

CREATE TABLE txn (
  transactional_id {text} PRIMARY KEY,
  producer_id BIGINT NOT NULL,
  epoch INTEGER NOT NULL,
  previous_id BIGINT NOT NULL,
  previous_epoch INTEGER NOT NULL,
  state INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  timeout_ms INTEGER NOT NULL,
  started_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  version INTEGER NOT NULL
) {without_rowid};

CREATE TABLE txn_partition (
  transactional_id {text} NOT NULL,
  partition_id INTEGER NOT NULL,
  PRIMARY KEY (transactional_id, partition_id)
) {without_rowid};

-- Offsets that the commit of a transaction makes those of the group.
CREATE TABLE txn_offset (
  transactional_id {text} NOT NULL,
  group_id {text} NOT NULL,
  topic_id BYTEA NOT NULL,
  partition_index INTEGER NOT NULL,
  committed_offset BIGINT NOT NULL,
  leader_epoch INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  commit_timestamp BIGINT NOT NULL,
  expire_timestamp BIGINT NOT NULL,
  PRIMARY KEY (transactional_id, group_id, topic_id, partition_index)
) {without_rowid};
CREATE INDEX txn_offset_of_group ON txn_offset (group_id, topic_id, partition_index);
