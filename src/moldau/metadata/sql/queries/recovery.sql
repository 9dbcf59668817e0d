-- name: extents_unsynced
-- What fast commits put into a blob, beyond the furthest byte that a durable one put there.
SELECT partition_id, base_offset, last_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch,
  kind, appended_at, fold, durable
FROM extent WHERE kind <> 1 AND blob_id = :blob_id AND durable = 0 AND position >= :synced_end ORDER BY position;

-- name: blob_synced_end
-- The furthest byte of a blob that a durable commit names: it was synced up to there.
SELECT max(position + length) FROM extent WHERE kind <> 1 AND blob_id = :blob_id AND durable = 1;

-- name: tail_durable
-- The first durable row at or above an offset.
SELECT base_offset FROM extent WHERE partition_id = :partition_id AND last_offset >= :from_offset AND durable = 1
ORDER BY last_offset LIMIT 1;

-- name: tail_delete
-- Rows at and above an offset.
DELETE FROM extent WHERE partition_id = :partition_id AND last_offset >= :from_offset RETURNING length;

-- name: partition_cut
-- The partition ends where its rows end.
UPDATE partition SET end_offset = :end_offset, bytes_total = bytes_total - :bytes, max_timestamp = coalesce(
    (SELECT running_max_timestamp FROM extent WHERE partition_id = :partition_id ORDER BY last_offset DESC LIMIT 1), -1)
WHERE partition_id = :partition_id;

-- name: leader_epochs_raise
-- Clients that knew more than is left find out where the log divides.
UPDATE partition SET leader_epoch = leader_epoch + :by WHERE alive = 1;

-- name: cluster_skip
-- What may have been given out after the state that was brought back is not given out again.
UPDATE cluster SET next_producer_id = next_producer_id + :producer_ids, next_blob_block = next_blob_block + :blob_blocks WHERE one = 1;

-- name: brokers_skip
-- As above, for incarnations.
UPDATE broker SET incarnation = incarnation + :incarnations;

-- name: sequences_skip
-- As above, for partition ids and whatever else is numbered once and for all.
UPDATE sequence SET next_value = next_value + :numbers;
