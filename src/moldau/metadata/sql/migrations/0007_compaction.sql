-- serves: 7
-- Up to which offset a partition was compacted.
-- An older release does not know cleanup.policy=compact, and would drop such topics' data by their age.

CREATE TABLE compaction (
  partition_id INTEGER PRIMARY KEY,
  cleaned_to BIGINT NOT NULL
);
