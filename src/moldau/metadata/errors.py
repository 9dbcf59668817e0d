"""What a metadata store may raise. Everything else that leaves it is a defect of ours."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all: the world's fault. The commit did not happen, unless the subclass says otherwise."""


class StoreUnavailable(StoreError):
    """The store does not answer or refuses to write (disk full, I/O error, locked, closed). Kafka: KAFKA_STORAGE_ERROR.

    Whether a write happened is in doubt: read before trying it again.
    """


class StoreCorrupt(StoreError):
    """What is stored contradicts itself. Nothing was changed; `moldau inspect` tells more."""


class FormatTooNew(StoreError):
    """The data was written by a newer release. Nothing was touched."""


class StoreMigrated(StoreError):
    """The cluster was migrated away from here. Nothing was touched."""


class TopicExists(StoreError):
    """A topic of that name is alive. Kafka: TOPIC_ALREADY_EXISTS."""


class TopicMissing(StoreError):
    """No topic of that id is alive. Kafka: UNKNOWN_TOPIC_OR_PARTITION."""


class LeaseLost(StoreError):
    """The lease that the write was made under has another epoch by now, or none. Nothing was written."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(f"the lease {name!r} of epoch {epoch} is lost")


class BrokerFenced(StoreError):
    """A later start of the same node id, or somebody who forgot it, has taken this incarnation's place."""

    def __init__(self, node_id: int) -> None:
        super().__init__(f"broker {node_id} is registered with another incarnation, or not any more")


class Conflict(StoreError):
    """Rows were not what the caller had read; nothing was changed. Read again and decide again."""
