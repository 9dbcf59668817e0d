"""Internal topics of Kafka Streams applications: the broker creates them because a heartbeat said that they are missing (KIP-1071).

They go the way of CreateTopics, one creation at a time for each group. The heartbeat does not wait; what could not be created is told in the
status of the next ones, and tried again after a while.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from moldau.coordination.streams.topology import InternalTopic
from moldau.protocol import error_codes

from . import topics

if TYPE_CHECKING:
    from .broker import Broker

log = logging.getLogger(__name__)

RETRY_MS = 5000
"""How long after a failure the same group's topics are tried again."""
REMEMBERED = 1000
"""Of how many groups failures are kept; the oldest are forgotten first."""


class InternalTopics:
    def __init__(self) -> None:
        self._creating: set[str] = set()
        self._failed: dict[str, tuple[int, dict[str, str]]] = {}
        """Group id to when topics could not be created, and why: topic to message."""

    def create(self, broker: Broker, group_id: str, missing: tuple[InternalTopic, ...]) -> None:
        """Begin to create them, unless that goes on already or has just failed."""
        failed = self._failed.get(group_id)
        if group_id in self._creating or (failed is not None and broker.steady_clock() < failed[0] + RETRY_MS):
            return
        self._creating.add(group_id)
        broker.keep(broker.loop.create_task(self._create(broker, group_id, missing)))

    def errors(self, group_id: str, missing: tuple[InternalTopic, ...]) -> str:
        """Why topics that are still missing could not be created; empty when nothing is known against them."""
        errors = self._failed.get(group_id, (0, {}))[1]
        return ", ".join(f"{topic.name} ({errors[topic.name]})" for topic in missing if topic.name in errors)

    async def _create(self, broker: Broker, group_id: str, missing: tuple[InternalTopic, ...]) -> None:
        errors: dict[str, str] = {}
        try:
            for topic in missing:
                try:
                    await _create_one(broker, topic)
                    log.info(
                        "group=%s internal topic created topic=%s partitions=%d", group_id, topic.name, topic.partitions
                    )
                except topics.TopicError as error:
                    if error.error_code != error_codes.TOPIC_ALREADY_EXISTS:
                        errors[topic.name] = error.message
                        log.warning(
                            "group=%s internal topic=%s not created error='%s'", group_id, topic.name, error.message
                        )
        finally:
            self._creating.discard(group_id)
            self._failed.pop(group_id, None)
            if errors:
                self._failed[group_id] = (broker.steady_clock(), errors)
                if len(self._failed) > REMEMBERED:
                    del self._failed[next(iter(self._failed))]


async def _create_one(broker: Broker, topic: InternalTopic) -> None:
    """Raises TopicError."""
    factor = topic.replication_factor if topic.replication_factor > 0 else broker.options.default_replication_factor
    topics.check_replication_factor(broker, factor)
    configs: dict[str, str | None] = dict(topic.configs)
    await topics.create(broker, topic.name, topic.partitions, configs, replication_factor=factor, validate_only=False)
