"""Producers of a run: librdkafka with acks=all, idempotent or not; and one that speaks for itself, which sends nothing twice, so nothing of it may be
there twice. (librdkafka sends again what was on its way to a broker that is leader no more, also with `retries` 0.)
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from support.talker import Gone, Talker, batch_of

from moldau.protocol import error_codes

from .history import FAILED, OK, UNKNOWN, Send
from .recorder import Recorder

_REFUSED = (error_codes.NOT_LEADER_OR_FOLLOWER, error_codes.UNKNOWN_TOPIC_OR_PARTITION)
"""To a request that was sent once: nothing was written. Every other error leaves it in doubt."""


class ProducerThread(threading.Thread):
    """`per_second` records in all, to partitions at random, now and then several at once."""

    def __init__(
        self,
        name: str,
        recorder: Recorder,
        bootstrap: str,
        topic: str,
        partitions: int,
        *,
        idempotent: bool,
        per_second: float,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._recorder = recorder
        self._topic = topic
        self._partitions = partitions
        self._idempotent = idempotent
        self._per_second = per_second
        self._random = random.Random(seed)
        self._unanswered: dict[str, tuple[float, int, int]] = {}
        self._sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": name,
                "acks": "all",
                "enable.idempotence": idempotent,
                "linger.ms": 2,
                # longer than any outage: a client that gives up a message sends what came behind it under a new epoch,
                # and what of that had been written, without an answer, is then there twice
                "message.timeout.ms": 600_000,
                "request.timeout.ms": 5_000,
                "socket.timeout.ms": 8_000,
                "retry.backoff.ms": 50,
                "retry.backoff.max.ms": 500,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 5_000,
                "error_cb": self._error,
                "logger": _silent(),
            }
        )

    def run(self) -> None:
        try:
            self._work()
        except KafkaException as error:
            self._recorder.troubled(self.name, f"died: {error}")
        for value in list(self._unanswered):
            self._tell(value, UNKNOWN, error="no answer until the end")

    def _work(self) -> None:
        stop = self._recorder.stop
        while not stop.is_set():
            for _ in range(self._random.choice([1, 1, 1, 10])):
                self._send()
            self._producer.poll(0)
            stop.wait(self._random.expovariate(self._per_second / 3.25))
            self._producer.poll(0)
        self._producer.flush(70)

    def _send(self) -> None:
        partition = self._random.randrange(self._partitions)
        self._sent += 1
        value = f"{self.name}-{self._sent}"
        if self._random.random() < 0.02:
            value += "-" + "x" * self._random.randint(1_000, 60_000)
        self._unanswered[value] = self._recorder.now(), partition, self._sent
        try:
            self._producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
        except BufferError as error:
            self._tell(value, FAILED, error=str(error))

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        value = (message.value() or b"").decode()
        if error is None:
            offset = message.offset()
            self._tell(value, OK, -1 if offset is None else offset)
        else:
            self._tell(value, UNKNOWN, error=error.name())

    def _tell(self, value: str, result: str, offset: int = -1, error: str = "") -> None:
        start, partition, number = self._unanswered.pop(value)
        end = self._recorder.now()
        send = Send(self.name, start, end, partition, value, number, result, offset, error)
        send.repeats, send.fenced = not self._idempotent, self._idempotent
        self._recorder.add(send)

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self._recorder.troubled(self.name, f"fatal: {error.str()}")
        else:
            self._recorder.note(self.name, error.str())


class Sender(threading.Thread):
    """One request after the other, each sent once, to whichever broker takes it: it knows no leaders."""

    def __init__(
        self,
        name: str,
        recorder: Recorder,
        addresses: Callable[[], dict[int, str]],
        topic: str,
        partitions: int,
        *,
        per_second: float,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._recorder = recorder
        self._addresses = addresses
        self._topic = topic
        self._partitions = partitions
        self._per_second = per_second
        self._random = random.Random(seed)
        self._wires: dict[int, Talker] = {}
        self._takes: dict[int, int] = {}
        """Partition to the broker that took the last one."""
        self._sent = 0

    def run(self) -> None:
        while not self._recorder.stop.is_set():
            self._send()
            self._recorder.stop.wait(self._random.expovariate(self._per_second))
        for wire in self._wires.values():
            wire.__exit__()

    def _send(self) -> None:
        partition = self._random.randrange(self._partitions)
        node = self._takes.get(partition) or self._random.choice(sorted(self._addresses()))
        wire = self._wires.get(node)
        if wire is None:
            try:
                wire = self._wires[node] = Talker(self._addresses()[node], 5.0)
            except Gone:
                self._takes.pop(partition, None)
                return
        self._sent += 1
        value = f"{self.name}-{self._sent}"
        start = self._recorder.now()
        result, offset, error = UNKNOWN, -1, ""
        try:
            answer = wire.produce(self._topic, partition, batch_of([value.encode()]))
        except (Gone, OSError) as raised:
            error = type(raised).__name__
            self._wires.pop(node).__exit__()
        else:
            error = error_codes.name(answer.error_code) if answer.error_code else ""
            if answer.error_code in _REFUSED:
                result = FAILED
            elif not answer.error_code:
                result, offset = OK, answer.base_offset
        if result == OK:
            self._takes[partition] = node
        else:
            self._takes.pop(partition, None)
        self._recorder.add(
            Send(self.name, start, self._recorder.now(), partition, value, self._sent, result, offset, error)
        )


def _silent() -> Any:
    """librdkafka tells its troubles to `error_cb`, and need not print them as well."""
    import logging

    logger = logging.getLogger("histories.librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
