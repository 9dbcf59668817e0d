"""Topics of a cluster: made with the configs that a workload needs, and dropped."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

_serial = itertools.count(1)


class ClusterTopics:
    """Topic administration of one cluster; every topic has as many replicas as the cluster keeps."""

    def __init__(self, bootstrap: str, replication: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        self._replication = replication

    def make(self, title: str, partitions: int, config: Mapping[str, str] | None = None, timeout: float = 90.0) -> str:
        """The name of a new topic, all of whose partitions have leaders. Raises TimeoutError."""
        name = f"{title}-{next(_serial)}"
        topic = NewTopic(
            name, num_partitions=partitions, replication_factor=self._replication, config=dict(config or {})
        )
        self._admin.create_topics([topic], operation_timeout=timeout, request_timeout=timeout)[name].result(timeout)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            known = self._admin.list_topics(name, timeout=timeout).topics[name].partitions
            if len(known) == partitions and all(
                p.leader >= 0 and p.error is None and len(p.isrs) == len(p.replicas) for p in known.values()
            ):
                return name
            time.sleep(0.1)
        raise TimeoutError(f"topic {name} has no leaders after {timeout:.0f} s")

    def leaders(self, name: str) -> dict[int, int]:
        """Partition to node id."""
        return {p.id: p.leader for p in self._admin.list_topics(name, timeout=60).topics[name].partitions.values()}

    def drop(self, name: str, timeout: float = 60.0) -> None:
        try:
            self._admin.delete_topics([name], operation_timeout=timeout, request_timeout=timeout)[name].result(timeout)
        except KafkaException:
            pass  # a topic left behind costs disk, not correctness
