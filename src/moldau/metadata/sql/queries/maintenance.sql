-- name: extent_insert
-- An extent as given: maintenance writes final rows.
INSERT INTO extent (partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records,
  leader_epoch, kind, appended_at, fold)
VALUES (:partition_id, :last_offset, :base_offset, :blob_id, :position, :length, :max_timestamp, :running_max_timestamp, :records,
  :leader_epoch, :kind, :appended_at, :fold);

-- name: extents_named
-- What the rows of a run are, to be compared with what was read, and how many extents still name their inline bytes.
SELECT e.last_offset, e.base_offset, e.blob_id, e.position, e.length, e.kind, b.extents - coalesce(r.extents, 0)
FROM extent e
LEFT JOIN inline_blob b ON e.kind = 1 AND b.blob_id = e.blob_id
LEFT JOIN inline_released r ON e.kind = 1 AND r.blob_id = e.blob_id
WHERE e.partition_id = :partition_id AND e.last_offset BETWEEN :first_offset AND :last_offset
ORDER BY e.last_offset LIMIT :limit {FOR UPDATE OF e};

-- name: partition_stays
-- Until the end of the transaction nobody purges the partition (with one writer at a time, that is so).
SELECT partition_id FROM partition WHERE partition_id = :partition_id;

-- name: extents_delete_run
-- All rows of a run.
DELETE FROM extent WHERE partition_id = :partition_id AND last_offset BETWEEN :first_offset AND :last_offset RETURNING last_offset;

-- name: extent_delete
-- One row.
DELETE FROM extent WHERE partition_id = :partition_id AND last_offset = :last_offset;

-- name: blob_count
-- Extents that name a blob come or go.
UPDATE blob SET live = live + :extents WHERE blob_id = :blob_id;

-- name: inline_delete
-- The last extent that named them is gone.
DELETE FROM inline_blob WHERE blob_id = :blob_id;

-- name: inline_released_add
-- Extents of inline bytes are gone, others are not.
INSERT INTO inline_released (blob_id, extents) VALUES (:blob_id, :extents)
ON CONFLICT (blob_id) DO UPDATE SET extents = inline_released.extents + excluded.extents;

-- name: inline_released_sweep
-- Another transaction may have counted the rest at the same time: whoever of the two comes second deletes the bytes.
DELETE FROM inline_blob WHERE blob_id = :blob_id AND extents <= (SELECT r.extents FROM inline_released r WHERE r.blob_id = :blob_id);

-- name: inline_released_swept
-- A count whose bytes are gone.
DELETE FROM inline_released WHERE blob_id = :blob_id
  AND NOT EXISTS (SELECT 1 FROM inline_blob b WHERE b.blob_id = inline_released.blob_id);

-- name: inline_released_forget
-- With the bytes.
DELETE FROM inline_released WHERE blob_id = :blob_id;

-- name: inline_insert
-- Bytes that several extents, or one, will name.
INSERT INTO inline_blob (blob_id, created_ms, data, extents) VALUES (:blob_id, :created_ms, :data, :extents);

-- name: inline_run
-- The inline bytes of a run of one partition.
SELECT e.last_offset, substr(b.data, CAST(e.position AS INTEGER) + 1, CAST(e.length AS INTEGER)) FROM extent e JOIN inline_blob b ON b.blob_id = e.blob_id
WHERE e.partition_id = :partition_id AND e.last_offset BETWEEN :first_offset AND :last_offset AND e.kind = 1;

-- name: partition_heads
-- Partitions with their first extents.
SELECT p.partition_id, p.topic_id, p.log_start_offset, p.bytes_total, e.last_offset, e.length, e.max_timestamp, e.appended_at
FROM partition p JOIN extent e ON e.partition_id = p.partition_id
  AND e.last_offset = (SELECT min(f.last_offset) FROM extent f WHERE f.partition_id = p.partition_id)
WHERE p.alive = 1 AND p.partition_id > :after ORDER BY p.partition_id LIMIT :limit;

-- name: small_extents
-- Below which offset each partition has no small extents.
SELECT p.partition_id, coalesce((SELECT e.base_offset FROM extent e WHERE e.partition_id = p.partition_id AND e.length < :small_bytes
  ORDER BY e.last_offset LIMIT 1), p.end_offset)
