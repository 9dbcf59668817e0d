-- serves: 5
-- One number that rises with every change of topics, partitions, configs and entities, so that brokers that share a store can follow each other.
-- An older release would change them and not raise it.

INSERT INTO sequence (name, next_value) VALUES ('metadata_version', 1);
-- Whoever knows less than this has missed rows that were purged, and takes everything anew.
INSERT INTO sequence (name, next_value) VALUES ('metadata_floor', 0);
-- Of the last change of an entity.
INSERT INTO sequence (name, next_value) VALUES ('entity_version', 0);

ALTER TABLE topic ADD COLUMN replication_factor INTEGER NOT NULL DEFAULT 1;
-- Of its last change, its deletion included.
ALTER TABLE topic ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX topic_version ON topic (version);
