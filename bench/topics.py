"""Make and drop the topics of a run, and wait until every partition has a leader."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic


class Topics:
    """Topic administration of one broker."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

    def make(self, name: str, partitions: int, *, flush: bool = False, timeout: float = 60.0) -> None:
        """``flush``: an fsync before each answer (``flush.messages=1``)."""
        config = {"flush.messages": "1"} if flush else {}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
        self._admin.create_topics([topic], operation_timeout=timeout, request_timeout=timeout)[name].result(timeout)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            known = self._admin.list_topics(name, timeout=timeout).topics[name].partitions
            if len(known) == partitions and all(p.leader >= 0 and p.error is None for p in known.values()):
                return
            time.sleep(0.1)
        raise TimeoutError(f"topic {name} has no leaders after {timeout:.0f} s")

    def drop(self, name: str, timeout: float = 60.0) -> None:
        try:
            self._admin.delete_topics([name], operation_timeout=timeout, request_timeout=timeout)[name].result(timeout)
        except KafkaException:
            pass  # a topic left behind costs disk, not correctness: the brokers' data go with the run
