"""Several listeners: each tells its clients its own address."""

from __future__ import annotations

import socket

import pytest
from confluent_kafka.admin import AdminClient
from support.wire import Wire, request

from moldau.protocol import api_keys
from moldau.protocol.messages.describe_quorum import RequestPartitionData, RequestTopicData
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow

TWO = {
    "listeners": "OUT://127.0.0.1:0,INSIDE://localhost:0",
    "listener.security.protocol.map": "OUT:PLAINTEXT,INSIDE:PLAINTEXT",
}


def told(bootstrap: str) -> set[tuple[str, int]]:
    """The addresses in every answer that has one."""
    found = set()
    with Wire(bootstrap) as wire:
        for broker in wire.ask(request(api_keys.METADATA), 12).brokers:
            found.add((broker.host, broker.port))
        for broker in wire.ask(request(api_keys.DESCRIBE_CLUSTER), 1).brokers:
            found.add((broker.host, broker.port))
        old = wire.ask(request(api_keys.FIND_COORDINATOR, key="g"), 3)
        found.add((old.host, old.port))
        for group in wire.ask(request(api_keys.FIND_COORDINATOR, coordinator_keys=["g"]), 4).coordinators:
            found.add((group.host, group.port))
    return found


def test_a_client_is_told_the_listener_it_came_in_by() -> None:
    with BrokerThread(settings=TWO) as broker:
        ports = [endpoint.port for endpoint in broker.lifecycle.endpoints]
        assert [str(each) for each in broker.lifecycle.endpoints] == [f"127.0.0.1:{ports[0]}", f"localhost:{ports[1]}"]
        assert told(f"127.0.0.1:{ports[0]}") == {("127.0.0.1", ports[0])}
        for _, _, _, _, address in socket.getaddrinfo("localhost", ports[1], type=socket.SOCK_STREAM):
            try:
                assert told(f"{address[0]}:{ports[1]}") == {("localhost", ports[1])}
            except OSError:
                assert ":" in str(address[0]), "every IPv4 address of localhost is bound"
        with Wire(f"127.0.0.1:{ports[0]}") as wire:
            asked = RequestTopicData(
                topic_name="__cluster_metadata", partitions=[RequestPartitionData(partition_index=0)]
            )
            answer = wire.ask(request(api_keys.DESCRIBE_QUORUM, topics=[asked]), 2)
            assert [(each.name, each.port) for each in answer.nodes[0].listeners] == [
                ("OUT", ports[0]),
                ("INSIDE", ports[1]),
            ]


def test_advertised_addresses_are_per_listener() -> None:
    advertised = "OUT://kafka.example.org:19092,INSIDE://127.0.0.1:0"
    with BrokerThread(settings={**TWO, "advertised.listeners": advertised}) as broker:
        out, inside = (listener.port for listener in broker.lifecycle.server.bound)
        assert told(f"127.0.0.1:{out}") == {("kafka.example.org", 19092)}
        assert told(f"127.0.0.1:{inside}") == {("127.0.0.1", inside)}


def test_librdkafka_finds_localhost_on_both_families(moldau_broker_process: BrokerProcess) -> None:
    moldau_broker_process.stop()
    broker = BrokerProcess(None, "listeners=PLAINTEXT://localhost:0").start()
    try:
        assert broker.bootstrap.startswith("localhost:")
        for family in ("v4", "v6", "any"):
            if family == "v6" and ("::1" not in {found[4][0] for found in socket.getaddrinfo("localhost", 1)}):
                continue
            admin = AdminClient({"bootstrap.servers": broker.bootstrap, "broker.address.family": family})
            assert len(admin.list_topics(timeout=10).brokers) == 1
    finally:
        broker.stop()


def test_limits_of_connections_act_and_change_while_it_runs() -> None:
    limits = {"listener.name.inside.max.connections": "1", "max.connections.per.ip": "4"}
    with BrokerThread(settings={**TWO, **limits}) as broker:
        out, inside = (f"127.0.0.1:{endpoint.port}" for endpoint in broker.lifecycle.endpoints)
        ask = request(api_keys.METADATA)
        with Wire(inside) as first, Wire(inside) as second:
            first.ask(ask, 12)
            with pytest.raises((EOFError, ConnectionError)):
                second.ask(ask, 12)
            with Wire(out) as a, Wire(out) as b, Wire(out) as c, Wire(out) as d:
                for wire in (a, b, c):
                    wire.ask(ask, 12)
                with pytest.raises((EOFError, ConnectionError)):
                    d.ask(ask, 12)
                alter(a, "max.connections.per.ip.overrides", "127.0.0.1:6")
                with Wire(out) as e, Wire(out) as f, Wire(out) as g:
                    e.ask(ask, 12)
                    f.ask(ask, 12)
                    with pytest.raises((EOFError, ConnectionError)):
                        g.ask(ask, 12)
        assert broker.lifecycle.server.admission.refused == 3


def alter(wire: Wire, key: str, value: str) -> None:
    """Set a broker's setting for the whole cluster."""
    from moldau.protocol.messages.incremental_alter_configs import AlterableConfig, AlterConfigsResource

    resource = AlterConfigsResource(
        resource_type=4, resource_name="", configs=[AlterableConfig(name=key, config_operation=0, value=value)]
    )
    answer = wire.ask(request(api_keys.INCREMENTAL_ALTER_CONFIGS, resources=[resource]), 1)
    assert [each.error_code for each in answer.responses] == [0]
