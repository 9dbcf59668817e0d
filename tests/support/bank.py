"""A bank whose accounts are a compacted topic: each transfer of an input topic is read, applied and written in one transaction, with the group's offset.

Topics of one partition each: "transfers" (from, to, amount), "accounts" (key: the account, compacted), and "ledger", one line for each transaction: from which
transfer to which, and what it changed. Whoever reads the committed records of "accounts" to their end sees all the money, at any moment.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from .hanging import Hung, send_offsets

ACCOUNTS = 12
OPENING = 100
TOTAL = ACCOUNTS * OPENING
GROUP = "bank"
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "100"}
QUICK = {
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 300,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 300,
    "socket.timeout.ms": 5_000,
    "log_level": 0,
}


def consumer(bootstrap: str, *topics: str, **config: Any) -> Consumer:
    """Reads the committed records of one-partition topics from their begin."""
    it = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 20,
            **QUICK,
            **config,
        }
    )
    if topics:
        it.assign([TopicPartition(topic, 0, 0) for topic in topics])
    return it


def to_the_end(it: Consumer, seconds: float = 30) -> Iterable[Any]:
    """The messages up to the first end of the partition. Raises AssertionError when there is none."""
    deadline = time.monotonic() + seconds
    while True:
        message = it.poll(0.2)
        if message is not None and message.error() is None:
            yield message
        elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
            return
        assert time.monotonic() < deadline, "the end was not reached"


def balances(bootstrap: str) -> dict[str, int]:
    """As a reader sees them who begins now."""
    it = consumer(bootstrap, "accounts")
    try:
        return {message.key().decode(): int(message.value()) for message in to_the_end(it)}
    finally:
        it.close()


class Bank(threading.Thread):
    """Tellers, one after the other: some die in the middle of a transaction, and try to commit it when the next one has begun."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        super().__init__(name="bank")
        self.bootstrap = bootstrap
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.sent = 0
        """Transfers."""
        self.failures: list[str] = []
        self.lives = self.zombies = self.aborts = self.commits = 0

    def open(self, replicas: int = 1) -> None:
        """Topics, and what each account has."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUICK})
        topics = [
            NewTopic("transfers", 1, replicas),
            NewTopic("ledger", 1, replicas),
            NewTopic("accounts", 1, replicas, config=COMPACTED),
        ]
        for future in admin.create_topics(topics).values():
            future.result(20)
        producer = self._teller()
        producer.begin_transaction()
        for account in range(ACCOUNTS):
            producer.produce("accounts", str(OPENING), f"a{account}")
        producer.commit_transaction(30)

    def send(self, seconds: float, per_second: float = 150) -> None:
        """Transfers, all that long."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, **QUICK})
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            giver, taker = self.random.sample(range(ACCOUNTS), 2)
            transfer = {"from": f"a{giver}", "to": f"a{taker}", "amount": self.random.randint(1, 20)}
            producer.produce("transfers", json.dumps(transfer))
            self.sent += 1
            producer.poll(self.random.expovariate(per_second))
        assert producer.flush(60) == 0

    def run(self) -> None:
        zombie = None
        while not self.over.is_set():
            self.lives += 1
            try:
                teller = self._teller()
                if zombie is not None:
                    self._must_fail(zombie)
                zombie = self._live(teller)
            except KafkaException:
                zombie = None
            except Exception as error:
                self.failures.append(repr(error))
                raise

    def _teller(self) -> Producer:
        config = {"bootstrap.servers": self.bootstrap, "transactional.id": "bank", "linger.ms": 0, **QUICK}
        producer = Producer({**config, "transaction.timeout.ms": 8_000})
        while True:
            try:
                producer.init_transactions(30)
                return producer
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise

    def _must_fail(self, zombie: Producer) -> None:
        self.zombies += 1
        try:
            zombie.commit_transaction(30)
        except KafkaException:
            return
        self.failures.append("a zombie committed")

    def _live(self, teller: Producer) -> Producer | None:
        """Until it leaves; the producer is returned where its transaction is open still."""
        accounts = balances(self.bootstrap)
        if sum(accounts.values()) != TOTAL:
            self.failures.append(f"a teller found {sum(accounts.values())}: {accounts}")
        source = consumer(self.bootstrap)
        try:
            place = source.committed([TopicPartition("transfers", 0)], 30)[0]
            at = max(place.offset, 0)
            source.assign([TopicPartition("transfers", 0, at)])
            leaves = self.random.randint(3, 40)
            while not self.over.is_set():
                messages = [
                    each for each in source.consume(self.random.choice((1, 4, 20)), 0.05) if each.error() is None
                ]
                if not messages:
                    continue
                teller.begin_transaction()
                after = messages[-1].offset() + 1
                changed = self._apply(accounts, messages)
                for account in changed:
                    teller.produce("accounts", str(accounts[account]), account)
                line = {"from": at, "to": after, "balances": {each: accounts[each] for each in changed}}
                teller.produce("ledger", json.dumps(line))
                try:
                    send_offsets(teller, [TopicPartition("transfers", 0, after)], source.consumer_group_metadata())
                except Hung:
                    return None
                leaves -= 1
                if not leaves:
                    teller.flush(2)
                    return teller
                if self.random.random() < 0.1:
                    self.aborts += 1
                    teller.abort_transaction(30)
                    return None
                self._commit(teller)
                self.commits += 1
                at = after
        finally:
            with contextlib.suppress(KafkaException):
                source.close()
        return None

    def _commit(self, teller: Producer) -> None:
        while True:
            try:
                teller.commit_transaction(30)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    with contextlib.suppress(KafkaException):
                        teller.abort_transaction(30)
                    raise

    def _apply(self, accounts: dict[str, int], messages: list[Any]) -> list[str]:
        changed: dict[str, None] = {}
        for message in messages:
            transfer = json.loads(message.value())
            accounts[transfer["from"]] -= transfer["amount"]
            accounts[transfer["to"]] += transfer["amount"]
            changed.update({transfer["from"]: None, transfer["to"]: None})
        return list(changed)


