-- The first shape of the store. Written once for SQLite and PostgreSQL: {without_rowid} is empty on PostgreSQL.
-- {text} is text that sorts by code points: TEXT on SQLite, TEXT COLLATE "C" on PostgreSQL.
-- {id} is INTEGER on SQLite, whose own row number that is (one page less to write than with an index), BIGINT on PostgreSQL.

CREATE TABLE cluster (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  cluster_id TEXT NOT NULL,
  features TEXT NOT NULL,
  next_producer_id BIGINT NOT NULL,
  next_blob_block BIGINT NOT NULL,
  created_ms BIGINT NOT NULL
);

-- The next number of things that are numbered once and for all.
CREATE TABLE sequence (
  name TEXT PRIMARY KEY,
  next_value BIGINT NOT NULL
) {without_rowid};
INSERT INTO sequence (name, next_value) VALUES ('partition_id', 1);

CREATE TABLE broker (
  node_id INTEGER PRIMARY KEY,
  incarnation BIGINT NOT NULL,
  listeners TEXT NOT NULL,
  rack TEXT,
  release TEXT NOT NULL,
  started_ms BIGINT NOT NULL
);

CREATE TABLE topic (
  topic_id BYTEA PRIMARY KEY,
  name TEXT NOT NULL,
  configs TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  deleted_ms BIGINT
);
CREATE UNIQUE INDEX topic_name ON topic (name) WHERE deleted_ms IS NULL;

CREATE TABLE partition (
  partition_id INTEGER PRIMARY KEY,
  topic_id BYTEA NOT NULL,
  partition_index INTEGER NOT NULL,
  alive INTEGER NOT NULL,
  end_offset BIGINT NOT NULL,
  log_start_offset BIGINT NOT NULL,
  leader_epoch INTEGER NOT NULL,
  max_timestamp BIGINT NOT NULL,
  bytes_total BIGINT NOT NULL
);
CREATE UNIQUE INDEX partition_of_topic ON partition (topic_id, partition_index);

CREATE TABLE extent (
  partition_id INTEGER NOT NULL,
  last_offset BIGINT NOT NULL,
  base_offset BIGINT NOT NULL,
  blob_id BIGINT NOT NULL,
  position BIGINT NOT NULL,
  length BIGINT NOT NULL,
  max_timestamp BIGINT NOT NULL,
  running_max_timestamp BIGINT NOT NULL,
  records BIGINT NOT NULL,
  leader_epoch INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  appended_at BIGINT NOT NULL,
  fold BYTEA NOT NULL,
  PRIMARY KEY (partition_id, last_offset)
) {without_rowid};

CREATE TABLE view_snapshot (
  partition_id INTEGER PRIMARY KEY,
  at_offset BIGINT NOT NULL,
  packed BYTEA NOT NULL
);

CREATE TABLE blob (
  blob_id BIGINT PRIMARY KEY,
  kind INTEGER NOT NULL,
  size BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  doomed_ms BIGINT NOT NULL
) {without_rowid};

CREATE TABLE inline_blob (
  blob_id {id} PRIMARY KEY,
  created_ms BIGINT NOT NULL,
  data BYTEA NOT NULL
);

CREATE TABLE group_offset (
  group_id {text} NOT NULL,
  topic_id BYTEA NOT NULL,
  partition_index INTEGER NOT NULL,
  committed_offset BIGINT NOT NULL,
  leader_epoch INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  commit_timestamp BIGINT NOT NULL,
  expire_timestamp BIGINT NOT NULL,
  PRIMARY KEY (group_id, topic_id, partition_index)
) {without_rowid};

CREATE TABLE coordinator_record (
  kind INTEGER NOT NULL,
  group_id {text} NOT NULL,
  record_key {text} NOT NULL,
  value BYTEA NOT NULL,
  PRIMARY KEY (kind, group_id, record_key)
) {without_rowid};

CREATE TABLE entity (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  configs TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) {without_rowid};
