"""A broker on PostgreSQL and what speaks for Azure, or for GCS: records come back as they were, and again after it was killed."""

from __future__ import annotations

import os

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

VALUES = [os.urandom(20_000) for _ in range(40)]


def consumed(bootstrap: str) -> list[bytes]:
    """All of `VALUES`, in the order of their offsets."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition("clouds", 0, 0)])
        found: list[bytes] = []
        while len(found) < len(VALUES):
            message = consumer.poll(10)
            assert message is not None, f"{len(found)} records came"
            assert not message.error(), message.error()
            found.append(message.value())
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("blobs", ["azurite", "fake-gcs-server"])
def test_records_come_back(blobs: str) -> None:
    with Cluster(1, blobs) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic("clouds", 1, 1)])["clouds"].result(10)
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 50, "batch.size": 200_000})
        for value in VALUES:
            producer.produce("clouds", value, partition=0)
        assert producer.flush(20) == 0
        proxy = cluster.object_proxy(1)
        puts = [path for method, path in proxy.seen if method == "PUT" and "probe" not in path]
        assert puts, "nothing lies in the blob store"
        assert consumed(cluster.bootstrap) == VALUES
        cluster.kill(1)
        cluster.start(1)
        assert consumed(cluster.bootstrap) == VALUES
        cluster.restart(1)
        before = proxy.count("GET")
        assert consumed(cluster.bootstrap) == VALUES
        assert proxy.count("GET") > before, "the records came from elsewhere"
