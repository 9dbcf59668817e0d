"""The assignor `simple` of share groups: every partition is somebody's, and everybody has a partition (KIP-932).

With fewer members than partitions each partition is one member's; with more, partitions are shared. Counts differ by one where all
subscribe to the same. What members have they keep as long as that is fair. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from .events import Partitions

Partition = tuple[bytes, int]


class SimpleAssignor:
    """See the module's text."""

    name = "simple"

    def assign(
        self,
        subscribed: Mapping[str, Mapping[bytes, int]],
        current: Mapping[str, Partitions],
    ) -> dict[str, Partitions]:
        """`subscribed`: member id to topic ids and their partition counts; `current`: what members were to have so far."""
        wanted = {
            member: [(topic, index) for topic in sorted(topics) for index in range(topics[topic])]
            for member, topics in sorted(subscribed.items())
        }
        members: dict[Partition, list[str]] = {}
        for member, partitions in wanted.items():
            for partition in partitions:
                members.setdefault(partition, []).append(member)
        # what everybody may keep; what is left over then goes to those who have the least
        keeps_of_member = {
            member: max(1, int(sum(1 / len(members[partition]) for partition in partitions) + 1e-9))
            for member, partitions in wanted.items()
        }
        keeps_of_partition = {
            partition: max(1, int(sum(1 / len(wanted[member]) for member in interested) + 1e-9))
            for partition, interested in members.items()
        }
        given: dict[str, set[Partition]] = {member: set() for member in wanted}
        shared = dict.fromkeys(members, 0)
        before: dict[str, set[Partition]] = {}
        for member, partitions in wanted.items():
            before[member] = {(topic, index) for topic, indexes in current.get(member, {}).items() for index in indexes}
            for partition in partitions:
                if (
                    partition in before[member]
                    and len(given[member]) < keeps_of_member[member]
                    and shared[partition] < keeps_of_partition[partition]
                ):
                    given[member].add(partition)
                    shared[partition] += 1
        for partition in sorted(members):
            if not shared[partition]:
                member = min(
                    members[partition], key=lambda each: (len(given[each]), partition not in before[each], each)
                )
                given[member].add(partition)
                shared[partition] += 1
        for member, partitions in wanted.items():
            if partitions and not given[member]:
                partition = min(partitions, key=lambda each: (shared[each], each not in before[member], each))
                given[member].add(partition)
                shared[partition] += 1
        return {member: _grouped(partitions) for member, partitions in given.items()}


def _grouped(partitions: set[Partition]) -> Partitions:
    found: dict[bytes, list[int]] = {}
    for topic, index in sorted(partitions):
        found.setdefault(topic, []).append(index)
    return {topic: tuple(indexes) for topic, indexes in found.items()}
