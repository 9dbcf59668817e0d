-- name: lease_lock
-- A lease as it is, to be decided on.
SELECT owner, epoch, expires_ms FROM lease WHERE name = :name {FOR UPDATE};

-- name: lease_insert
-- Its first owner; no row comes back when another was first.
INSERT INTO lease (name, owner, epoch, expires_ms) VALUES (:name, :owner, 1, :expires)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: lease_set
-- Taken over, or held for longer.
UPDATE lease SET owner = :owner, epoch = :epoch, expires_ms = :expires WHERE name = :name;

-- name: lease_renew
-- For longer, if nobody has taken it over.
UPDATE lease SET expires_ms = :expires WHERE name = :name AND owner = :owner RETURNING name;

-- name: lease_release
-- Free at once.
UPDATE lease SET owner = '', expires_ms = 0 WHERE name = :name AND owner = :owner;

-- name: leases
-- Those that are held, of names from one on and below another.
SELECT name, epoch, owner, expires_ms FROM lease WHERE name >= :first AND name < :beyond AND owner <> '' AND expires_ms > :now ORDER BY name;

-- name: lease_guard
-- A row when the lease is still of that epoch; it stays so until the end of the transaction.
SELECT 1 FROM lease WHERE name = :name AND epoch = :epoch AND owner <> '' {FOR SHARE};
