-- How PostgreSQL stores the tables; applied after each change of the schema, and the same however often.

-- The row of a partition changes with each append: room for new versions on the same page keeps its indexes out of it.
ALTER TABLE partition SET (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE blob SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sequence SET (fillfactor = 50);
ALTER TABLE cluster SET (fillfactor = 50);
ALTER TABLE broker SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);
ALTER TABLE group_offset SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- The row of a transactional id changes with each step of a transaction, and has no index but its key. What takes part comes and goes.
ALTER TABLE IF EXISTS txn SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE IF EXISTS txn_partition SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE IF EXISTS txn_offset SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- Rows come at the end of a partition and go at its beginning.
ALTER TABLE extent SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE inline_blob SET (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
-- Batches are compressed already, or random.
ALTER TABLE inline_blob ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE IF EXISTS share_partition SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
