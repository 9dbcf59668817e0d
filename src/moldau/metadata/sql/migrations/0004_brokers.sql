-- serves: 3
-- Brokers that share a store: who is alive, and who holds what must have one home.

ALTER TABLE broker ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
-- By the store's clock; -1: not registered (any more).
ALTER TABLE broker ADD COLUMN heartbeat_ms BIGINT NOT NULL DEFAULT -1;

CREATE TABLE lease (
  name {text} PRIMARY KEY,
  owner TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  expires_ms BIGINT NOT NULL
) {without_rowid};
