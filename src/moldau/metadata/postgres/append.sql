-- The append commit: one statement, one round trip, whatever the number of partitions. Under READ COMMITTED.
--
-- $1..$7 arrays, one element for each entry, no partition twice: partition_id, expected_end, records, position, length, max_timestamp, fold
-- $8 blob_id  $9 kind (0: bytes lie in the blob, 1: inline)  $10 inline bytes, or NULL  $11 time  $12 size of a blob without a row, -1: it must have one
--
-- Lines that end in "guarded" are left out where no transaction opens. $13..$15 arrays, one element for each guard: partition_id, transactional_id, seq
--
-- Rows are locked in one order everywhere: blob, txn (by id), lease, partition (by id), group_offset. `l` compares nothing, so what it returns is the row
-- as it is after the wait for its lock; ends are compared with that. Statuses are those of `moldau.metadata.rows`.
WITH a AS MATERIALIZED (
  SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
    WITH ORDINALITY AS t (partition_id, expected_end, records, position, length, max_timestamp, fold, nth)
),
b AS MATERIALIZED (
  SELECT doomed_ms FROM blob WHERE $9::int = 0 AND blob_id = $8::bigint FOR NO KEY UPDATE
),
w AS MATERIALIZED ( -- guarded
  SELECT * FROM unnest($13::int[], $14::text[], $15::bigint[]) WITH ORDINALITY AS t (partition_id, transactional_id, seq, nth) -- guarded
), -- guarded
g AS MATERIALIZED ( -- the guards that hold; after a wait for a transaction's end its row is compared anew -- guarded
  SELECT w.nth FROM txn t JOIN w ON w.transactional_id = t.transactional_id AND w.seq = t.seq -- guarded
  JOIN txn_partition tp ON tp.transactional_id = w.transactional_id AND tp.partition_id = w.partition_id -- guarded
  WHERE t.state = 1 AND (SELECT count(*) FROM b) >= 0 -- guarded
  ORDER BY t.transactional_id FOR SHARE OF t -- guarded
), -- guarded
l AS MATERIALIZED (
  SELECT p.partition_id, p.alive, p.end_offset, p.leader_epoch, p.max_timestamp
  FROM partition p JOIN a ON a.partition_id = p.partition_id
  WHERE (SELECT count(*) FROM b) >= 0 -- the blob's lock first
    AND (SELECT count(*) FROM g) >= 0 -- then the transactions' -- guarded
  ORDER BY p.partition_id FOR NO KEY UPDATE OF p
),
d AS MATERIALIZED (
  SELECT a.*, l.end_offset AS base, l.leader_epoch, greatest(l.max_timestamp, a.max_timestamp) AS running,
    CASE WHEN l.alive IS DISTINCT FROM 1 THEN 2
      WHEN $9 = 0 AND (SELECT count(*) FROM b WHERE doomed_ms < 0) = 0
        AND ($12::bigint < 0 OR (SELECT count(*) FROM b) > 0) THEN 3
      WHEN EXISTS (SELECT 1 FROM w WHERE w.partition_id = a.partition_id AND w.nth NOT IN (SELECT nth FROM g)) THEN 4 -- guarded
      WHEN l.end_offset <> a.expected_end THEN 1
      ELSE 0 END AS status
  FROM a LEFT JOIN l ON l.partition_id = a.partition_id
),
u AS (
  UPDATE partition p SET end_offset = d.base + d.records, bytes_total = p.bytes_total + d.length, max_timestamp = d.running
  FROM d WHERE p.partition_id = d.partition_id AND d.status = 0
),
e AS (
  INSERT INTO extent (partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records,
    leader_epoch, kind, appended_at, fold)
  SELECT partition_id, base + records - 1, base, $8, position, length, max_timestamp, running, records, leader_epoch, $9, $11::bigint, fold
  FROM d WHERE status = 0
),
i AS (
  INSERT INTO inline_blob (blob_id, created_ms, data, extents)
  SELECT $8, $11, $10::bytea, count(*) FROM d WHERE status = 0 HAVING $10 IS NOT NULL AND count(*) > 0
),
c AS ( -- a blob that was doomed after `b` looked for it and found none divides by zero: nothing is written, and the next try sees it
  INSERT INTO blob AS x (blob_id, kind, size, created_ms, doomed_ms, live)
  SELECT $8, 0, $12, $11, -1, count(*) FROM d WHERE status = 0 HAVING $9 = 0 AND count(*) > 0
  ON CONFLICT (blob_id) DO UPDATE SET live = x.live + excluded.live / CASE WHEN x.doomed_ms < 0 THEN 1 ELSE 0 END
)
SELECT status, base, leader_epoch, running FROM d ORDER BY nth;
