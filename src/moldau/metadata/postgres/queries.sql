-- Statements that only PostgreSQL has, or that it words otherwise than the shared ones.

-- name: barrier
-- A commit that changes nothing: once it is synced and replicated, so is every earlier one.
UPDATE sequence SET next_value = next_value WHERE name = 'partition_id';

-- name: partition_stays
-- Not FOR KEY SHARE of the row: beside such a lock two appends that want the same hot row can deadlock, for each UPDATE then looks at the
-- version of its snapshot again, behind whoever waits for the newest one.
SELECT pg_advisory_xact_lock_shared(1296845892, :partition_id);

-- name: partition_dead_lock
-- After those who hold the shared lock.
SELECT pg_advisory_xact_lock(1296845892, :partition_id);

-- name: store_now
-- The store's clock, in ms.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT);

-- name: broker_beat
-- The heartbeat, and what its answer says: who is registered, and the metadata version. `beaten` is 0 when the broker was replaced or forgotten.
WITH t AS (
  SELECT coalesce(CAST(:manual_now AS BIGINT), CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)) AS now
), me AS (
  UPDATE broker SET heartbeat_ms = t.now FROM t
  WHERE node_id = :node_id AND incarnation = :incarnation AND heartbeat_ms >= 0 RETURNING node_id
)
SELECT b.node_id, b.incarnation, b.listeners, b.rack, b.release, b.draining, t.now - b.heartbeat_ms AS age_ms,
  (SELECT count(*) FROM me) AS beaten, s.next_value
FROM broker b, t, sequence s WHERE b.heartbeat_ms >= 0 AND s.name = 'metadata_version' ORDER BY b.node_id;

-- name: extents_at
-- Which of these extents are there: by partition and last offset.
SELECT w.nth, e.base_offset, e.blob_id, e.position, e.leader_epoch, e.running_max_timestamp
FROM unnest(CAST(:partition_ids AS INTEGER[]), CAST(:last_offsets AS BIGINT[])) WITH ORDINALITY AS w (partition_id, last_offset, nth)
JOIN extent e ON e.partition_id = w.partition_id AND e.last_offset = w.last_offset;

-- name: append_lock
-- The rows of partitions that are going to be appended to, as they are after the wait for their locks. Of a blob that has a row the lock comes first.
WITH b AS MATERIALIZED (SELECT 1 FROM blob WHERE blob_id = :blob_id FOR NO KEY UPDATE)
SELECT p.partition_id, p.topic_id, p.partition_index, p.alive, p.end_offset, p.log_start_offset, p.leader_epoch, p.max_timestamp, p.bytes_total
FROM partition p WHERE p.partition_id = ANY (CAST(:partition_ids AS INTEGER[])) AND (SELECT count(*) FROM b) >= 0
ORDER BY p.partition_id FOR NO KEY UPDATE OF p;

-- name: append_lock_txns
-- The rows of transactions that are opened in partitions: after the blob's, before those of the partitions.
WITH b AS MATERIALIZED (SELECT 1 FROM blob WHERE blob_id = :blob_id FOR NO KEY UPDATE)
SELECT t.transactional_id FROM txn t
WHERE t.transactional_id = ANY (CAST(:transactional_ids AS TEXT[])) AND (SELECT count(*) FROM b) >= 0
ORDER BY t.transactional_id FOR SHARE OF t;

-- name: extents_since
-- Of each of these partitions the first extents that end at or after an offset, in order.
SELECT e.* FROM unnest(CAST(:partition_ids AS INTEGER[]), CAST(:offsets AS BIGINT[])) AS w (partition_id, from_offset)
CROSS JOIN LATERAL (
  SELECT partition_id, base_offset, last_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch,
    kind, appended_at, fold
  FROM extent WHERE partition_id = w.partition_id AND last_offset >= w.from_offset ORDER BY last_offset LIMIT :limit
) AS e;

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

-- name: partitions_changed
-- Which partitions are not as a broker saw them; of those that are gone only the id.
SELECT w.partition_id, p.topic_id, p.partition_index, p.alive, p.end_offset, p.log_start_offset, p.leader_epoch, p.max_timestamp, p.bytes_total
FROM unnest(CAST(:ids AS INTEGER[]), CAST(:ends AS BIGINT[]), CAST(:starts AS BIGINT[]), CAST(:epochs AS INTEGER[]))
  AS w (partition_id, end_offset, log_start_offset, leader_epoch)
