"""A streams group as a dialogue: heartbeats in, answers out, compared as text.

    StreamsPlay().join("a").said("a: epoch 2 active=0_0,0_1").beat("a").said("a: epoch 2")

The answer to a heartbeat is one line: the epoch, tasks where they were given (`active`, `standby`), and the names of statuses. A member's
process is its name up to the first digit, so that `a1` and `a2` are threads of process `a`.
"""

from __future__ import annotations

from typing import Any

from moldau.coordination.config import GroupConfig
from moldau.coordination.decision import Decision
from moldau.coordination.events import DeleteGroup, Event, OffsetCommit, Tick
from moldau.coordination.groups import Groups
from moldau.coordination.replies import failed
from moldau.coordination.streams import status as statuses
from moldau.coordination.streams.events import StreamsHeartbeat, StreamsReply
from moldau.coordination.streams.tasks import Assignment, TaskId, Tasks
from moldau.coordination.streams.topology import InternalTopic, Subtopology, Topology
from moldau.coordination.surroundings import Surroundings, TopicFacts
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol import error_codes

GROUP = "g"
START = 1_000_000
STATUS = {
    getattr(statuses, name): name
    for name in dir(statuses)
    if name.isupper() and isinstance(getattr(statuses, name), int)
}

STATELESS = Topology(0, {"0": Subtopology("0", ("in",))})
STATEFUL = Topology(0, {"0": Subtopology("0", ("in",), state_changelog_topics=(InternalTopic("log"),))})
TWO_PARTS = Topology(
    0,
    {
        "0": Subtopology("0", ("in",), repartition_sink_topics=("mid",)),
        "1": Subtopology(
            "1",
            repartition_source_topics=(InternalTopic("mid", configs=(("cleanup.policy", "delete"),)),),
            state_changelog_topics=(InternalTopic("log", configs=(("cleanup.policy", "compact"),)),),
        ),
    },
)
DEFAULTS: dict[str, Any] = {
    "streams.session.timeout.ms": 45_000,
    "streams.heartbeat.interval.ms": 5_000,
    "streams.initial.rebalance.delay.ms": 0,
    "streams.assignment.interval.ms": 0,
    "streams.num.standby.replicas": 0,
    "streams.task.offset.interval.ms": 60_000,
    "streams.rack.aware.assignment.tags": [],
}


class Topics:
    """`moldau.coordination.surroundings.TopicImage` of topics that tests make."""

    def __init__(self, **partitions: int) -> None:
        self.version = 0
        self._facts: dict[str, TopicFacts] = {}
        for name, count in partitions.items():
            self.put(name, count)

    def put(self, name: str, partitions: int) -> None:
        self.version += 1
        self._facts[name] = TopicFacts(name, self.id_of(name), partitions)

    @staticmethod
    def id_of(name: str) -> bytes:
        return name.encode().ljust(16, b"\x01")

    def by_name(self, name: str) -> TopicFacts | None:
        return self._facts.get(name)

    def by_id(self, topic_id: bytes) -> TopicFacts | None:
        return next((facts for facts in self._facts.values() if facts.topic_id == topic_id), None)

    def names(self) -> list[str]:
        return list(self._facts)

    def racks(self, topic_id: bytes, partition: int) -> frozenset[str]:
        return frozenset()


