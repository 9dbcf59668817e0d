-- name: partition_get
-- The hot row.
SELECT partition_id, topic_id, partition_index, alive, end_offset, log_start_offset, leader_epoch, max_timestamp, bytes_total
FROM partition WHERE partition_id = :partition_id;

-- name: snapshot_get
-- The fold of everything below at_offset.
SELECT at_offset, packed FROM view_snapshot WHERE partition_id = :partition_id;

-- name: extents_from
-- Extents that end at or after an offset, in order.
SELECT partition_id, base_offset, last_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch,
  kind, appended_at, fold
FROM extent WHERE partition_id = :partition_id AND last_offset >= :from_offset ORDER BY last_offset LIMIT :limit;

-- name: extents_before
-- The nearest extents that end before an offset, the last one first.
SELECT partition_id, base_offset, last_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch,
  kind, appended_at, fold
FROM extent WHERE partition_id = :partition_id AND last_offset < :from_offset ORDER BY last_offset DESC LIMIT :limit;

-- name: inline_get
-- The bytes of a small flush.
SELECT data FROM inline_blob WHERE blob_id = :blob_id;

-- name: log_start_raise
-- Only upwards, and not beyond the end; -1 means the end.
UPDATE partition SET log_start_offset = CASE
    WHEN CAST(:to_offset AS BIGINT) = -1 OR :to_offset > end_offset THEN end_offset
    WHEN :to_offset > log_start_offset THEN :to_offset ELSE log_start_offset END
WHERE partition_id = :partition_id AND alive = 1 RETURNING log_start_offset, end_offset;

-- name: blob_insert
-- A blob that extents may name from now on.
INSERT INTO blob (blob_id, kind, size, created_ms, doomed_ms, live) VALUES (:blob_id, :kind, :size, :created_ms, -1, 0);

-- name: journal_get
-- How far a write-ahead blob is in the rows.
SELECT applied_to FROM journal WHERE blob_id = :blob_id;
