"""What this broker serves: for each API the module of its handler and the versions it advertises.

The tests hold this against the modules themselves, against Kafka's ranges, and against `docs/compatibility.md`. An API that is not
here is not in ApiVersions and closes the connection that asks for it (invariant 8).
"""

from __future__ import annotations

from moldau.protocol import api_keys as k

_SERVED: dict[int, tuple[str, int, int]] = {
    # Produce 0-2 are advertised and refused, as in Kafka (KAFKA-18659): older librdkafka would not compress otherwise
    k.PRODUCE: ("produce", 0, 13),
    k.FETCH: ("fetch", 4, 18),
    k.LIST_OFFSETS: ("list_offsets", 1, 11),
    k.METADATA: ("metadata", 0, 13),
    k.OFFSET_COMMIT: ("offset_commit", 2, 10),
    k.OFFSET_FETCH: ("offset_fetch", 1, 10),
    k.FIND_COORDINATOR: ("find_coordinator", 0, 6),
    k.JOIN_GROUP: ("join_group", 0, 9),
    k.HEARTBEAT: ("heartbeat", 0, 4),
    k.LEAVE_GROUP: ("leave_group", 0, 5),
    k.SYNC_GROUP: ("sync_group", 0, 5),
    k.DESCRIBE_GROUPS: ("describe_groups", 0, 6),
    k.LIST_GROUPS: ("list_groups", 0, 5),
    k.DELETE_GROUPS: ("delete_groups", 0, 3),
    k.CONSUMER_GROUP_HEARTBEAT: ("consumer_group_heartbeat", 0, 1),
    k.CONSUMER_GROUP_DESCRIBE: ("consumer_group_describe", 0, 1),
    k.OFFSET_DELETE: ("offset_delete", 0, 0),
    k.SHARE_GROUP_HEARTBEAT: ("share_group_heartbeat", 1, 1),
    k.SHARE_GROUP_DESCRIBE: ("share_group_describe", 1, 1),
    k.SHARE_FETCH: ("share_fetch", 1, 2),
    k.SHARE_ACKNOWLEDGE: ("share_acknowledge", 1, 2),
    k.DESCRIBE_SHARE_GROUP_OFFSETS: ("describe_share_group_offsets", 0, 1),
    k.ALTER_SHARE_GROUP_OFFSETS: ("alter_share_group_offsets", 0, 0),
    k.DELETE_SHARE_GROUP_OFFSETS: ("delete_share_group_offsets", 0, 0),
    k.API_VERSIONS: ("api_versions", 0, 5),
    k.DELETE_RECORDS: ("delete_records", 0, 2),
    k.OFFSET_FOR_LEADER_EPOCH: ("offset_for_leader_epoch", 2, 4),
    k.DELETE_TOPICS: ("delete_topics", 1, 6),
    k.CREATE_PARTITIONS: ("create_partitions", 0, 3),
    k.DESCRIBE_LOG_DIRS: ("describe_log_dirs", 1, 5),
    k.ELECT_LEADERS: ("elect_leaders", 0, 2),
    k.ALTER_PARTITION_REASSIGNMENTS: ("alter_partition_reassignments", 0, 1),
    k.LIST_PARTITION_REASSIGNMENTS: ("list_partition_reassignments", 0, 0),
    k.DESCRIBE_QUORUM: ("describe_quorum", 0, 2),
    k.DESCRIBE_CLUSTER: ("describe_cluster", 0, 2),
    k.DESCRIBE_PRODUCERS: ("describe_producers", 0, 0),
    k.DESCRIBE_TOPIC_PARTITIONS: ("describe_topic_partitions", 0, 0),
    k.DESCRIBE_CONFIGS: ("describe_configs", 1, 4),
    k.ALTER_CONFIGS: ("alter_configs", 0, 2),
    k.INCREMENTAL_ALTER_CONFIGS: ("incremental_alter_configs", 0, 1),
    k.LIST_CONFIG_RESOURCES: ("list_config_resources", 0, 1),
    k.UPDATE_FEATURES: ("update_features", 0, 2),
    k.CREATE_TOPICS: ("create_topics", 2, 7),
    k.INIT_PRODUCER_ID: ("init_producer_id", 0, 5),
    k.ADD_PARTITIONS_TO_TXN: ("add_partitions_to_txn", 0, 5),
    k.ADD_OFFSETS_TO_TXN: ("add_offsets_to_txn", 0, 4),
    k.END_TXN: ("end_txn", 0, 5),
    k.WRITE_TXN_MARKERS: ("write_txn_markers", 1, 2),
    k.TXN_OFFSET_COMMIT: ("txn_offset_commit", 0, 6),
    k.DESCRIBE_TRANSACTIONS: ("describe_transactions", 0, 0),
    k.LIST_TRANSACTIONS: ("list_transactions", 0, 2),
    k.STREAMS_GROUP_HEARTBEAT: ("streams_group_heartbeat", 0, 1),
    k.STREAMS_GROUP_DESCRIBE: ("streams_group_describe", 0, 1),
    k.STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE: ("streams_group_topology_description_update", 0, 0),
}

VERSIONS: dict[int, tuple[int, int]] = {key: (low, high) for key, (_, low, high) in sorted(_SERVED.items())}
MODULES: dict[int, str] = {key: f"moldau.broker.api.{name}" for key, (name, _, _) in _SERVED.items()}