LEFT JOIN partition p ON p.partition_id = w.partition_id
WHERE (p.end_offset, p.log_start_offset, p.leader_epoch, p.alive) IS DISTINCT FROM (w.end_offset, w.log_start_offset, w.leader_epoch, 1);

-- name: leases_renew
-- Many in one statement.
UPDATE lease SET expires_ms = :expires WHERE owner = :owner AND name = ANY (CAST(:names AS TEXT[])) RETURNING name;

-- name: offsets_get
-- Some committed offsets of a group.
SELECT o.group_id, o.topic_id, o.partition_index, o.committed_offset, o.leader_epoch, o.metadata, o.commit_timestamp, o.expire_timestamp
FROM unnest(CAST(:topic_ids AS BYTEA[]), CAST(:partitions AS INTEGER[])) AS w (topic_id, partition_index)
JOIN group_offset o ON o.group_id = :group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index
ORDER BY o.topic_id, o.partition_index;

-- name: groups_having_offsets
-- Those of some groups that have committed anything.
SELECT g FROM unnest(CAST(:group_ids AS TEXT[])) AS w (g) WHERE EXISTS (SELECT 1 FROM group_offset o WHERE o.group_id = w.g);

-- name: group_write
-- Records and offsets of many groups, if every lease they are written under is still of its epoch. The answer is the leases that are. Leases are
-- locked first, then rows in the order in which they are given. No row is named twice.
WITH g AS MATERIALIZED (
  SELECT l.name, l.epoch FROM lease l JOIN unnest(CAST(:lease_names AS TEXT[]), CAST(:lease_epochs AS BIGINT[])) AS w (name, epoch)
    ON w.name = l.name AND w.epoch = l.epoch
  WHERE l.owner <> '' ORDER BY l.name FOR SHARE OF l
), yes AS MATERIALIZED (SELECT 1 WHERE (SELECT count(*) FROM g) = cardinality(CAST(:lease_names AS TEXT[]))),
record_put AS (
  INSERT INTO coordinator_record (kind, group_id, record_key, value)
  SELECT w.* FROM yes, unnest(CAST(:put_kinds AS INTEGER[]), CAST(:put_groups AS TEXT[]), CAST(:put_keys AS TEXT[]), CAST(:put_values AS BYTEA[])) AS w
  ON CONFLICT (kind, group_id, record_key) DO UPDATE SET value = excluded.value
), record_delete AS (
  DELETE FROM coordinator_record r
  USING yes, unnest(CAST(:gone_kinds AS INTEGER[]), CAST(:gone_groups AS TEXT[]), CAST(:gone_keys AS TEXT[])) AS w (kind, group_id, record_key)
  WHERE r.kind = w.kind AND r.group_id = w.group_id AND r.record_key = w.record_key
), offset_delete AS (
  DELETE FROM group_offset o
  USING yes, unnest(CAST(:free_groups AS TEXT[]), CAST(:free_topics AS BYTEA[]), CAST(:free_partitions AS INTEGER[])) AS w (group_id, topic_id, partition_index)
  WHERE o.group_id = w.group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index
), offset_put AS (
  INSERT INTO group_offset (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp)
  SELECT w.* FROM yes, unnest(CAST(:groups AS TEXT[]), CAST(:topics AS BYTEA[]), CAST(:partitions AS INTEGER[]), CAST(:offsets AS BIGINT[]),
    CAST(:epochs AS INTEGER[]), CAST(:metadata AS TEXT[]), CAST(:commit_timestamps AS BIGINT[]), CAST(:expire_timestamps AS BIGINT[])) AS w
  ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
    leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
    expire_timestamp = excluded.expire_timestamp
)
SELECT name, epoch FROM g;

