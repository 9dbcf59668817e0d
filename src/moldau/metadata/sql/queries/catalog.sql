-- name: metadata_version
-- Of the last change of topics, partitions, configs or entities.
SELECT next_value FROM sequence WHERE name = 'metadata_version';

-- name: metadata_version_raise
-- First of all in each change: who changes anything waits here for who came before, so versions are committed in their order.
UPDATE sequence SET next_value = next_value + 1 WHERE name = 'metadata_version' RETURNING next_value;

-- name: metadata_floor_raise
-- Rows of that version are purged.
UPDATE sequence SET next_value = :version WHERE name = 'metadata_floor' AND next_value < :version;

-- name: entity_version_set
-- An entity has changed.
UPDATE sequence SET next_value = :version WHERE name = 'entity_version';

-- name: metadata_versions
-- The three numbers that say what a broker has missed.
SELECT name, next_value FROM sequence WHERE name IN ('metadata_version', 'metadata_floor', 'entity_version');

-- name: topics_changed
-- The next topics that changed after a version, deleted ones too.
SELECT topic_id, name, configs, created_ms, replication_factor, version, assigned, deleted_ms FROM topic WHERE version > :since ORDER BY version LIMIT 200;

-- name: partitions_of_changed
-- The partitions of those of them that are alive.
SELECT p.partition_id, p.topic_id, p.partition_index, p.alive, p.end_offset, p.log_start_offset, p.leader_epoch, p.max_timestamp, p.bytes_total
FROM (SELECT topic_id, deleted_ms FROM topic WHERE version > :since ORDER BY version LIMIT 200) t
JOIN partition p ON p.topic_id = t.topic_id WHERE t.deleted_ms IS NULL ORDER BY p.topic_id, p.partition_index;