FROM partition p WHERE p.alive = 1 AND p.partition_id > :after ORDER BY p.partition_id LIMIT :limit;

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

-- name: cleaned_get
-- Up to where compaction has been.
SELECT cleaned_to FROM compaction WHERE partition_id = :partition_id;

-- name: cleaned_put
-- Only upwards, and not for the dead.
INSERT INTO compaction (partition_id, cleaned_to) SELECT partition_id, :cleaned_to FROM partition WHERE partition_id = :partition_id AND alive = 1
ON CONFLICT (partition_id) DO UPDATE SET cleaned_to = excluded.cleaned_to WHERE compaction.cleaned_to < excluded.cleaned_to;

-- name: cleaned_delete
-- With the partition.
DELETE FROM compaction WHERE partition_id = :partition_id;

-- name: partitions_dead
-- Deleted, rows still there.
SELECT partition_id FROM partition WHERE alive = 0 ORDER BY partition_id LIMIT :limit;

-- name: partition_dead_lock
-- It is about to lose its last row: nobody is in the middle of a change to it any more.
SELECT partition_id FROM partition WHERE partition_id = :partition_id AND alive = 0;

-- name: partition_delete
-- The last row of a dead partition.
DELETE FROM partition WHERE partition_id = :partition_id AND alive = 0;

-- name: topic_purge
-- Deleted topics without partitions.
DELETE FROM topic WHERE deleted_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM partition WHERE partition.topic_id = topic.topic_id)
RETURNING version;

-- name: blobs_unreferenced
-- Sealed, old enough, and named by no extent: it stays so, because a sealed blob gets no new extents.
SELECT blob_id FROM blob WHERE live = 0 AND size >= 0 AND doomed_ms < 0 AND created_ms < :before ORDER BY blob_id LIMIT :limit;

-- name: blob_doom
-- No commit may name it any more; one that came first is counted.
UPDATE blob SET doomed_ms = :now WHERE blob_id = :blob_id AND doomed_ms < 0 AND live = 0 RETURNING blob_id;

-- name: blob_doom_orphan
-- Stored, but without a row: with this one, whoever wants to name it is refused.
INSERT INTO blob (blob_id, kind, size, created_ms, doomed_ms, live) VALUES (:blob_id, 0, 0, :now, :now, 0)
ON CONFLICT (blob_id) DO NOTHING RETURNING blob_id;

-- name: blobs_doomed
-- Their bytes may go.
SELECT blob_id, kind, size, created_ms, doomed_ms FROM blob
WHERE live = 0 AND doomed_ms >= 0 AND (doomed_ms < :before OR kind = :wal AND doomed_ms < :wal_before) ORDER BY blob_id LIMIT :limit;

-- name: blob_forget
-- Its bytes are gone.
DELETE FROM blob WHERE blob_id = :blob_id;

-- name: blob_seal
-- It grows no more.
UPDATE blob SET size = :size WHERE blob_id = :blob_id AND size < 0;

-- name: journal_forget
-- A sealed blob is in the rows as a whole.
DELETE FROM journal WHERE blob_id = :blob_id;

-- name: blobs_all
-- Every blob.
SELECT blob_id, kind, size, created_ms, doomed_ms FROM blob ORDER BY blob_id;

-- name: blob_ends
-- How far extents reach into each blob.
SELECT blob_id, max(position + length) FROM extent WHERE kind <> 1 GROUP BY blob_id;

-- name: live_wrong
-- Blobs whose count is not what extents say.
SELECT b.blob_id, b.live, coalesce(n.extents, 0) FROM blob b
LEFT JOIN (SELECT blob_id, count(*) AS extents FROM extent WHERE kind <> 1 GROUP BY blob_id) n ON n.blob_id = b.blob_id
WHERE b.live <> coalesce(n.extents, 0) ORDER BY b.blob_id;

-- name: inline_wrong
-- The same of inline bytes.
SELECT b.blob_id, b.extents - coalesce(r.extents, 0), coalesce(n.extents, 0) FROM inline_blob b
LEFT JOIN inline_released r ON r.blob_id = b.blob_id
LEFT JOIN (SELECT blob_id, count(*) AS extents FROM extent WHERE kind = 1 GROUP BY blob_id) n ON n.blob_id = b.blob_id
WHERE b.extents - coalesce(r.extents, 0) <> coalesce(n.extents, 0) ORDER BY b.blob_id;
