"""Each client program produces for every other: five programs, five codecs, every shape of key, value and headers, large records.

Each program writes once and reads once; the tests compare one pair each. Java starts seven times in all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import cache
from struct import pack, unpack
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from support.clients.aio import AioKafka
from support.clients.confluent import Confluent
from support.clients.java import Java
from support.clients.kafka_python import KafkaPython
from support.clients.kcat import Kcat
from support.clients.port import CODECS, LARGEST, Client, Record, large_records, records

from moldau.broker.options import Options
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from moldau.records.batch import iter_headers
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CLIENTS: dict[str, Callable[[], Client]] = {
    "confluent": Confluent,
    "aiokafka": AioKafka,
    "kafka-python": KafkaPython,
    "kcat": Kcat,
    "java": Java,
}
MARKS = {"kcat": [pytest.mark.kcat], "java": [pytest.mark.java]}
NAMES = [pytest.param(name, marks=MARKS.get(name, [])) for name in CLIENTS]
SMALL_FETCH = 65_536


class Once:
    """A function whose every call with the same arguments runs once and has one outcome, also when that is an error or a skip."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._outcome = cache(self._run)
        self._function = function

    def _run(self, *arguments: Any) -> tuple[Any, BaseException | None]:
        try:
            return self._function(*arguments), None
        except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:
            return None, error

    def __call__(self, *arguments: Any) -> Any:
        value, error = self._outcome(*arguments)
        if error is not None:
            raise error
        return value

    def succeeds(self, *arguments: Any) -> bool:
        return self._outcome(*arguments)[1] is None


class Matrix:
    """A broker, and what each program has written to it and read from it."""

    def __init__(self, broker: BrokerThread) -> None:
        self.bootstrap = broker.bootstrap
        self.client = Once(lambda name: CLIENTS[name]())
        self.written = Once(self._written)
        self.read = Once(self._read)

    def _written(self, name: str, large: bool) -> dict[str, list[Record]]:
        """By topic: what this program wrote."""
        topics = {f"{name}.large": "none"} if large else {f"{name}.{codec}": codec for codec in CODECS}
        client = self.client(name)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        config = {"max.message.bytes": str(LARGEST)}
        for future in admin.create_topics([NewTopic(topic, 1, 1, config=config) for topic in topics]).values():
            future.result(10)
        wrote = {}
        for topic, codec in topics.items():
            wrote[topic] = large_records(topic) if large else records(topic, client.null_headers)
            client.produce(self.bootstrap, topic, wrote[topic], codec)
        return wrote

    def _read(self, reader: str, writers: tuple[str, ...], large: bool) -> dict[str, list[Record]]:
        # one that cannot write fails its own pairs, not everybody's
        wrote = [self.written(name, large) for name in writers if self.written.succeeds(name, large)]
        wanted = {topic: len(sent) for topics in wrote for topic, sent in topics.items()}
        return self.client(reader).consume(self.bootstrap, wanted, SMALL_FETCH if large else 1_048_576)


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    options = Options()
    options.group_initial_rebalance_delay_ms = 0  # kcat and Java read as groups
    with BrokerThread(options) as broker:
        yield Matrix(broker)


@pytest.fixture(scope="module")
def writers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every program that a selected test writes with: each reader reads what all of them wrote in one go."""
    found = {item.callspec.params["producer"] for item in request.session.items if hasattr(item, "callspec")
             and "producer" in item.callspec.params}  # fmt: skip
    return tuple(name for name in CLIENTS if name in found)


def codecs_stored(bootstrap: str, topic: str) -> set[str]:
    """Codecs of the batches of a topic, as the broker keeps them: asked with a raw Fetch 11."""
    part = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=50_000_000, current_leader_epoch=-1)
    part.log_start_offset = -1
    request = FetchRequest(max_wait_ms=0, min_bytes=0, max_bytes=50_000_000, isolation_level=0, session_epoch=-1)
    request.topics = [FetchTopic(topic=topic, partitions=[part])]
    frame = pack(">hhih", 1, 11, 1, 2) + b"me" + request.encode(11)
    host, port = bootstrap.split(":")
    with socket.create_connection((host, int(port)), 10) as connection, connection.makefile("rb") as answers:
        connection.sendall(pack(">i", len(frame)) + frame)
        answer = answers.read(unpack(">i", answers.read(4))[0])
    data = bytes(FetchResponse.decode(answer, 11, 4).responses[0].partitions[0].records)
    return {CODECS[header.codec] for _, header in iter_headers(data)}


@pytest.mark.parametrize("consumer", NAMES)
@pytest.mark.parametrize("producer", NAMES)
def test_every_shape_of_record_in_every_codec(
    matrix: Matrix, writers: tuple[str, ...], producer: str, consumer: str
) -> None:
    wrote = matrix.written(producer, False)
    assert len(wrote) == len(CODECS)
    read = matrix.read(consumer, writers, False)
    for topic, expected in wrote.items():
        assert read[topic] == expected, topic


@pytest.mark.parametrize("consumer", NAMES)
@pytest.mark.parametrize("producer", NAMES)
def test_records_of_megabytes_beyond_the_limits_of_a_fetch(
    matrix: Matrix, writers: tuple[str, ...], producer: str, consumer: str
) -> None:
    wrote = matrix.written(producer, True)
    assert matrix.read(consumer, writers, True)[f"{producer}.large"] == wrote[f"{producer}.large"]


@pytest.mark.parametrize("producer", NAMES)
@pytest.mark.parametrize("codec", CODECS)
def test_the_codec_asked_for_is_what_is_stored(matrix: Matrix, producer: str, codec: str) -> None:
    matrix.written(producer, False)
    stored = codecs_stored(matrix.bootstrap, f"{producer}.{codec}")
    # librdkafka sends a batch plain when the codec would make it larger
    assert codec in stored <= {codec, "none"}
