-- name: coordinator_records
-- Everything that coordinators wrote.
SELECT kind, group_id, record_key, value FROM coordinator_record ORDER BY kind, group_id, record_key;

-- name: coordinator_record_keys
-- Which groups have records of which kind; of values nothing is read.
SELECT DISTINCT kind, group_id FROM coordinator_record ORDER BY kind, group_id;

-- name: coordinator_records_of
-- One group's records of one kind.
SELECT kind, group_id, record_key, value FROM coordinator_record WHERE kind = :kind AND group_id = :group_id ORDER BY record_key;

-- name: coordinator_record_put
-- A group's record changes.
INSERT INTO coordinator_record (kind, group_id, record_key, value) VALUES (:kind, :group_id, :record_key, :value)
ON CONFLICT (kind, group_id, record_key) DO UPDATE SET value = excluded.value;

-- name: coordinator_record_delete
-- A tombstone.
DELETE FROM coordinator_record WHERE kind = :kind AND group_id = :group_id AND record_key = :record_key;

-- name: group_offset_put
-- A committed offset.
INSERT INTO group_offset (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp)
VALUES (:group_id, :topic_id, :partition_index, :committed_offset, :leader_epoch, :metadata, :commit_timestamp, :expire_timestamp)
ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
  leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
  expire_timestamp = excluded.expire_timestamp;

-- name: group_offset_delete
-- One committed offset goes.
DELETE FROM group_offset WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index;

-- name: group_offset_get
-- One committed offset.
SELECT group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp
FROM group_offset WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index;

-- name: group_offsets
-- All of a group.
SELECT group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp
FROM group_offset WHERE group_id = :group_id ORDER BY topic_id, partition_index;

-- name: group_offsets_expirable
-- Offsets that may be too old, in chunks behind a key.
SELECT group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp
FROM group_offset
WHERE (group_id, topic_id, partition_index) > (:group_id, :topic_id, :partition_index)
  AND CASE WHEN expire_timestamp = -1 THEN commit_timestamp <= :before ELSE expire_timestamp <= :now END
ORDER BY group_id, topic_id, partition_index LIMIT :limit;

-- name: group_has_offsets
-- A row when the group has committed anything.
SELECT 1 FROM group_offset WHERE group_id = :group_id LIMIT 1;

-- name: group_offsets_of_topic
-- Whose offsets go with a topic. Rare, so without an index of its own.
SELECT group_id, topic_id, partition_index FROM group_offset WHERE topic_id = :topic_id LIMIT :limit;
