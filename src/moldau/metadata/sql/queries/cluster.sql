-- name: cluster_get
-- The one row.
SELECT cluster_id, features, created_ms FROM cluster WHERE one = 1;

-- name: cluster_insert
-- At the first start.
INSERT INTO cluster (one, cluster_id, features, next_producer_id, next_blob_block, created_ms) VALUES (1, :cluster_id, :features, 0, 1, :now)
ON CONFLICT (one) DO NOTHING;

-- name: features_lock
-- Finalized feature levels, which are about to change.
SELECT features FROM cluster WHERE one = 1 {FOR NO KEY UPDATE};

-- name: cluster_set_features
-- Finalized feature levels, as JSON.
UPDATE cluster SET features = :features WHERE one = 1;

-- name: producer_ids_reserve
-- Take a block of producer ids; the answer is the first id after the block.
UPDATE cluster SET next_producer_id = next_producer_id + :count WHERE one = 1 RETURNING next_producer_id;

-- name: blob_block_reserve
-- Take a block of blob ids; the answer is the block after it.
UPDATE cluster SET next_blob_block = next_blob_block + 1 WHERE one = 1 RETURNING next_blob_block;

-- name: broker_start
-- A broker starts: its incarnation rises.
INSERT INTO broker (node_id, incarnation, listeners, rack, release, features, started_ms, draining, heartbeat_ms)
VALUES (:node_id, 1, :listeners, :rack, :release, :features, :now, 0, :store_now)
ON CONFLICT (node_id) DO UPDATE SET incarnation = broker.incarnation + 1, listeners = excluded.listeners, rack = excluded.rack,
  release = excluded.release, features = excluded.features, started_ms = excluded.started_ms, draining = 0, heartbeat_ms = excluded.heartbeat_ms
RETURNING incarnation;

-- name: broker_heartbeat
-- It is alive, if no later start of it, and nobody who forgot it, has raised its incarnation.
UPDATE broker SET heartbeat_ms = :store_now WHERE node_id = :node_id AND incarnation = :incarnation AND heartbeat_ms >= 0 RETURNING node_id;

-- name: broker_drain
-- It wants to leave, or not any more.
UPDATE broker SET draining = :draining WHERE node_id = :node_id AND incarnation = :incarnation AND heartbeat_ms >= 0 RETURNING node_id;

-- name: broker_forget
-- Registered no more; its row stays, so that its next incarnation is a new one.
UPDATE broker SET heartbeat_ms = -1, incarnation = incarnation + 1 WHERE node_id = :node_id AND heartbeat_ms >= 0;

-- name: brokers
-- All that are registered.
SELECT node_id, incarnation, listeners, rack, release, draining, heartbeat_ms, features FROM broker WHERE heartbeat_ms >= 0 ORDER BY node_id;

-- name: entities
-- Configs of everything that is not a topic.
SELECT kind, name, configs FROM entity;

-- name: entity_get
-- The configs of one entity.
SELECT configs FROM entity WHERE kind = :kind AND name = :name;

-- name: entity_set
-- Replace the configs of an entity.
INSERT INTO entity (kind, name, configs) VALUES (:kind, :name, :configs)
ON CONFLICT (kind, name) DO UPDATE SET configs = excluded.configs;

-- name: entity_delete
-- An entity without configs is no entity.
DELETE FROM entity WHERE kind = :kind AND name = :name;
