"""The state of one streams group, and the one `apply` that changes what survives a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from moldau.coordination.decision import NEVER
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord

from .configure import ConfiguredTopology, configure
from .group_header import GroupHeader
from .member import StreamsMember
from .reconcile import Owners
from .records import (
    STREAMS_DESCRIPTION,
    STREAMS_GROUP,
    STREAMS_MEMBER,
    STREAMS_TOPOLOGY,
    decode_description,
    decode_header,
    decode_member,
    decode_topology,
    encode_description,
    encode_header,
    encode_member,
    encode_topology,
)
from .settings import Settings
from .tasks import TaskId
from .topology import Topology

EMPTY = "Empty"
NOT_READY = "NotReady"
ASSIGNING = "Assigning"
RECONCILING = "Reconciling"
STABLE = "Stable"


class StreamsGroup:
    """Members, topology, epochs, and every deadline.

    Handlers change what lives in memory only: deadlines, the flag of a shutdown, what members report of their tasks. All else is changed by
    `apply`.
    """

    __slots__ = (
        "_owners",
        "_seen",
        "_seen_at",
        "around",
        "ask_description_at",
        "description",
        "endpoint_epoch",
        "group_id",
        "header",
        "initial_deadline",
        "members",
        "persisted",
        "reported",
        "reported_ends",
        "shutdown_by",
        "static_members",
        "topology",
        "wake_at",
    )

    type_name = "streams"

    def __init__(self, group_id: str, around: Surroundings) -> None:
        self.group_id = group_id
        self.around = around
        self.header = GroupHeader()
        self.topology: Topology | None = None
        self.description: tuple[int, bytes] | None = None
        """The topology as a member has described it, and the epoch of that topology."""
        self.members: dict[str, StreamsMember] = {}
        self.static_members: dict[str, str] = {}
        """Instance id to member id."""
        self.persisted = False
        self.wake_at = NEVER

        self.initial_deadline = NEVER
        """Until then no tasks are dealt, since more members are expected."""
        self.shutdown_by: str | None = None
        """The member that asked for the whole application to stop."""
        self.ask_description_at = 0
        """When a member may be asked for the description; `NEVER`, when it was too large."""
        self.endpoint_epoch = 0
        """Another number whenever some endpoint has other partitions."""
        self._owners: Owners | None = None
        self._seen: tuple[ConfiguredTopology, int] | None = None
        self._seen_at = -1
        self.reported: dict[str, Mapping[TaskId, int]] = {}
        """Member id to how far the tasks are whose state it has on its disk."""
        self.reported_ends: dict[str, Mapping[TaskId, int]] = {}
        """Member id to how far these tasks could be."""

    # -- what it is

    @property
    def state(self) -> str:
        if not self.members:
            return EMPTY
        if self.topology is None or self.topology.epoch != self.header.validated_epoch:
            return NOT_READY
        if self.header.group_epoch > self.header.assignment_epoch:
            return ASSIGNING
        if all(member.is_reconciled_to(self.header.assignment_epoch) for member in self.members.values()):
            return STABLE
        return RECONCILING

    @property
    def is_empty(self) -> bool:
        return not self.members

    @property
    def is_blank(self) -> bool:
        return not self.members and not self.persisted

    def is_subscribed(self, topic_name: str) -> bool:
        """An empty group is subscribed to nothing, so that its offsets may expire."""
        return bool(self.members) and self.topology is not None and topic_name in self.topology.source_subtopologies()

    @property
    def settings(self) -> Settings:
        return Settings(self.around.settings(self.group_id))

    @property
    def max_size(self) -> int:
        return int(self.around.broker_value("group.streams.max.size"))

    def waits_for_members(self, now: int) -> bool:
        """Whether tasks are not dealt yet because the group is new. The wait begins with the first member."""
        if not self.members:
            return self.settings.initial_rebalance_delay_ms > 0
        return now < self.initial_deadline < NEVER

    @property
    def owners(self) -> Owners:
        """Which process has which task now."""
        if self._owners is None:
            self._owners = owners = Owners()
            for member in self.members.values():
                owners.add(member.assigned, member.process_id)
                owners.add(member.revoking, member.process_id)
        return self._owners

    # -- topics

    def partition_count(self, topic: str) -> int | None:
        facts = self.around.topics.by_name(topic)
        return None if facts is None else facts.partitions

    def look(self, topology: Topology) -> tuple[ConfiguredTopology, int]:
        """The topology against the topics there are now, and a number for what these topics are like; found anew when topics have changed.
        Raises InvalidTopology.
        """
        version = self.around.topics.version
        if self._seen is None or self._seen_at != version or topology is not self.topology:
            self._seen = configure(topology, self.partition_count), self._metadata_hash(topology)
            self._seen_at = version
        return self._seen

    def _metadata_hash(self, topology: Topology) -> int:
        digest = blake2b(digest_size=8)
        for name in sorted(topology.required_topics()):
            facts = self.around.topics.by_name(name)
            if facts is not None:
                digest.update(f"{name} {facts.topic_id.hex()} {facts.partitions}\n".encode())
        return int.from_bytes(digest.digest(), "big")

    # -- records

    def header_record(self, header: GroupHeader) -> GroupRecord:
        return GroupRecord(STREAMS_GROUP, self.group_id, "", encode_header(header))

    def topology_record(self, topology: Topology) -> GroupRecord:
        return GroupRecord(STREAMS_TOPOLOGY, self.group_id, "", encode_topology(topology))

    def description_record(self, epoch: int, description: bytes) -> GroupRecord:
        return GroupRecord(STREAMS_DESCRIPTION, self.group_id, "", encode_description(epoch, description))

    def member_record(self, member: StreamsMember) -> GroupRecord:
        return GroupRecord(STREAMS_MEMBER, self.group_id, member.member_id, encode_member(member))

    def without(self, members: Iterable[StreamsMember]) -> list[GroupRecord]:
        """The records that take members out: tasks are dealt anew."""
        gone = [GroupRecord(STREAMS_MEMBER, self.group_id, member.member_id, None) for member in members]
        return [*gone, self.header_record(self.header._replace(group_epoch=self.header.group_epoch + 1))]

    def tombstones(self) -> list[GroupRecord]:
        members = [GroupRecord(STREAMS_MEMBER, self.group_id, member_id, None) for member_id in self.members]
        rest = [
            GroupRecord(kind, self.group_id, "", None)
            for kind in (STREAMS_DESCRIPTION, STREAMS_TOPOLOGY, STREAMS_GROUP)
        ]
        return [*members, *rest]

    def apply(self, record: GroupRecord, now: int) -> None:
        if record.kind == STREAMS_MEMBER:
            self._apply_member(record, now)
        elif record.kind == STREAMS_DESCRIPTION:
            self.description = None if record.value is None else decode_description(record.value)
        elif record.kind == STREAMS_TOPOLOGY:
            self.topology = None if record.value is None else decode_topology(record.value)
            self._seen = None
        else:
            self.header = GroupHeader() if record.value is None else decode_header(record.value)
            self.persisted = record.value is not None

    def _apply_member(self, record: GroupRecord, now: int) -> None:
        self._owners = None
        old = self.members.get(record.key)
        if (
            old is not None
            and old.instance_id is not None
            and self.static_members.get(old.instance_id) == old.member_id
        ):
            del self.static_members[old.instance_id]
        if record.value is None:
            self.members.pop(record.key, None)
            self.reported.pop(record.key, None)
            self.reported_ends.pop(record.key, None)
            if not self.members:
                self.shutdown_by = None
                self.initial_deadline = NEVER
            return
        settings = self.settings
        if not self.members and old is None and settings.initial_rebalance_delay_ms:
            self.initial_deadline = now + settings.initial_rebalance_delay_ms
            self.arm(self.initial_deadline)
        member = decode_member(record.key, record.value)
        member.carry_over(old, now, settings.session_timeout_ms)
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_members[member.instance_id] = member.member_id
        self.arm(min(member.session_deadline, member.rebalance_deadline))

    # -- time

    def touch(self, member: StreamsMember, now: int) -> None:
        """The member is alive: its session begins anew."""
        member.session_deadline = now + self.settings.session_timeout_ms
        self.arm(member.session_deadline)

    def arm(self, deadline: int) -> None:
        self.wake_at = min(self.wake_at, deadline)

    def rearm(self) -> None:
        """Find the earliest deadline exactly."""
        self.wake_at = min(
            (min(member.session_deadline, member.rebalance_deadline) for member in self.members.values()), default=NEVER
        )
        self.arm(self.initial_deadline)