class Auditor(threading.Thread):
    """Follows the ledger, and looks at all accounts again and again as somebody new."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="auditor")
        self.bootstrap = bootstrap
        self.over = threading.Event()
        self.failures: list[str] = []
        self.looks = self.lines = 0
        self.at = 0
        """Up to which transfer the ledger goes."""
        self.accounts = {f"a{each}": OPENING for each in range(ACCOUNTS)}

    def run(self) -> None:
        ledger = consumer(self.bootstrap, "ledger")
        next_look = 0.0
        try:
            while not self.over.is_set():
                for message in ledger.consume(100, 0.05):
                    if message.error() is None:
                        self._line(json.loads(message.value()))
                if time.monotonic() > next_look:
                    self._look()
                    next_look = time.monotonic() + 0.3
        except Exception as error:
            self.failures.append(repr(error))
            raise
        finally:
            ledger.close()

    def _line(self, line: dict[str, Any]) -> None:
        self.lines += 1
        if line["from"] != self.at:
            self.failures.append(f"a line begins at {line['from']}, the one before ended at {self.at}")
        self.at = line["to"]
        self.accounts.update(line["balances"])
        if sum(self.accounts.values()) != TOTAL:
            self.failures.append(f"the ledger has {sum(self.accounts.values())} at {self.at}")

    def _look(self) -> None:
        found = balances(self.bootstrap)
        self.looks += 1
        if sum(found.values()) != TOTAL:
            self.failures.append(f"a reader found {sum(found.values())}: {found}")


def audit(bank: Bank, auditor: Auditor, seconds: float = 30) -> None:
    """Wait until every transfer is done; then nothing is missing, and nothing was done twice."""
    deadline = time.monotonic() + seconds
    while auditor.at < bank.sent and time.monotonic() < deadline and not auditor.failures and not bank.failures:
        time.sleep(0.05)
    bank.over.set()
    bank.join()
    auditor.over.set()
    auditor.join()
    assert bank.failures == auditor.failures == []
    assert auditor.at == bank.sent
    assert balances(bank.bootstrap) == auditor.accounts
    assert sum(auditor.accounts.values()) == TOTAL
