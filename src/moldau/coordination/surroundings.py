"""What groups know of the broker around them: topics, and settings that may change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from .config import GroupConfig


class TopicFacts(NamedTuple):
    """A topic as assignors see it."""

    name: str
    topic_id: bytes
    partitions: int
    """How many there are, from 0."""


class TopicImage(Protocol):
    """The topics that there are now. Methods are cheap and answer from memory."""

    @property
    def version(self) -> int:
        """Another number after each change of topics or of their partitions, so that a group looks again only then."""
        ...

    def by_name(self, name: str) -> TopicFacts | None: ...

    def by_id(self, topic_id: bytes) -> TopicFacts | None: ...

    def names(self) -> Iterable[str]:
        """Of all topics, in any order."""
        ...

    def racks(self, topic_id: bytes, partition: int) -> frozenset[str]:
        """Where the brokers that clients are told to read the partition from stand; for assignors that look at racks."""
        ...


class Surroundings:
    """`broker_value` gives the value of a broker's key as it is now ("group.consumer.max.size"), `settings` the values of a group by the keys
    of groups ("consumer.session.timeout.ms"): its own, else the broker's, within the broker's bounds. Both are parsed. The mapping may be
    kept while an event is decided and not longer.
    """

    __slots__ = ("broker_value", "config", "settings", "topics")

    def __init__(
        self,
        config: GroupConfig,
        topics: TopicImage,
        broker_value: Callable[[str], Any],
        settings: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self.config = config
        self.topics = topics
        self.broker_value = broker_value
        self.settings = settings
