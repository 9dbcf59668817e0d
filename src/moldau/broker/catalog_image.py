"""The catalog as groups see it (`moldau.coordination.surroundings.TopicImage`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from moldau.coordination.surroundings import TopicFacts

if TYPE_CHECKING:
    from moldau.cluster.membership import Membership

    from .catalog import Catalog, Topic


class CatalogImage:
    """See the module's text."""

    __slots__ = ("_catalog", "_members")

    def __init__(self, catalog: Catalog, members: Membership) -> None:
        self._catalog = catalog
        self._members = members

    @property
    def version(self) -> int:
        return self._catalog.topics_version

    def by_name(self, name: str) -> TopicFacts | None:
        return _facts(self._catalog.by_name.get(name))

    def by_id(self, topic_id: bytes) -> TopicFacts | None:
        return _facts(self._catalog.by_id.get(topic_id))

    def names(self) -> Iterable[str]:
        return self._catalog.by_name.keys()

    def racks(self, topic_id: bytes, partition: int) -> frozenset[str]:
        topic = self._catalog.by_id.get(topic_id)
        if topic is None or partition >= len(topic.partition_ids):
            return frozenset()
        told = self._members.replicas_of(topic.partition_ids[partition], topic.replication_factor)
        racks = (member.rack for member in map(self._members.member, told) if member is not None)
        return frozenset(rack for rack in racks if rack is not None)


def _facts(topic: Topic | None) -> TopicFacts | None:
    return None if topic is None else TopicFacts(topic.name, topic.topic_id, len(topic.partition_ids))
