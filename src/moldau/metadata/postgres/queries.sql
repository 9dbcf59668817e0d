-- Statements that only PostgreSQL has, or that it words otherwise than the shared ones.

-- name: barrier
-- A commit that changes nothing: once it is synced and replicated, so is every earlier one.
UPDATE sequence SET next_value = next_value WHERE name = 'partition_id';

-- name: store_now
-- The store's clock, in ms.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT);

-- name: extents_at
-- Which of these extents are there: by partition and last offset.
SELECT w.nth, e.base_offset, e.blob_id, e.position, e.leader_epoch, e.running_max_timestamp
FROM unnest(CAST(:partition_ids AS INTEGER[]), CAST(:last_offsets AS BIGINT[])) WITH ORDINALITY AS w (partition_id, last_offset, nth)
JOIN extent e ON e.partition_id = w.partition_id AND e.last_offset = w.last_offset;

-- name: inline_count
-- More extents name inline bytes that were written a moment ago.
UPDATE inline_blob SET extents = extents + :extents WHERE blob_id = :blob_id;

-- name: partition_state
-- A view's row, snapshot and extents in one answer: first the row, the snapshot's offset, and topic id and snapshot joined; then extents.
WITH p AS (SELECT * FROM partition WHERE partition_id = :partition_id AND alive = 1),
s AS (SELECT s.at_offset, s.packed FROM view_snapshot s JOIN p ON p.partition_id = s.partition_id)
SELECT * FROM (
  SELECT partition_id, end_offset, log_start_offset, max_timestamp, bytes_total, coalesce((SELECT at_offset FROM s), 0), 0, 0, 0, leader_epoch,
    -1, partition_index, topic_id || coalesce((SELECT packed FROM s), '') FROM p
  UNION ALL
  SELECT e.partition_id, e.base_offset, e.last_offset, e.blob_id, e.position, e.length, e.max_timestamp, e.running_max_timestamp, e.records,
    e.leader_epoch, e.kind, e.appended_at, e.fold
  FROM p JOIN extent e ON e.partition_id = p.partition_id AND e.last_offset >= coalesce((SELECT at_offset FROM s), 0)
) AS both_kinds;