class StreamsPlay:
    """Groups, a store that is a dict, and a clock that jumps. Members answer as Kafka Streams does: `beat` names the tasks that it was told to run."""

    def __init__(self, topology: Topology = STATELESS, topics: Topics | None = None, **settings: Any) -> None:
        self.topology = topology
        self.topics = topics or Topics(**{"in": 4, "mid": 4, "log": 4})
        self.settings = DEFAULTS | {f"streams.{name.replace('_', '.')}": value for name, value in settings.items()}
        self.max_size = 1000
        self.around = Surroundings(
            GroupConfig(), self.topics, lambda key: self.max_size, lambda group_id: self.settings
        )
        self.now = START
        self.groups = Groups(self.around.config, self.around)
        self.records: dict[tuple[int, str, str], GroupRecord] = {}
        self.lines: list[str] = []
        self.epochs: dict[str, int] = {}
        self.runs: dict[str, Assignment] = {}
        """What each member runs: the last assignment that it was told."""
        self.last: StreamsReply | None = None
        self.store_fails = False
        self.codes: list[int] = []

    # -- steps

    def join(self, *names: str, **more: Any) -> StreamsPlay:
        for name in names:
            self.runs[name] = Assignment()
            values = {"topology": self.topology, "rebalance_timeout_ms": 60_000, "process_id": process_of(name)} | more
            self._beat(name, 0, owned=Assignment(), **values)
        return self

    def beat(self, *names: str, **more: Any) -> StreamsPlay:
        for name in names:
            values = {"owned": self.runs[name]} | more
            self._beat(name, self.epochs[name], **values)
        return self

    def leave(self, name: str, epoch: int = -1, **more: Any) -> StreamsPlay:
        return self._beat(name, epoch, **more)

    def settle(self, *names: str, rounds: int = 8) -> StreamsPlay:
        """Heartbeats of all until nothing changes any more. What was said is forgotten."""
        for _ in range(rounds):
            self.beat(*names)
        self.lines.clear()
        return self

    def after(self, ms: int) -> StreamsPlay:
        """Time passes; timers go off at their own time."""
        end = self.now + ms
        while (deadline := self.groups.deadline(GROUP)) <= end:
            self.now = max(self.now, deadline)
            self._carry_out(Tick(GROUP))
        self.now = end
        return self

    def restart(self) -> StreamsPlay:
        self.groups = Groups(self.around.config, self.around)
        self.groups.load(sorted(self.records.values()), self.now)
        return self

    def commit(self, name: str, epoch: int, topic: str = "in", partition: int = 0, **more: Any) -> int:
        event = OffsetCommit(
            GROUP,
            name,
            epoch,
            [(Topics.id_of(topic), partition, 1, -1, "")],
            commit_timestamp=self.now,
            ticket="commit",
            **more,
        )
        self._carry_out(event)
        return self.codes[-1]

    def delete(self) -> int:
        self._carry_out(DeleteGroup(GROUP, [], ticket="delete"))
        return self.codes[-1]

    # -- what came of it

    def said(self, *expected: str) -> StreamsPlay:
        lines, self.lines = self.lines, []
        assert lines == list(expected)
        return self

    def forget(self) -> StreamsPlay:
        self.lines.clear()
        return self

    @property
    def group(self) -> Any:
        return self.groups.get(GROUP)

    def _beat(self, name: str, epoch: int, **values: Any) -> StreamsPlay:
        self._carry_out(StreamsHeartbeat(GROUP, name, epoch, ticket=name, **values))
        return self

    def hand_in(self, event: Event) -> StreamsPlay:
        self._carry_out(event)
        return self

    def _carry_out(self, event: Event) -> None:
        """What the runtime does, without its waiting."""
        decision = self.groups.handle(event, self.now)
        self._write(decision)
        for ticket, reply in decision.replies:
            self._take(ticket, reply)
        if decision.again is not None:
            self._carry_out(decision.again)

    def _take(self, ticket: str, reply: Any) -> None:
        if not isinstance(reply, StreamsReply):
            self.codes.append(reply[0] if isinstance(reply, list) else reply)
            return
        self.last = reply
        if reply.error_code == error_codes.NONE:
            self.epochs[ticket] = reply.member_epoch
            if reply.assignment is not None:
                self.runs[ticket] = reply.assignment
        self.lines.append(f"{ticket}: {told(reply)}")

    def _write(self, decision: Decision) -> None:
        if not decision.writes:
            return
        if self.store_fails:
            code = error_codes.COORDINATOR_NOT_AVAILABLE
            decision.replies = [(ticket, failed(reply, code)) for ticket, reply in decision.replies]
            self.groups.write_failed(GROUP, self.now)
            return
        for record in decision.records:
            if record.value is None:
                self.records.pop(record[:3], None)
            else:
                self.records[record[:3]] = record
            self.groups.apply(record, self.now)


def process_of(name: str) -> str:
    return name.rstrip("0123456789")


def told(reply: StreamsReply) -> str:
    if reply.error_code:
        return error_codes.name(reply.error_code)
    words = [f"epoch {reply.member_epoch}"]
    if reply.assignment is not None:
        words.append(f"active={spelled(reply.assignment.active)}")
        if reply.assignment.standby:
            words.append(f"standby={spelled(reply.assignment.standby)}")
    words += [STATUS[status.code] for status in reply.status]
    return " ".join(words)


def spelled(tasks: Tasks) -> str:
    return ",".join(f"{part}_{partition}" for part, partition in sorted(tasks))


def task(text: str) -> TaskId:
    part, _, partition = text.partition("_")
    return part, int(partition)