-- name: pending_offsets_delete
-- Offsets of groups are deleted: no transaction brings them back. The transactions are locked first, as by those who end them: what one of them
-- makes the group's before, the next statement finds.
WITH w AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:free_groups AS TEXT[]), CAST(:free_topics AS BYTEA[]), CAST(:free_partitions AS INTEGER[]))
    AS w (group_id, topic_id, partition_index)
), t AS MATERIALIZED (
  SELECT t.transactional_id FROM txn t WHERE t.transactional_id IN (
    SELECT o.transactional_id FROM w JOIN txn_offset o
      ON o.group_id = w.group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index)
  ORDER BY t.transactional_id FOR NO KEY UPDATE OF t
)
DELETE FROM txn_offset o USING w
WHERE o.group_id = w.group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index AND (SELECT count(*) FROM t) >= 0;

-- name: shares_write
-- How far share-partitions are now, those that have not been taken over; the answer says which. Each is one broker's: no two of these
-- statements want the same rows, but for one that was sent twice.
WITH w AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:numbers AS INTEGER[]), CAST(:groups AS TEXT[]), CAST(:topics AS BYTEA[]), CAST(:partitions AS INTEGER[]),
    CAST(:epochs AS BIGINT[]), CAST(:starts AS BIGINT[]), CAST(:finals AS BIGINT[]), CAST(:states AS BYTEA[]))
    AS w (number, group_id, topic_id, partition_index, owner_epoch, start_offset, final_count, state)
)
UPDATE share_partition s SET start_offset = w.start_offset, final_count = w.final_count, state = w.state FROM w
WHERE s.group_id = w.group_id AND s.topic_id = w.topic_id AND s.partition_index = w.partition_index AND s.owner_epoch = w.owner_epoch
RETURNING w.number;

-- name: offsets_and_pending
-- All committed offsets of a group (0), and those that a transaction which has not ended would make (1): one answer, one moment.
SELECT 0 AS pending, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp
FROM group_offset WHERE group_id = :group_id
UNION ALL
SELECT DISTINCT 1, topic_id, partition_index, CAST(0 AS BIGINT), 0, '', CAST(0 AS BIGINT), CAST(0 AS BIGINT)
FROM txn_offset WHERE group_id = :group_id
ORDER BY pending, topic_id, partition_index;

-- name: offsets_and_pending_get
-- The same of some.
WITH w AS MATERIALIZED (SELECT * FROM unnest(CAST(:topic_ids AS BYTEA[]), CAST(:partitions AS INTEGER[])) AS w (topic_id, partition_index))
SELECT 0 AS pending, w.topic_id, w.partition_index, o.committed_offset, o.leader_epoch, o.metadata, o.commit_timestamp, o.expire_timestamp
FROM w JOIN group_offset o ON o.group_id = :group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index
UNION ALL
SELECT 1, w.topic_id, w.partition_index, CAST(0 AS BIGINT), 0, '', CAST(0 AS BIGINT), CAST(0 AS BIGINT)
FROM w WHERE EXISTS (
  SELECT 1 FROM txn_offset o WHERE o.group_id = :group_id AND o.topic_id = w.topic_id AND o.partition_index = w.partition_index)
ORDER BY pending, topic_id, partition_index;

-- name: txn_taking_part
-- The store's time, and the partitions that take part: after the wait for the row, so a statement of its own.
SELECT coalesce(CAST(:manual_now AS BIGINT), CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)),
  ARRAY(SELECT partition_id FROM txn_partition WHERE transactional_id = :transactional_id);

-- name: txn_put
-- What was decided on a locked row, and what takes part from now on. No row is named twice.
WITH t AS (
  UPDATE txn SET producer_id = :producer_id, epoch = :epoch, previous_id = :previous_id, previous_epoch = :previous_epoch, state = :state,
    seq = :seq, timeout_ms = :timeout_ms, started_ms = :started_ms, updated_ms = :updated_ms, version = :version
  WHERE transactional_id = :transactional_id
), p AS (
  INSERT INTO txn_partition (transactional_id, partition_id)
  SELECT :transactional_id, w.partition_id FROM unnest(CAST(:partition_ids AS INTEGER[])) AS w (partition_id)
  ON CONFLICT (transactional_id, partition_id) DO NOTHING
)
INSERT INTO txn_offset (transactional_id, group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp,
  expire_timestamp)
