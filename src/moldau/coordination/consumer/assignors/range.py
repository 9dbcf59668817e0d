"""The range assignor: of each topic every subscriber gets a run of neighbouring partitions, the first ones get one more.

Members with the same subscriptions get the same numbers of topics with as many partitions, so that records of the same key meet (joins).
Order: static members by their instance id, then the others by member id. Source: Kafka's RangeAssignor.
"""

from __future__ import annotations

from moldau.coordination.consumer.events import Partitions

from .spec import AssignmentSpec, MemberSpec


class RangeAssignor:
    name = "range"
    uses_racks = False

    def assign(self, spec: AssignmentSpec) -> dict[str, Partitions]:
        subscribers: dict[bytes, list[str]] = {topic_id: [] for topic_id in spec.topics}
        for member in sorted(spec.members, key=_order):
            for topic_id in member.topics:
                subscribers[topic_id].append(member.member_id)
        assigned: dict[str, Partitions] = {member.member_id: {} for member in spec.members}
        for topic_id, count in spec.topics.items():
            member_ids = subscribers[topic_id]
            if not member_ids:
                continue
            each, more = divmod(count, len(member_ids))
            begin = 0
            for index, member_id in enumerate(member_ids):
                end = begin + each + (index < more)
                if end > begin:
                    assigned[member_id][topic_id] = frozenset(range(begin, end))
                begin = end
        return assigned


def _order(member: MemberSpec) -> tuple[bool, str]:
    if member.instance_id is not None:
        return False, member.instance_id
    return True, member.member_id
