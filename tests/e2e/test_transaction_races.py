"""What comes late, comes twice, or comes from two sides at once: request by request, on one broker and on two that share their stores."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import txn_requests
from support.postgres import Servers
from support.talker import Talker, records_of
from support.txn_requests import Asked, Producer

from moldau.protocol import error_codes
from moldau.records.batch import iter_headers
from moldau.records.control import read_end_txn_marker
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

ID, TOPIC, GROUP = "t", "topic", "group"
QUICK = {"group.initial.rebalance.delay.ms": "0"}
AGAIN = {
    error_codes.NOT_LEADER_OR_FOLLOWER,
    error_codes.NOT_COORDINATOR,
    error_codes.COORDINATOR_NOT_AVAILABLE,
    error_codes.COORDINATOR_LOAD_IN_PROGRESS,
    error_codes.UNKNOWN_TOPIC_OR_PARTITION,
}
STATE, FENCED = error_codes.INVALID_TXN_STATE, error_codes.PRODUCER_FENCED


@pytest.fixture(params=["alone", "shared"])
def brokers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Two addresses; of one broker twice."""
    if request.param == "alone":
        with BrokerThread(settings=QUICK) as broker:
            yield [broker.bootstrap] * 2
        return
    servers: Servers = request.getfixturevalue("postgres_servers")
    (tmp_path / "blobs").mkdir()
    shared = {
        **QUICK,
        "moldau.metadata.url": servers[16].url(servers[16].database()),
        "moldau.blobs.url": f"file://{tmp_path / 'blobs'}",
    }
    with (
        BrokerThread(settings={**shared, "node.id": "1"}) as one,
        BrokerThread(settings={**shared, "node.id": "2"}) as two,
    ):
        yield [one.bootstrap, two.bootstrap]


def ask(brokers: list[str], asked: Asked) -> Any:
    """Of a connection that is new each time, at the first broker that answers for it."""
    deadline = time.monotonic() + 20
    while True:
        for address in brokers:
            with Talker(address) as wire:
                answer = wire.call(asked.key, asked.version, asked.request)
            if asked.code(answer) not in AGAIN:
                return answer
        assert time.monotonic() < deadline
        time.sleep(0.05)


def code(brokers: list[str], asked: Asked) -> int:
    return asked.code(ask(brokers, asked))


def begin(brokers: list[str]) -> Producer:
    with Talker(brokers[0]) as wire:
        assert wire.create_topic(TOPIC) in (0, error_codes.TOPIC_ALREADY_EXISTS)
    answer = ask(brokers, txn_requests.init(ID))
    return answer.producer_id, answer.producer_epoch


def end(brokers: list[str], producer: Producer, *, commit: bool) -> Producer:
    answer = ask(brokers, txn_requests.end(ID, producer, commit=commit))
    assert answer.error_code == 0
    return answer.producer_id, answer.producer_epoch


def log(brokers: list[str]) -> list[str]:
    """Values, and C and A for markers, in their order."""
    found: list[str] = []
    for address in brokers:
        offset = 0
        with Talker(address) as wire:
            end = wire.list_offset(TOPIC, 0, -1).offset
            while (data := wire.fetch(TOPIC, 0, offset).records or b"") or offset < end:
                for position, header in iter_headers(data):
                    batch = bytes(data[position : position + header.size])
                    marker = read_end_txn_marker(batch)
                    if marker is None:
                        found += [(each.value or b"").decode() for each in records_of(batch)]
                    else:
                        found.append("C" if marker.commit else "A")
                    offset = header.base_offset + header.last_offset_delta + 1
        if found:
            break
    return found


def write(brokers: list[str], producer: Producer, value: str, sequence: int = 0) -> int:
    return code(brokers, txn_requests.produce(ID, producer, TOPIC, 0, value.encode(), sequence))


def test_an_end_that_comes_late_never_hits_the_next_transaction(brokers: list[str]) -> None:
    first = begin(brokers)
    assert write(brokers, first, "one") == 0
    second = end(brokers, first, commit=True)
    assert second == (first[0], first[1] + 1)
    assert write(brokers, second, "two") == 0
    for commit in (True, False):
        for side in (brokers, brokers[::-1]):
            assert code(side, txn_requests.end(ID, first, commit=commit)) == FENCED
    assert code(brokers, txn_requests.produce(ID, first, TOPIC, 0, b"late", 1)) == error_codes.INVALID_PRODUCER_EPOCH
    late = txn_requests.offsets(ID, first, GROUP, TOPIC, 0, 9)
    assert code(brokers, late) == error_codes.INVALID_PRODUCER_EPOCH
    third = end(brokers, second, commit=False)
    assert log(brokers) == ["one", "C", "two", "A"]
    # of the one that is over the answer is known, and the other outcome is not
    assert end(brokers[::-1], second, commit=False) == third
    assert code(brokers, txn_requests.end(ID, second, commit=True)) == STATE
    assert log(brokers) == ["one", "C", "two", "A"]