SELECT :transactional_id, w.* FROM unnest(CAST(:groups AS TEXT[]), CAST(:topics AS BYTEA[]), CAST(:partitions AS INTEGER[]),
  CAST(:offsets AS BIGINT[]), CAST(:epochs AS INTEGER[]), CAST(:metadata AS TEXT[]), CAST(:commit_timestamps AS BIGINT[]),
  CAST(:expire_timestamps AS BIGINT[])) AS w
ON CONFLICT (transactional_id, group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
  leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
  expire_timestamp = excluded.expire_timestamp;

-- name: txn_end
-- The row and the end of its transaction, whatever the number of partitions: their locks, in the order of ids and as they are after the wait;
-- a marker at the end of each that is alive; the group's offsets; and nothing takes part any more. A marker is its offset, the size, its leader
-- epoch and the rest, one behind the other in one inline blob.
WITH l AS MATERIALIZED (
  SELECT p.partition_id, p.alive, p.end_offset, p.leader_epoch, p.max_timestamp
  FROM partition p WHERE p.partition_id = ANY (CAST(:partition_ids AS INTEGER[]))
  ORDER BY p.partition_id FOR NO KEY UPDATE OF p
), d AS MATERIALIZED (
  SELECT partition_id, end_offset AS base, leader_epoch, greatest(max_timestamp, CAST(:now AS BIGINT)) AS running,
    row_number() OVER (ORDER BY partition_id) - 1 AS nth
  FROM l WHERE alive = 1
), u AS (
  UPDATE partition p SET end_offset = d.base + 1, bytes_total = p.bytes_total + CAST(:length AS BIGINT), max_timestamp = d.running
  FROM d WHERE p.partition_id = d.partition_id
), e AS (
  INSERT INTO extent (partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records,
    leader_epoch, kind, appended_at, fold)
  SELECT partition_id, base, base, CAST(:blob_id AS BIGINT), nth * :length, :length, :now, running, 1, leader_epoch, 1, :now, CAST(:fold AS BYTEA)
  FROM d
), i AS (
  INSERT INTO inline_blob (blob_id, created_ms, data, extents)
  SELECT :blob_id, :now,
    string_agg(int8send(base) || CAST(:size_field AS BYTEA) || int4send(leader_epoch) || CAST(:rest AS BYTEA), CAST('' AS BYTEA) ORDER BY nth),
    count(*)
  FROM d HAVING count(*) > 0
), t AS (
  UPDATE txn SET producer_id = :producer_id, epoch = :epoch, previous_id = :previous_id, previous_epoch = :previous_epoch, state = :state,
    seq = :seq, timeout_ms = :timeout_ms, started_ms = :started_ms, updated_ms = :updated_ms, version = :version
  WHERE transactional_id = :transactional_id
), p AS (
  DELETE FROM txn_partition WHERE transactional_id = :transactional_id
), f AS (
  DELETE FROM txn_offset WHERE transactional_id = :transactional_id
), o AS (
  INSERT INTO group_offset (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp)
  SELECT o.group_id, o.topic_id, o.partition_index, o.committed_offset, o.leader_epoch, o.metadata, o.commit_timestamp, o.expire_timestamp
  FROM txn_offset o JOIN topic t ON t.topic_id = o.topic_id AND t.deleted_ms IS NULL
  WHERE CAST(:commits AS BOOLEAN) AND o.transactional_id = :transactional_id AND (SELECT count(*) FROM d) >= 0
  ORDER BY o.group_id, o.topic_id, o.partition_index
  ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET committed_offset = excluded.committed_offset,
    leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, commit_timestamp = excluded.commit_timestamp,
    expire_timestamp = excluded.expire_timestamp
)
SELECT partition_id, base, leader_epoch, running FROM d ORDER BY nth;

-- name: coordinator_records_of_many
-- Records of these groups, each of the kind beside it, in the order of (kind, group, key).
SELECT r.kind, r.group_id, r.record_key, r.value
FROM unnest(CAST(:kinds AS INTEGER[]), CAST(:groups AS TEXT[])) AS w (kind, group_id)
JOIN coordinator_record r ON r.kind = w.kind AND r.group_id = w.group_id
ORDER BY r.kind, r.group_id, r.record_key;
