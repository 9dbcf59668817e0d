"""What kafka-python, whose consumers know classic groups only, does with groups of the other kinds: it lists them by type, moves their offsets, deletes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.protocol.consumer import OffsetSpec
from support.share import joined
from support.talker import Talker
from test_round_trip import create

from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

RECORDS = 10


@pytest.fixture
def admin(moldau_broker: BrokerThread) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=moldau_broker.bootstrap)
    yield client
    client.close()


def test_groups_of_every_kind(moldau_broker: BrokerThread, admin: KafkaAdminClient) -> None:
    bootstrap = moldau_broker.bootstrap
    create(bootstrap, "t", 1)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(RECORDS):
        producer.produce("t", b"%d" % number)
    assert producer.flush(10) == 0
    begin = {"bootstrap.servers": bootstrap, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    modern = Consumer({**begin, "group.id": "modern", "group.protocol": "consumer"})
    modern.subscribe(["t"])
    assert len(modern.consume(RECORDS, 10)) == RECORDS
    modern.commit(asynchronous=False)
    classic = KafkaConsumer(
        "t",
        bootstrap_servers=bootstrap,
        group_id="classic",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=10_000,
    )
    next(classic)
    with Talker(bootstrap) as wire:
        sharing = joined(wire, "sharing", "t")
        listed = {group["group_id"]: (group["group_type"], group["group_state"]) for group in admin.list_groups()}
        assert listed == {
            "modern": ("consumer", "Stable"),
            "classic": ("classic", "Stable"),
            "sharing": ("share", "Stable"),
        }
        for kind, name in (("consumer", "modern"), ("classic", "classic"), ("share", "sharing")):
            assert [group["group_id"] for group in admin.list_groups(types_filter=[kind])] == [name]
        assert admin.delete_groups(["modern", "sharing"]) == dict.fromkeys(("modern", "sharing"), "NonEmptyGroupError")
        sharing.heartbeat(-1)
    classic.close()
    modern.close()
    place = TopicPartition("t", 0)
    for spec, wanted in ((None, RECORDS), (OffsetSpec.EARLIEST, 0), (7, 7)):
        if spec is not None:
            admin.reset_group_offsets("modern", {place: spec})
        assert admin.list_group_offsets("modern")["modern"][place].offset == wanted
    assert set(admin.delete_groups(["modern", "sharing", "classic"]).values()) == {"OK"}
    assert admin.list_groups() == []
