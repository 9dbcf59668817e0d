-- How many extents name a blob: garbage is found without a look at the extents.

ALTER TABLE blob ADD COLUMN live BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inline_blob ADD COLUMN extents BIGINT NOT NULL DEFAULT 0;

-- Extents of an inline blob of several partitions that are gone already; a row only while some are and some are not.
CREATE TABLE inline_released (
  blob_id {id} PRIMARY KEY,
  extents BIGINT NOT NULL
);

CREATE TABLE counted (inline_bytes INTEGER NOT NULL, blob_id BIGINT NOT NULL, extents BIGINT NOT NULL, PRIMARY KEY (inline_bytes, blob_id));
INSERT INTO counted (inline_bytes, blob_id, extents)
  SELECT CASE WHEN kind = 1 THEN 1 ELSE 0 END, blob_id, count(*) FROM extent GROUP BY 1, 2;
UPDATE blob SET live = coalesce((SELECT c.extents FROM counted c WHERE c.inline_bytes = 0 AND c.blob_id = blob.blob_id), 0);
UPDATE inline_blob SET extents = coalesce((SELECT c.extents FROM counted c WHERE c.inline_bytes = 1 AND c.blob_id = inline_blob.blob_id), 0);
DELETE FROM inline_blob WHERE extents = 0;
DROP TABLE counted;

CREATE INDEX blob_garbage ON blob (blob_id) WHERE live = 0;
