"""From settings to the typed values that the broker's parts act on."""

from __future__ import annotations

from moldau.broker.options import ANY_NODE_ID, EMBEDDED, Options

from .settings import DEFAULT, Settings

_ATTRIBUTES: dict[str, str] = {
    "auto.create.topics.enable": "auto_create_topics",
    "default.replication.factor": "default_replication_factor",
    "delete.topic.enable": "delete_topics",
    "fetch.max.bytes": "fetch_max_bytes",
    "max.request.partition.size.limit": "partition_page_max",
    "producer.id.expiration.ms": "producer_expiration_ms",
    "socket.listen.backlog.size": "backlog",
    "connections.max.idle.ms": "idle_max_ms",
    "group.initial.rebalance.delay.ms": "group_initial_rebalance_delay_ms",
    "group.max.session.timeout.ms": "group_max_session_timeout_ms",
    "group.max.size": "group_max_size",
    "group.min.session.timeout.ms": "group_min_session_timeout_ms",
    "log.retention.check.interval.ms": "retention_check_ms",
    "max.incremental.fetch.session.cache.slots": "fetch_session_slots",
    "moldau.blobs.url": "blobs_url",
    "moldau.block.cache.bytes": "block_cache_bytes",
    "moldau.busy.poll.us": "busy_poll_us",
    "moldau.cache.view.max.entries": "views_max",
    "moldau.flush.max.bytes": "flush_max_bytes",
    "moldau.inline.max.bytes": "inline_max_bytes",
    "moldau.metadata.url": "metadata_url",
    "moldau.segment.build.age.ms": "segment_build_age_ms",
    "moldau.segment.max.bytes": "segment_max_bytes",
    "moldau.segment.min.bytes": "segment_min_bytes",
    "moldau.tail.cache.bytes": "tail_cache_bytes",
    "moldau.upload.linger.ms": "upload_linger_ms",
    "moldau.upload.max.bytes": "upload_max_bytes",
    "moldau.uploads.max": "uploads_max",
    "moldau.wal.spare.bytes": "wal_spare_bytes",
    "node.id": "node_id",
    "num.partitions": "num_partitions",
    "offset.metadata.max.bytes": "offset_metadata_max_bytes",
    "offsets.retention.check.interval.ms": "offsets_retention_check_interval_ms",
    "socket.request.max.bytes": "request_max_bytes",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "transaction_abort_interval_ms",
    "transaction.max.timeout.ms": "transaction_max_timeout_ms",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "transaction_remove_interval_ms",
    "transactional.id.expiration.ms": "transactional_id_expiration_ms",
}


def options_of(settings: Settings) -> Options:
    """The options that these settings ask for."""
    options = Options()
    options.settings = settings
    for key, attribute in _ATTRIBUTES.items():
        setattr(options, attribute, settings[key])
    options.rack = settings.get_str("broker.rack") or None
    options.offsets_retention_ms = settings.get_int("offsets.retention.minutes") * 60_000
    options.maintains = "maintain" in settings.get_list("moldau.roles")
    for key, attribute in (
        ("socket.send.buffer.bytes", "send_buffer_bytes"),
        ("socket.receive.buffer.bytes", "receive_buffer_bytes"),
    ):
        if settings.entry(key).source != DEFAULT:  # Kafka's default of 100 KiB is less than what systems choose today
            setattr(options, attribute, settings.get_int(key))
    if options.metadata_url != EMBEDDED and settings.entry("node.id").source == DEFAULT:
        options.node_id = ANY_NODE_ID
    queued = settings.get_int("queued.max.request.bytes")
    if queued > 0:
        options.pending_max_bytes = queued
    address = settings.get_str("moldau.http.listener")
    if address:
        host, _, port = address.rpartition(":")
        options.http_host, options.http_port = host.removeprefix("[").removesuffix("]"), int(port)
    return options
