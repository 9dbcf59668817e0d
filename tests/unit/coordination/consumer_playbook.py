"""As `playbook`, for consumer groups.

    ConsumerPlaybook(t=4).beat("a", 0, "t").said("a: epoch 1 t[0 1 2 3]")

Members' ids are their names. Topics are single words; `owned` is written as it is told: `t[0 1] u[2]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from playbook import GROUP, Playbook, told

from moldau.coordination.consumer.events import ConsumerHeartbeat, ConsumerHeartbeatReply, Partitions
from moldau.coordination.events import Heartbeat
from moldau.coordination.groups import Groups
from moldau.coordination.surroundings import Surroundings, TopicFacts
from moldau.protocol import error_codes

REBALANCE_MS = 60_000
_OWNED = re.compile(r"(\w+)\[([0-9 ]*)\]")


class Topics:
    """`TopicImage`; the id of a topic is its name, filled up."""

    def __init__(self, **counts: int) -> None:
        self.version = 0
        self._topics: dict[str, TopicFacts] = {}
        for name, count in counts.items():
            self.put(name, count)

    def put(self, name: str, count: int) -> None:
        self._topics[name] = TopicFacts(name, topic_id(name), count)
        self.version += 1

    def drop(self, name: str) -> None:
        del self._topics[name]
        self.version += 1

    def by_name(self, name: str) -> TopicFacts | None:
        return self._topics.get(name)

    def by_id(self, wanted: bytes) -> TopicFacts | None:
        return self._topics.get(wanted.rstrip(b"\0").decode())

    def names(self) -> Iterable[str]:
        return self._topics

    def racks(self, topic_id: bytes, partition: int) -> frozenset[str]:
        return frozenset()


def topic_id(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")


class ConsumerPlaybook(Playbook):
    """Topics are keywords: name to partitions. Settings are keys of the broker, or of all groups, with dots."""

    def __init__(
        self, settings: dict[str, Any] | None = None, config: dict[str, int] | None = None, **topics: int
    ) -> None:
        self.topics = Topics(**topics)
        self.settings: dict[str, Any] = {
            "group.consumer.max.size": 1000,
            "group.consumer.assignors": ("uniform", "range"),
            "group.consumer.migration.policy": "bidirectional",
            "consumer.session.timeout.ms": 45_000,
            "consumer.heartbeat.interval.ms": 5_000,
            "consumer.assignment.interval.ms": 0,
            "consumer.assignor.offload.enable": True,
            **(settings or {}),
        }
        super().__init__(**(config or {}))

    def make_groups(self) -> Groups:
        around = Surroundings(self.config, self.topics, self.settings.__getitem__, lambda group_id: self.settings)
        return Groups(self.config, around)

    # -- steps

    def beat(  # type: ignore[override]
        self, name: str, epoch: int, topics: str | None = None, owned: str | None = None, **more: Any
    ) -> ConsumerPlaybook:
        """A heartbeat. One that joins (epoch 0) owns nothing and says all that is due."""
        if epoch == 0:
            more = {"rebalance_timeout_ms": REBALANCE_MS} | more
            owned = owned or ""
        event = ConsumerHeartbeat(
            GROUP,
            more.pop("member_id", name),
            epoch,
            topics=None if topics is None else topics.split(),
            owned=None if owned is None else read(owned),
            client_id=name,
            **more,
        )
        self.hand_in("", name, event)
        return self

    def beat_classic(self, member_id: str, generation: int) -> ConsumerPlaybook:
        """A Heartbeat of a member of the classic protocol."""
        self.hand_in("heartbeat", member_id.rpartition("-")[0], Heartbeat(GROUP, member_id, generation))
        return self

    def leave_for_good(self, name: str, **more: Any) -> ConsumerPlaybook:
        return self.beat(name, -1, **more)

    def put(self, **topics: int) -> ConsumerPlaybook:
        """Topics come, or grow."""
        for name, count in topics.items():
            self.topics.put(name, count)
        return self

    # -- what came of it

    def told(self, reply: Any) -> str:
        if not isinstance(reply, ConsumerHeartbeatReply):
            return told(reply)
        if reply.error_code:
            return error_codes.name(reply.error_code)
        soon = "" if reply.heartbeat_interval_ms in (0, 5_000) else f" again in {reply.heartbeat_interval_ms}"
        assigned = "" if reply.assigned is None else f" {written(reply.assigned)}"
        return f"epoch {reply.member_epoch}{assigned}{soon}"

    @property
    def state(self) -> str:
        """`Stable 2/2 a:2 b:1 gives t[0]`, epochs of the group and of each member."""
        group = self.group
        if group is None:
            return "gone"
        if not hasattr(group, "group_epoch"):
            return f"classic {super().state}"
        members = []
        for member in group.members.values():
            gives = f" gives {written(member.revoking)}" if member.revoking else ""
            members.append(f" {member.member_id}:{member.member_epoch}{gives}")
        return f"{group.state} {group.group_epoch}/{group.assignment_epoch}{''.join(members)}"

    def has(self, name: str) -> str:
        """What a member is assigned."""
        return written(self.group.members[name].assigned)


def written(assigned: Any) -> str:
    """`t[0 1] u[2]`, or `-`."""
    topics = sorted((topic.rstrip(b"\0").decode(), sorted(each)) for topic, each in assigned.items())
    return " ".join(f"{topic}[{' '.join(map(str, each))}]" for topic, each in topics) or "-"


def read(text: str) -> Partitions:
    return {topic_id(topic): frozenset(map(int, each.split())) for topic, each in _OWNED.findall(text)}
