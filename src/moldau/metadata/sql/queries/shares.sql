-- name: share_claim
-- A broker takes a share-partition over; a new one begins as it says. No row comes back when there is no such group.
INSERT INTO share_partition (group_id, topic_id, partition_index, owner_epoch, state_epoch, leader_epoch, start_offset, final_count, state)
SELECT :group_id, :topic_id, :partition_index, 1, 0, :leader_epoch, :start_offset, 0, :state
WHERE EXISTS (SELECT 1 FROM coordinator_record WHERE kind = :kind AND group_id = :group_id AND record_key = '')
ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET owner_epoch = share_partition.owner_epoch + 1, leader_epoch = excluded.leader_epoch
RETURNING group_id, topic_id, partition_index, owner_epoch, state_epoch, leader_epoch, start_offset, final_count, state;

-- name: share_write
-- How far it is now, if it has not been taken over.
UPDATE share_partition SET start_offset = :start_offset, final_count = :final_count, state = :state
WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index AND owner_epoch = :owner_epoch
RETURNING 1;

-- name: share_get
-- One of them.
SELECT group_id, topic_id, partition_index, owner_epoch, state_epoch, leader_epoch, start_offset, final_count, state
FROM share_partition WHERE group_id = :group_id AND topic_id = :topic_id AND partition_index = :partition_index;

-- name: shares_of_group
-- All of a group.
SELECT group_id, topic_id, partition_index, owner_epoch, state_epoch, leader_epoch, start_offset, final_count, state
FROM share_partition WHERE group_id = :group_id ORDER BY topic_id, partition_index;

-- name: share_reset
-- An administrator says where it goes on: whoever has it has it no more.
INSERT INTO share_partition (group_id, topic_id, partition_index, owner_epoch, state_epoch, leader_epoch, start_offset, final_count, state)
VALUES (:group_id, :topic_id, :partition_index, 1, 0, :leader_epoch, :start_offset, 0, :state)
ON CONFLICT (group_id, topic_id, partition_index) DO UPDATE SET owner_epoch = share_partition.owner_epoch + 1,
  state_epoch = share_partition.state_epoch + 1, leader_epoch = excluded.leader_epoch, start_offset = excluded.start_offset, final_count = 0,
  state = excluded.state;

-- name: shares_delete
-- All of a group.
DELETE FROM share_partition WHERE group_id = :group_id;

-- name: shares_delete_topic
-- A group forgets a topic.
DELETE FROM share_partition WHERE group_id = :group_id AND topic_id = :topic_id;

-- name: shares_forget_topic
-- The topic is gone. Rare, so without an index of its own.
DELETE FROM share_partition WHERE topic_id = :topic_id;

-- name: shares_without_group
-- Left over from a deletion of a group that was cut short.
DELETE FROM share_partition WHERE NOT EXISTS (
  SELECT 1 FROM coordinator_record r WHERE r.kind = :kind AND r.group_id = share_partition.group_id AND r.record_key = '');
