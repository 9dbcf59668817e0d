"""Whether the topics that a group's members subscribe to are still what they were."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct

from moldau.coordination.surroundings import TopicImage

_TOPIC = Struct(">16si")


def metadata_hash(topics: TopicImage, names: Iterable[str]) -> bytes:
    """Ids and partition counts of the topics of these names that there are, in 8 bytes. b"" when there are none.

    Racks are not in it: here they change whenever a broker comes or goes, and no built-in assignor looks at them.
    """
    digest = blake2b(digest_size=8)
    found = False
    for name in sorted(names):
        topic = topics.by_name(name)
        if topic is not None:
            found = True
            digest.update(_TOPIC.pack(topic.topic_id, topic.partitions))
    return digest.digest() if found else b""
