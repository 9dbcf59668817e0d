"""Why keys of Kafka do not act here; the table names these."""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    "bytes_bound": "Requests are bounded by their bytes, see `queued.max.request.bytes`.",
    "checkpoint": "Commits of the metadata store are the record of what is stored; there are no checkpoint files.",
    "cleaner": "One task of the broker compacts, in slices, with no more buffers than it needs.",
    "group_protocols": "This release speaks the classic and the consumer group protocol.",
    "index": "Segments are immutable blobs with indexes of their own.",
    "java": "Java classes cannot be loaded here, and to ignore what one was meant to do would mislead.",
    "jitter": "Partitions share their files, so segments that end together do no harm.",
    "kerberos": "There is no Kerberos login, so there is nothing to tune.",
    "leaderless": "Any live broker serves any partition: leadership is a hint and never has to be handed over or won.",
    "metrics": "Metrics are served over HTTP in the form Prometheus reads, see `moldau.http.listener`.",
    "one_dir": "A broker keeps everything in one folder.",
    "one_start": "A start takes a fraction of a second and everything opens together.",
    "patterns": "Patterns are matched as soon as a topic comes or goes, and only against that one, so there is nothing to repeat.",
    "purgatory": "A request that waited leaves the waiting room at once, so nothing has to be swept.",
    "quorum": "There is no controller quorum: the metadata store keeps what the cluster has agreed on.",
    "quotas": "Quotas come with a later release.",
    "replication": "Brokers do not copy data to one another: the stores hold every byte.",
    "rows": "A coordinator's state is rows of the metadata store, not records of a topic.",
    "security": "Authentication, encryption and authorization come with a later release.",
    "stable": "Only what works is offered.",
    "stores": "What acks=all acknowledges is durable in the stores; how many copies they keep is theirs to say.",
    "streams_assignor": "The sticky assignor deals the tasks of streams groups.",
    "streams_dealing": "Tasks of streams groups are dealt at once, in milliseconds.",
    "streams_warmup": "Tasks of streams groups move at once; they are not warmed up before, as in Kafka 4.4.0.",
    "sweep": "Expired producers are dropped within seconds.",
    "sync": "A write with acks=all is synced before it is acknowledged; nothing is left to flush later.",
    "telemetry": "Clients' metrics come with a later release.",
    "threads": "One event loop serves the broker; more cores are used by more processes.",
    "tiered": "There is one tier: all data already lie in the blob store.",
    "two_phase": "Two-phase commit (KIP-939) is unstable in Kafka and not served.",
    "txn_rows": "A transaction's state is rows of the metadata store, not records of a topic.",
}