def test_commit_and_abort_at_once(brokers: list[str]) -> None:
    """One of them wins, whole; the other one is told that it did not."""
    producer = begin(brokers)
    expected = []
    for number in range(12):
        assert write(brokers, producer, str(number)) == 0
        answers: dict[bool, Any] = {}

        def ask_one(commit: bool, address: str, producer: Producer = producer, into: Any = answers) -> None:
            asked = txn_requests.end(ID, producer, commit=commit)
            with Talker(address) as wire:
                into[commit] = wire.call(asked.key, asked.version, asked.request)

        threads = [
            threading.Thread(target=ask_one, args=(commit, brokers[(number + commit) % 2])) for commit in (True, False)
        ]
        for thread in threads if number % 3 else threads[::-1]:
            thread.start()
        for thread in threads:
            thread.join()
        codes = {commit: answer.error_code for commit, answer in answers.items()}
        assert sorted(codes.values()) == [0, STATE]
        commit = codes[True] == 0
        expected += [str(number), "C" if commit else "A"]
        producer = answers[commit].producer_id, answers[commit].producer_epoch
    deadline = time.monotonic() + 5
    while log(brokers) != expected and time.monotonic() < deadline:
        time.sleep(0.1)  # a broker that was not asked hears of it
    assert log(brokers) == expected


def test_an_instance_and_an_end_at_once(brokers: list[str]) -> None:
    """The end came first and counts, or it is fenced."""
    for number in range(8):
        zombie = begin(brokers)
        assert write(brokers, zombie, str(number)) == 0
        before = log(brokers)
        asked = [txn_requests.init(ID), txn_requests.end(ID, zombie, commit=True)]
        answers: list[Any] = [None, None]

        def ask_one(nth: int, address: str, asked: list[Asked] = asked, into: Any = answers) -> None:
            with Talker(address) as wire:
                into[nth] = wire.call(asked[nth].key, asked[nth].version, asked[nth].request)

        threads = [threading.Thread(target=ask_one, args=(nth, brokers[(number + nth) % 2])) for nth in (0, 1)]
        for thread in threads if number % 2 else threads[::-1]:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers[0].error_code == 0
        assert answers[1].error_code in (0, FENCED)
        marker = "C" if answers[1].error_code == 0 else "A"
        deadline = time.monotonic() + 5
        while len(log(brokers)) == len(before) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert log(brokers) == [*before, marker]
        assert write(brokers, zombie, "late", 1) == error_codes.INVALID_PRODUCER_EPOCH


def test_a_sink_resumes_with_producer_id_and_epoch_alone(brokers: list[str]) -> None:
    """As exactly-once sinks do: pre-commit, keep id and epoch in a checkpoint, and commit on a new connection, maybe more than once."""
    first = begin(brokers)
    assert write(brokers, first, "one") == 0
    second = end(brokers[::-1], first, commit=True)
    assert end(brokers, first, commit=True) == second
    assert write(brokers, second, "two") == 0
    assert end(brokers[::-1], second, commit=True) == end(brokers, second, commit=True)
    assert log(brokers) == ["one", "C", "two", "C"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_sink_resumes_after_a_restart_of_the_broker(tmp_path: Path, version: int) -> None:
    broker = BrokerProcess(tmp_path / "data").start()
    try:
        brokers = [broker.bootstrap]
        producer = begin(brokers)
        if version == 1:
            assert code(brokers, txn_requests.add(ID, producer, TOPIC, 0)) == 0
        assert code(brokers, txn_requests.produce(ID, producer, TOPIC, 0, b"one", version=version)) == 0
        broker.kill()
        broker.start()
        brokers = [broker.bootstrap]
        asked = txn_requests.end(ID, producer, commit=True, version=version)
        assert code(brokers, asked) == 0
        broker.kill()
        broker.start()
        brokers = [broker.bootstrap]
        assert code(brokers, asked) == 0
        assert log(brokers) == ["one", "C"]
    finally:
        broker.stop()


def test_a_group_that_is_deleted_gets_nothing_of_an_open_transaction(brokers: list[str]) -> None:
    from moldau.protocol import api_keys
    from moldau.protocol.messages.delete_groups import DeleteGroupsRequest

    producer = begin(brokers)
    assert code(brokers, txn_requests.offsets(ID, producer, GROUP, TOPIC, 0, 7)) == 0
    delete = Asked(
        api_keys.DELETE_GROUPS,
        2,
        DeleteGroupsRequest(groups_names=[GROUP]),
        lambda it: int(it.results[0].error_code),
    )
    assert code(brokers, delete) == 0
    producer = end(brokers, producer, commit=True)
    for address in brokers:
        with Talker(address) as wire:
            answer = wire.fetch_offset(GROUP, TOPIC, 0)
            assert answer.error_code or answer.topics[0].partitions[0].committed_offset == -1
    assert code(brokers, txn_requests.offsets(ID, producer, GROUP, TOPIC, 0, 8)) == 0
    end(brokers, producer, commit=True)
    deadline = time.monotonic() + 10
    while True:
        with Talker(brokers[0]) as one, Talker(brokers[1]) as two:
            found = [each.fetch_offset(GROUP, TOPIC, 0) for each in (one, two)]
        told = [each.topics[0].partitions[0].committed_offset for each in found if not each.error_code]
        if 8 in told:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
