"""Clients that hang up before their answer: what they asked for happens all the same, in the store and in memory alike."""

from __future__ import annotations

import socket
import time
from struct import pack, unpack
from typing import Any

import pytest

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from moldau.protocol.messages.delete_topics import DeleteTopicsRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponseTopic
from moldau.protocol.registry import response_class
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

TIMES = 30
"""The answer must still be under way when the connection goes, which is likely each time but not certain."""


def send(connection: socket.socket, message: Any, version: int) -> None:
    key = message.API_KEY
    flexible = version >= api_keys.FLEXIBLE_FROM[key]
    frame = pack(">hhih", key, version, 7, 2) + b"me" + b"\0" * flexible + message.encode(version)
    connection.sendall(pack(">i", len(frame)) + frame)


def connect(bootstrap: str) -> socket.socket:
    host, port = bootstrap.split(":")
    return socket.create_connection((host, int(port)), 10)


def ask_and_hang_up(bootstrap: str, message: Any, version: int) -> None:
    with connect(bootstrap) as connection:
        send(connection, message, version)


def topics(bootstrap: str, names: list[str], create: bool) -> list[MetadataResponseTopic]:
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name=name) for name in names], allow_auto_topic_creation=create
    )
    with connect(bootstrap) as connection, connection.makefile("rb") as answers:
        send(connection, request, 12)
        answer = answers.read(unpack(">i", answers.read(4))[0])
    return response_class(api_keys.METADATA).decode(answer, 12, 5).topics


def eventually(bootstrap: str, names: list[str], partitions: int, error_code: int = error_codes.NONE) -> None:
    """Until all these topics have so many partitions and this error code."""
    deadline = time.monotonic() + 10
    while True:
        found = {topic.name: (len(topic.partitions), topic.error_code) for topic in topics(bootstrap, names, False)}
        wrong = {name: state for name, state in found.items() if state != (partitions, error_code)}
        if not wrong:
            return
        assert time.monotonic() < deadline, wrong
        time.sleep(0.02)


def test_a_topic_whose_creator_hangs_up_is_there(moldau_broker: BrokerThread) -> None:
    names = [f"t{number}" for number in range(TIMES)]
    for name in names:
        request = MetadataRequest(topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=True)
        ask_and_hang_up(moldau_broker.bootstrap, request, 12)
    eventually(moldau_broker.bootstrap, names, 1)


def test_a_topic_whose_deleter_hangs_up_is_gone(moldau_broker: BrokerThread) -> None:
    names = [f"t{number}" for number in range(TIMES)]
    topics(moldau_broker.bootstrap, names, True)
    for name in names:
        ask_and_hang_up(moldau_broker.bootstrap, DeleteTopicsRequest(topic_names=[name], timeout_ms=1000), 5)
    eventually(moldau_broker.bootstrap, names, 0, error_codes.UNKNOWN_TOPIC_OR_PARTITION)


def test_partitions_of_one_who_hangs_up_are_there(moldau_broker: BrokerThread) -> None:
    names = [f"t{number}" for number in range(TIMES)]
    topics(moldau_broker.bootstrap, names, True)
    for name in names:
        grown = CreatePartitionsTopic(name=name, count=3, assignments=None)
        ask_and_hang_up(moldau_broker.bootstrap, CreatePartitionsRequest(topics=[grown], timeout_ms=1000), 3)
    eventually(moldau_broker.bootstrap, names, 3)
