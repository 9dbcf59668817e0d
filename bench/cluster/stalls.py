"""python -m bench.cluster.stalls BOOTSTRAP TOPIC PARTITIONS RATE: how long a librdkafka client waits at worst, while things happen to brokers.

A producer sends RATE records a second, over all partitions in turn, and a consumer group of one reads them; both with default settings. Prints
``ready`` when every partition flows. When its input ends, it lets what is under way arrive and prints one line of JSON:

``stall_s``            the longest time, since ``ready``, between two acknowledgements of a partition, or two records that came of one
``producer_stall_s``, ``consumer_stall_s``  of one of the two
``errors``             records that the producer gave up
``lost``               records that were acknowledged and did not come (duplicates are allowed: the default producer makes them)

``Stalls.java`` is the same with Kafka's own client.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer

LAST_SECONDS = 40.0
"""How long what is under way may take to arrive."""


class Gaps:
    """The longest time between two things of one partition. `start` begins anew."""

    def __init__(self, partitions: int) -> None:
        self._last = [0.0] * partitions
        self.longest = 0.0

    def start(self) -> None:
        now = time.perf_counter()
        self._last = [max(now, last) for last in self._last]
        self.longest = 0.0

    def seen(self, partition: int) -> None:
        now = time.perf_counter()
        gap = now - self._last[partition]
        if self._last[partition] and gap > self.longest:
            self.longest = gap
        self._last[partition] = now

    def end(self) -> None:
        """What has not come until now has been waited for until now."""
        for partition in range(len(self._last)):
            self.seen(partition)

    @property
    def flows(self) -> bool:
        return all(self._last)


class Producing:
    """On a thread of its own until `stop`."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, rate: float) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 1})
        self._topic, self._partitions, self._rate = topic, partitions, rate
        self.gaps = Gaps(partitions)
        self.acknowledged: set[int] = set()
        self.errors = 0
        self.sent = 0
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        began = time.perf_counter()
        while not self._stop:
            while self.sent < (time.perf_counter() - began) * self._rate:
                value = b"%d" % self.sent
                self._producer.produce(
                    self._topic, value, partition=self.sent % self._partitions, on_delivery=self._answered
                )
                self.sent += 1
            self._producer.poll(0.002)

    def _answered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors += 1
            return
        self.gaps.seen(message.partition() or 0)
        self.acknowledged.add(int(message.value() or b""))

    def stop(self) -> None:
        self._stop = True
        self._thread.join()
        self.gaps.end()
        self.errors += self._producer.flush(LAST_SECONDS)


class Consuming:
    """On a thread of its own until all of `wanted` came, or it took too long."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": uuid.uuid4().hex,
                "auto.offset.reset": "earliest",
                "log_level": 1,
            }
        )
        self._consumer.subscribe([topic])
        self.gaps = Gaps(partitions)
        self.received: set[int] = set()
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop:
            message = self._consumer.poll(0.05)
            if message is None or message.error() is not None:
                continue
            self.gaps.seen(message.partition() or 0)
            self.received.add(int(message.value() or b""))

    def stop(self, wanted: set[int]) -> None:
        deadline = time.perf_counter() + LAST_SECONDS
        while not wanted <= self.received and time.perf_counter() < deadline:
            time.sleep(0.05)
        self._stop = True
        self._thread.join()
        self._consumer.close()


def main(bootstrap: str, topic: str, partitions: int, rate: float) -> dict[str, Any]:
    """What was seen."""
    consuming = Consuming(bootstrap, topic, partitions)
    producing = Producing(bootstrap, topic, partitions, rate)
    while not (producing.gaps.flows and consuming.gaps.flows):
        time.sleep(0.05)
    time.sleep(1.0)
    producing.gaps.start()
    consuming.gaps.start()
    print("ready", flush=True)
    sys.stdin.read()
    consuming.gaps.end()
    worst = consuming.gaps.longest
    producing.stop()
    consuming.stop(producing.acknowledged)
    return {
        "stall_s": max(producing.gaps.longest, worst),
        "producer_stall_s": producing.gaps.longest,
        "consumer_stall_s": worst,
        "errors": producing.errors,
        "lost": len(producing.acknowledged - consuming.received),
        "records": producing.sent,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))), flush=True)
