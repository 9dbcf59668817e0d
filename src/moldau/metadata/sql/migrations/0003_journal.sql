-- How far the journal of an embedded broker is in the rows, one row for each write-ahead blob that is not sealed.

CREATE TABLE journal (
  blob_id BIGINT PRIMARY KEY,
  applied_to BIGINT NOT NULL
) {without_rowid};
