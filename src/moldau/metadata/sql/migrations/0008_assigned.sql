-- serves: 7
-- The brokers that partitions were assigned to by hand: index to node ids, as JSON.
-- An older release shows such partitions on brokers of its own choice, which is a hint like any other.

ALTER TABLE topic ADD COLUMN assigned TEXT NOT NULL DEFAULT '{}';
