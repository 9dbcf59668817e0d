-- name: txn_lock
-- A transactional id as it is, to be decided on.
SELECT transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version
FROM txn WHERE transactional_id = :transactional_id {FOR NO KEY UPDATE};

-- name: txn_get
-- The same, to be looked at.
SELECT transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version
FROM txn WHERE transactional_id = :transactional_id;

-- name: txn_insert
-- A new one; no row comes back when another was first.
INSERT INTO txn (transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version)
VALUES (:transactional_id, :producer_id, :epoch, :previous_id, :previous_epoch, :state, :seq, :timeout_ms, :started_ms, :updated_ms, :version)
ON CONFLICT (transactional_id) DO NOTHING RETURNING transactional_id;

-- name: txn_set
-- What was decided on a locked one.
UPDATE txn SET producer_id = :producer_id, epoch = :epoch, previous_id = :previous_id, previous_epoch = :previous_epoch, state = :state,
  seq = :seq, timeout_ms = :timeout_ms, started_ms = :started_ms, updated_ms = :updated_ms, version = :version
WHERE transactional_id = :transactional_id;

-- name: txn_delete
-- Known no more.
DELETE FROM txn WHERE transactional_id = :transactional_id;

-- name: txn_partitions
-- What takes part in its transaction, under the lock of its row.
SELECT partition_id FROM txn_partition WHERE transactional_id = :transactional_id;

-- name: txn_partitions_alive
-- The same in words that clients know.
SELECT p.topic_id, p.partition_index FROM txn_partition x JOIN partition p ON p.partition_id = x.partition_id
WHERE x.transactional_id = :transactional_id AND p.alive = 1 ORDER BY p.topic_id, p.partition_index;

-- name: txn_partition_put
-- One more takes part.
INSERT INTO txn_partition (transactional_id, partition_id) VALUES (:transactional_id, :partition_id)
ON CONFLICT (transactional_id, partition_id) DO NOTHING;

-- name: txn_partitions_delete
-- Nothing takes part any more.
DELETE FROM txn_partition WHERE transactional_id = :transactional_id;

-- name: txn_offset_put
-- An offset that the commit will make the group's.
INSERT INTO txn_offset (transactional_id, group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp,
  expire_timestamp)
VALUES (:transactional_id, :group_id, :topic_id, :partition_index, :committed_offset, :leader_epoch, :metadata, :commit_timestamp,
  :expire_timestamp)
ON CONFLICT (transactional_id, group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
  leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
  expire_timestamp = excluded.expire_timestamp;

-- name: txn_offsets_commit
-- They are the group's, but for topics that are gone.
INSERT INTO group_offset (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp)
SELECT o.group_id, o.topic_id, o.partition_index, o.committed_offset, o.leader_epoch, o.metadata, o.commit_timestamp, o.expire_timestamp
FROM txn_offset o JOIN topic t ON t.topic_id = o.topic_id AND t.deleted_ms IS NULL
WHERE o.transactional_id = :transactional_id ORDER BY o.group_id, o.topic_id, o.partition_index
ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
  leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
  expire_timestamp = excluded.expire_timestamp;

-- name: txn_offsets_delete
-- They are the group's, or never will be.
DELETE FROM txn_offset WHERE transactional_id = :transactional_id;

-- name: marker_append
-- A partition ends one offset further on.
UPDATE partition SET end_offset = :end_offset, bytes_total = bytes_total + :length, max_timestamp = :max_timestamp
WHERE partition_id = :partition_id;

-- name: txns
-- All of them, in chunks.
SELECT transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version
FROM txn WHERE transactional_id > :after ORDER BY transactional_id LIMIT :limit;

-- name: txns_overdue
-- Open for longer than their producers said they would be. An index would have to follow every transaction; this looks now and then.
SELECT transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version
FROM txn WHERE state = 1 AND started_ms + timeout_ms < :now ORDER BY transactional_id LIMIT :limit;

-- name: txns_idle
-- Unused for long.
SELECT transactional_id, producer_id, epoch, previous_id, previous_epoch, state, seq, timeout_ms, started_ms, updated_ms, version
FROM txn WHERE state NOT IN (1, 2) AND updated_ms < :before ORDER BY transactional_id LIMIT :limit;

-- name: pending_offset_delete
-- A group's offset is deleted: no transaction brings it back.
DELETE FROM txn_offset WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index;

-- name: pending_offsets
-- Of a group.
SELECT DISTINCT topic_id, partition_index FROM txn_offset WHERE group_id = :group_id ORDER BY topic_id, partition_index;

-- name: pending_offset_get
-- A row if the offset is pending.
SELECT 1 FROM txn_offset WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index LIMIT 1;
