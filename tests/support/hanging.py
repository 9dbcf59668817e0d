"""`send_offsets_to_transaction` with an end.

librdkafka may wait for ever for a group's coordinator that went away, whatever time it is given (confluentinc/librdkafka issues 5456 and 5511). Who waits
too long here is treated as a process that died: the producer is left where it is, and the next one with its transactional id fences it.
"""

from __future__ import annotations

import threading
from typing import Any

from confluent_kafka import Producer, TopicPartition

SECONDS = 10.0


class Hung(Exception):
    """The producer is not usable any more, and its transaction was not asked to be committed."""


def send_offsets(producer: Producer, positions: list[TopicPartition], group: Any) -> None:
    """Raises what the producer raises (KafkaException), or Hung after `SECONDS`."""
    raised: list[Exception] = []

    def ask() -> None:
        try:
            producer.send_offsets_to_transaction(positions, group, SECONDS)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=ask, name="send offsets", daemon=True)
    thread.start()
    thread.join(SECONDS + 2)
    if thread.is_alive():
        raise Hung
    if raised:
        raise raised[0]
