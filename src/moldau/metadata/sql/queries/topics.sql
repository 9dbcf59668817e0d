-- name: topics_alive
-- Every topic that is alive.
SELECT topic_id, name, configs, created_ms, replication_factor, version, assigned FROM topic WHERE deleted_ms IS NULL;

-- name: topic_get
-- One topic, if it is alive.
SELECT topic_id, name, configs, created_ms, replication_factor, version, assigned FROM topic WHERE topic_id = :topic_id AND deleted_ms IS NULL;

-- name: topic_touch
-- Its partitions change.
UPDATE topic SET version = :version WHERE topic_id = :topic_id AND deleted_ms IS NULL
RETURNING topic_id, name, configs, created_ms, replication_factor, version, assigned;

-- name: topic_insert
-- A new topic; no row comes back when the name is taken.
INSERT INTO topic (topic_id, name, configs, created_ms, replication_factor, version, assigned)
VALUES (:topic_id, :name, :configs, :now, :replication_factor, :version, :assigned)
ON CONFLICT (name) WHERE deleted_ms IS NULL DO NOTHING RETURNING topic_id;

-- name: topic_delete
-- The name is free at once; rows and bytes go later.
UPDATE topic SET deleted_ms = :now, version = :version WHERE topic_id = :topic_id AND deleted_ms IS NULL RETURNING topic_id;

-- name: topic_set_assigned
-- Where its partitions were assigned to, of all that were.
UPDATE topic SET assigned = :assigned WHERE topic_id = :topic_id;

-- name: topic_set_configs
-- Replace the overrides.
UPDATE topic SET configs = :configs, version = :version WHERE topic_id = :topic_id;

-- name: partitions_alive
-- The partitions of every topic that is alive.
SELECT partition_id, topic_id, partition_index, alive, end_offset, log_start_offset, leader_epoch, max_timestamp, bytes_total
FROM partition WHERE alive = 1 ORDER BY topic_id, partition_index;

-- name: partitions_of_topic
-- The partitions of one topic.
SELECT partition_id, topic_id, partition_index, alive, end_offset, log_start_offset, leader_epoch, max_timestamp, bytes_total
FROM partition WHERE topic_id = :topic_id ORDER BY partition_index;

-- name: partition_ids_reserve
-- Ids of partitions are small and never given twice; the answer is the first one after the block.
UPDATE sequence SET next_value = next_value + :count WHERE name = 'partition_id' RETURNING next_value;

-- name: partition_insert
-- A new, empty partition.
INSERT INTO partition (partition_id, topic_id, partition_index, alive, end_offset, log_start_offset, leader_epoch, max_timestamp, bytes_total)
VALUES (:partition_id, :topic_id, :partition_index, 1, 0, 0, 0, -1, 0);

-- name: partitions_of_topic_lock
-- In the order in which everybody locks them.
SELECT partition_id FROM partition WHERE topic_id = :topic_id ORDER BY partition_id {FOR NO KEY UPDATE};

-- name: partitions_kill
-- No append succeeds on them any more.
UPDATE partition SET alive = 0 WHERE topic_id = :topic_id;
