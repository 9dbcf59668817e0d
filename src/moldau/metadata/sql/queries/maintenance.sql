-- name: extent_insert
-- An extent as given: maintenance writes final rows.
INSERT INTO extent (partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records,
  leader_epoch, kind, appended_at, fold, durable)
VALUES (:partition_id, :last_offset, :base_offset, :blob_id, :position, :length, :max_timestamp, :running_max_timestamp, :records,
  :leader_epoch, :kind, :appended_at, :fold, :durable);

-- name: extent_delete
-- Exactly the row that was read.
DELETE FROM extent WHERE partition_id = :partition_id AND last_offset = :last_offset AND base_offset = :base_offset
  AND blob_id = :blob_id AND position = :position RETURNING length;

-- name: partition_add_bytes
-- The partition's total follows what its extents hold.
UPDATE partition SET bytes_total = bytes_total + :bytes WHERE partition_id = :partition_id;

-- name: snapshot_put
-- The newest fold replaces the one before, unless the partition is dead.
INSERT INTO view_snapshot (partition_id, at_offset, packed) SELECT partition_id, :at_offset, :packed FROM partition WHERE partition_id = :partition_id AND alive = 1
ON CONFLICT (partition_id) DO UPDATE SET at_offset = excluded.at_offset, packed = excluded.packed
WHERE view_snapshot.at_offset <= excluded.at_offset;

-- name: snapshot_delete
-- With the partition.
DELETE FROM view_snapshot WHERE partition_id = :partition_id;

-- name: partitions_dead
-- Deleted, rows still there.
SELECT partition_id FROM partition WHERE alive = 0 ORDER BY partition_id LIMIT :limit;

-- name: extents_purge
-- A capped chunk of a dead partition's rows.
DELETE FROM extent WHERE partition_id = :partition_id AND last_offset IN
  (SELECT last_offset FROM extent WHERE partition_id = :partition_id ORDER BY last_offset LIMIT :limit) RETURNING last_offset;

-- name: partition_delete
-- The last row of a dead partition.
DELETE FROM partition WHERE partition_id = :partition_id AND alive = 0;

-- name: topic_purge
-- Deleted topics without partitions.
DELETE FROM topic WHERE deleted_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM partition WHERE partition.topic_id = topic.topic_id);

-- name: blobs_unreferenced
-- Sealed, old enough, and named by no extent: it stays so, because a sealed blob gets no new extents.
SELECT blob_id FROM blob WHERE size >= 0 AND doomed_ms < 0 AND created_ms < :before
  AND blob_id NOT IN (SELECT blob_id FROM extent WHERE kind <> 1) ORDER BY blob_id LIMIT :limit;

-- name: blob_doom
-- No commit may name it any more.
UPDATE blob SET doomed_ms = :now WHERE blob_id = :blob_id AND doomed_ms < 0;

-- name: inline_unreferenced
-- Inline bytes that were moved or whose extents are gone.
SELECT blob_id FROM inline_blob WHERE created_ms < :before AND blob_id NOT IN (SELECT blob_id FROM extent WHERE kind = 1)
  ORDER BY blob_id LIMIT :limit;

-- name: inline_delete
-- Its bytes are elsewhere or not needed.
DELETE FROM inline_blob WHERE blob_id = :blob_id;

-- name: blobs_doomed
-- Their bytes may go.
SELECT blob_id, kind, size, created_ms, doomed_ms FROM blob WHERE doomed_ms >= 0 AND doomed_ms < :before ORDER BY blob_id LIMIT :limit;

-- name: blob_forget
-- Its bytes are gone.
DELETE FROM blob WHERE blob_id = :blob_id;

-- name: blob_seal
-- It grows no more.
UPDATE blob SET size = :size WHERE blob_id = :blob_id AND size < 0;

-- name: blobs_all
-- Every blob.
SELECT blob_id, kind, size, created_ms, doomed_ms FROM blob ORDER BY blob_id;

-- name: blob_ends
-- How far extents reach into each blob.
SELECT blob_id, max(position + length) FROM extent WHERE kind <> 1 GROUP BY blob_id;
