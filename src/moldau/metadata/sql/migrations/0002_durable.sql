-- Whether a commit was synced before it was acknowledged. Rows from before are taken to be: nothing of them is ever cut off.

ALTER TABLE extent ADD COLUMN durable INTEGER NOT NULL DEFAULT 1;
