-- name: partitions_lock
-- In the order in which everybody locks them.
SELECT partition_id FROM partition WHERE alive = 1 ORDER BY partition_id {FOR NO KEY UPDATE};

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
