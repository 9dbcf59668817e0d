"""Consumers of a run: those that read all partitions from the beginning, and the members of a group."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from .history import OK, UNKNOWN, Assign, Commit, Poll, Seen
from .recorder import Recorder

_TOGETHER = 50
"""Records of a member that are written down as one poll at most."""


class ConsumerThread(threading.Thread):
    """What both kinds have in common."""

    def __init__(self, name: str, recorder: Recorder, bootstrap: str, topic: str, partitions: int, seed: int) -> None:
        super().__init__(name=name)
        self.recorder = recorder
        self.topic = topic
        self.partitions = partitions
        self.random = random.Random(seed)
        self.bootstrap = bootstrap
        self.leave = threading.Event()
        """Consumers go on when producers have stopped, until this."""
        self.positions: dict[int, int] = {}
        """The next offset of each partition, by what was given."""

    def consumer(self, **config: Any) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "client.id": self.name,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 50,
                "retry.backoff.ms": 50,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 8_000,
                "topic.metadata.refresh.interval.ms": 5_000,
                "error_cb": lambda error: self.recorder.note(self.name, error.str()),
                "log_level": 0,  # as in `transactional`
                **config,
            }
        )

    def seen(self, message: Message) -> Seen | None:
        """The record; None for an error, which is written down."""
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:
                self.recorder.troubled(self.name, f"out of range: {error.str()}")
            else:
                self.recorder.note(self.name, error.str())
            return None
        epoch = message.leader_epoch()
        seen = Seen(
            message.partition() or 0,
            message.offset() or 0,
            (message.value() or b"").decode(),
            -1 if epoch is None else epoch,
        )
        self.positions[seen.partition] = seen.offset + 1
        return seen


class Reader(ConsumerThread):
    """Assigned to all partitions. Now and then it goes to other offsets."""

    def run(self) -> None:
        consumer = self.consumer(**{"group.id": f"{self.name}-none", "auto.offset.reset": "error"})
        try:
            self._assign(consumer, dict.fromkeys(range(self.partitions), 0), "assign")
            while not self.leave.is_set():
                start = self.recorder.now()
                records = [seen for message in consumer.consume(500, 0.1) if (seen := self.seen(message))]
                if records:
                    self.recorder.add(Poll(self.name, start, self.recorder.now(), records))
                if self.random.random() < 0.01 and not self.recorder.stop.is_set():
                    self._assign(consumer, {p: self.random.randint(0, at) for p, at in self.positions.items()}, "seek")
        except KafkaException as error:
            self.recorder.troubled(self.name, f"died: {error}")
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, positions: dict[int, int], why: str) -> None:
        start = self.recorder.now()
        consumer.assign([TopicPartition(self.topic, p, at) for p, at in positions.items()])
        self.recorder.add(Assign(self.name, start, self.recorder.now(), dict(positions), why))
        self.positions = positions


class Member(ConsumerThread):
    """One of a group; it commits what it was given, and now and then it leaves and comes back."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self._given: list[Seen] = []
        self._since = 0.0

    def run(self) -> None:
        while not self.leave.is_set():
            config = {"group.id": self.group, "auto.offset.reset": "earliest", "session.timeout.ms": 8_000}
            consumer = self.consumer(**config)
            try:
                consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
                self._life(consumer)
            except KafkaException as error:
                self.recorder.note(self.name, f"{error}")
            finally:
                with contextlib.suppress(KafkaException):
                    consumer.close()
                self._tell()
                self.positions = {}

    def _life(self, consumer: Consumer) -> None:
        until = self.recorder.now() + self.random.uniform(4, 20)
        next_commit = 0.0
        while not self.leave.is_set() and (self.recorder.now() < until or self.recorder.stop.is_set()):
            start = self.recorder.now()
            message = consumer.poll(0.1)
            if message is not None and (seen := self.seen(message)):
                if not self._given:
                    self._since = start
                self._given.append(seen)
            if message is None or len(self._given) >= _TOGETHER:
                self._tell()
            if self.recorder.now() >= next_commit and self.positions:
                self._commit(consumer)
                next_commit = self.recorder.now() + self.random.uniform(0.1, 1)

    def _tell(self) -> None:
        """What was given since the last time, as one poll."""
        if self._given:
            self.recorder.add(Poll(self.name, self._since, self.recorder.now(), self._given))
            self._given = []

    def _commit(self, consumer: Consumer) -> None:
        self._tell()
        offsets = dict(self.positions)
        start = self.recorder.now()
        result, error = OK, ""
        try:
            asked = [TopicPartition(self.topic, p, at) for p, at in offsets.items()]
            for each in consumer.commit(offsets=asked, asynchronous=False) or []:
                if each.error is not None:
                    result, error = UNKNOWN, each.error.name()
        except KafkaException as raised:
            result, error = UNKNOWN, raised.args[0].name()
        self.recorder.add(Commit(self.name, start, self.recorder.now(), self.group, offsets, result, error))

    # -- told by librdkafka within `poll` ----------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved({each.partition: -1 for each in partitions}, "assigned")

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self.positions:
            self._commit(consumer)
        self._moved({}, "revoked")

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved({}, "lost")

    def _moved(self, positions: dict[int, int], why: str) -> None:
        self._tell()
        now = self.recorder.now()
        self.recorder.add(Assign(self.name, now, now, positions, why))
        self.positions = {}
