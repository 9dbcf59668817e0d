-- serves: 10
-- How far share groups are in partitions. One row is written by one broker at a time: the one that knows its owner_epoch.
-- An older release would not delete a group's rows with the group.

CREATE TABLE share_partition (
  group_id {text} NOT NULL,
  topic_id BYTEA NOT NULL,
  partition_index INTEGER NOT NULL,
  owner_epoch BIGINT NOT NULL,
  state_epoch INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  start_offset BIGINT NOT NULL,
  final_count BIGINT NOT NULL,
  state BYTEA NOT NULL,
  PRIMARY KEY (group_id, topic_id, partition_index)
) {without_rowid};
