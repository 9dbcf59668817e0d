"""CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords, ElectLeaders."""

from __future__ import annotations

from conversation import Conversation, scenario
from scenarios_cluster import NO_SUCH_ID
from scenarios_fetch import Fetching
from scenarios_log import fill

from moldau.protocol import api_keys as k
from moldau.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from moldau.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from moldau.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from moldau.protocol.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from moldau.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from moldau.protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from moldau.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)

TIMEOUT_MS = 10_000
# what CreateTopics 5 and newer tells of every topic: only what was asked for is compared
WATCHED = frozenset(["retention.ms", "max.message.bytes", "segment.bytes"])


@scenario(k.CREATE_TOPICS)
def create_topics(c: Conversation, version: int) -> None:
    node = c.node()

    def topic(
        name: str,
        partitions: int = 1,
        replicas: int = 1,
        configs: dict[str, str | None] | None = None,
        assignments: list[list[int]] | None = None,
        indexes: list[int] | None = None,
    ) -> CreatableTopic:
        return CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replicas,
            configs=[CreatableTopicConfig(name=n, value=v) for n, v in (configs or {}).items()],
            assignments=[
                CreatableReplicaAssignment(partition_index=indexes[i] if indexes else i, broker_ids=ids)
                for i, ids in enumerate(assignments or [])
            ],
        )

    def ask(label: str, *topics: CreatableTopic, validate: bool = False) -> None:
        body = CreateTopicsRequest(topics=list(topics), timeout_ms=TIMEOUT_MS, validate_only=validate)
        wire = c.wire()
        wire.send(k.CREATE_TOPICS, version, body)
        answer = wire.receive()
        for found in getattr(answer, "topics", []):
            found.configs = [x for x in found.configs or [] if x.name in WATCHED]
        c.note(label, answer)

    p = c.prefix
    ask("one", topic(f"{p}-one", 2, configs={"retention.ms": "1234567"}))
    ask("again", topic(f"{p}-one"))
    ask("none")
    ask("validate", topic(f"{p}-v-0", 3), validate=True)
    ask("validate what exists", topic(f"{p}-one"), validate=True)
    ask("twice in one request", topic(f"{p}-twice"), topic(f"{p}-twice"))
    for name in ("", ".", "..", "a b", "n" * 250, "ü"):
        ask(f"name {name[:5]!r}", topic(name))
    ask("collides", topic(f"{p}.x"), topic(f"{p}_x"))
    ask("collides later", topic(f"{p}_x"))
    if version >= 4:
        ask("default counts", topic(f"{p}-default", -1, -1))
    for partitions in (0, -2):
        ask(f"{partitions} partitions", topic(f"{p}-parts", partitions))
    for replicas in (0, -2, 99):
        ask(f"{replicas} replicas", topic(f"{p}-replicas", 1, replicas))
    ask("assigned", topic(f"{p}-assigned", -1, -1, assignments=[[node], [node]]))
    ask("assigned with counts", topic(f"{p}-a2", 2, 1, assignments=[[node], [node]]))
    ask("assigned to nobody", topic(f"{p}-a3", -1, -1, assignments=[[987]]))
    ask("assigned twice", topic(f"{p}-a4", -1, -1, assignments=[[node, node]]))
    ask("assigned to none", topic(f"{p}-a5", -1, -1, assignments=[[]]))
    ask("assigned to -1", topic(f"{p}-a6", -1, -1, assignments=[[-1]]))
    ask("a partition assigned twice", topic(f"{p}-a7", -1, -1, assignments=[[node], [node]], indexes=[0, 0]))
    ask("a partition left out", topic(f"{p}-a8", -1, -1, assignments=[[node], [node]], indexes=[0, 2]))
    ask("a negative partition", topic(f"{p}-a9", -1, -1, assignments=[[node], [node]], indexes=[-1, 0]))
    ask("assigned unevenly", topic(f"{p}-a10", -1, -1, assignments=[[node], [node, 2]]))
    ask("assigned, with a count", topic(f"{p}-a11", 1, -1, assignments=[[node]]))
    ask("assigned, with a factor", topic(f"{p}-a12", -1, 1, assignments=[[node]]))
    ask("assigned, invalid key", topic(f"{p}-a13", -1, -1, {"no.such": "1"}, assignments=[[node]]))
    ask("unknown key", topic(f"{p}-k1", configs={"no.such.key": "1"}))
    ask("bad value", topic(f"{p}-k2", configs={"retention.ms": "abc"}))
    ask("value out of range", topic(f"{p}-k3", configs={"max.message.bytes": "-1"}))
    ask("null value", topic(f"{p}-k4", configs={"retention.ms": None}))
    ask("a bad one beside a good one", topic(f"{p}-good"), topic("a b"))
    for key, value in (
        ("cleanup.policy", "shred"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("compression.type", "lzma"),
        ("compression.gzip.level", "10"),
        ("compression.zstd.level", "-200000"),
        ("message.timestamp.type", "createtime"),
        ("min.insync.replicas", "0"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("preallocate", "maybe"),
        ("preallocate", "TRUE"),
        ("retention.ms", "-2"),
        ("retention.ms", " 100 "),
        ("retention.ms", "1e5"),
        ("retention.ms", "99999999999999999999"),
        ("retention.bytes", "-5"),
        ("segment.bytes", "10"),
        ("segment.ms", "0"),
        ("flush.messages", "0"),
        ("max.message.bytes", "99999999999"),
        ("local.retention.ms", "5"),
        ("message.format.version", "3.0"),
        ("follower.replication.throttled.replicas", "nonsense"),
        ("", "1"),
    ):
        ask(f"{key}={value}", topic(f"{p}-v-1", configs={key: value}), validate=True)
    twice = topic(f"{p}-k5", configs={"retention.ms": "1"})
    twice.configs.append(CreatableTopicConfig(name="retention.ms", value="2"))
    ask("a key twice", twice)
    ask("internal name", topic("__consumer_offsets"))
    ask("a name like an internal one", topic(f"__{p}"))
    ask("name of 249", topic((p + "-v-" + "n" * 249)[:249]), validate=True)
    ask("name with dots in front", topic(f"...-v-{p}"), validate=True)
    ask("validate nonsense", topic("a b", 0, 99, {"no.such": "1"}), validate=True)
    ask("100,001 partitions", topic(f"{p}-huge", 100_001), validate=True)
    late = CreateTopicsRequest(topics=[topic(f"{p}-late", configs={"retention.ms": "3"})], timeout_ms=0)
    c.wire("late").send(k.CREATE_TOPICS, version, late)
    c.note("no time at all", {"error_code": c.wire("late").receive().topics[0].error_code})


@scenario(k.DELETE_TOPICS)
def delete_topics(c: Conversation, version: int) -> None:
    a, b, d = c.topic("a"), c.topic("b"), c.topic("d")

    def ask(label: str, *names: str) -> None:
        if version >= 6:
            body = DeleteTopicsRequest(topics=[DeleteTopicState(name=n) for n in names], timeout_ms=TIMEOUT_MS)
        else:
            body = DeleteTopicsRequest(topic_names=list(names), timeout_ms=TIMEOUT_MS)
        c.ask(label, k.DELETE_TOPICS, version, body)

    ask("none")
    ask("one", a)
    ask("again", a)
    ask("unknown and known", f"{c.prefix}-none", b)
    ask("invalid name", "a b")
    ask("twice", d, d)
    ask("empty name", "")
    ask("internal", f"__{c.prefix}-none")
    c.settle()
    c.note("gone", c.metadata(a))
    c.topic("a")
    c.note("made anew", c.metadata(a))
    if version >= 6:
        topic_id = c.topic_id(a)
        for label, state in (
            ("unknown id", DeleteTopicState(name=None, topic_id=NO_SUCH_ID)),
            ("id and name", DeleteTopicState(name=a, topic_id=topic_id)),
            ("neither", DeleteTopicState(name=None)),
            ("id of the name of another", DeleteTopicState(name="other", topic_id=topic_id)),
            ("an empty name", DeleteTopicState(name="")),
            ("by id", DeleteTopicState(name=None, topic_id=topic_id)),
            ("by id again", DeleteTopicState(name=None, topic_id=topic_id)),
        ):
            body = DeleteTopicsRequest(topics=[state], timeout_ms=TIMEOUT_MS)
            c.ask(label, k.DELETE_TOPICS, version, body)


@scenario(k.CREATE_PARTITIONS)
def create_partitions(c: Conversation, version: int) -> None:
    node, topic = c.node(), c.topic(partitions=2)

    def ask(label: str, *wanted: tuple[str, int, list[list[int]] | None], validate: bool = False) -> None:
        topics = [
            CreatePartitionsTopic(
                name=name,
                count=count,
                assignments=None if ids is None else [CreatePartitionsAssignment(broker_ids=i) for i in ids],
            )
            for name, count, ids in wanted
        ]
        body = CreatePartitionsRequest(topics=topics, timeout_ms=TIMEOUT_MS, validate_only=validate)
        c.ask(label, k.CREATE_PARTITIONS, version, body)

    ask("none")
    ask("validate", (topic, 5, None), validate=True)
    ask("more", (topic, 3, None))
    c.settle()
    ask("as many", (topic, 3, None))
    ask("fewer", (topic, 1, None))
    ask("zero", (topic, 0, None))
    ask("unknown", (f"{c.prefix}-none", 3, None))
    ask("twice", (topic, 4, None), (topic, 5, None))
    ask("assigned", (topic, 4, [[node]]))
    ask("too few assignments", (topic, 6, [[node]]))
    ask("too many assignments", (topic, 5, [[node], [node]]))
    ask("no assignments", (topic, 5, []))
    ask("assigned to none", (topic, 5, [[]]))
    ask("assigned to the same twice", (topic, 5, [[node, node]]))
    ask("assigned to -1", (topic, 5, [[-1]]))
    ask("negative", (topic, -1, None))
    ask("very many", (topic, 100_001, None), validate=True)
    ask("invalid name", ("a b", 3, None))
    ask("validate, assigned", (topic, 5, [[node]]), validate=True)
    ask("validate, unknown", (f"{c.prefix}-none", 5, None), validate=True)
    ask("one good, one bad", (topic, 5, None), (f"{c.prefix}-none", 5, None))
    ask("assigned to nobody", (topic, 5, [[987]]))
    c.settle()
    c.note("after it all", c.metadata(topic))


@scenario(k.DELETE_RECORDS, k.PRODUCE, k.FETCH)
def delete_records(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=2)
    fill(c, topic, 10, 5)

    def ask(label: str, name: str, *wanted: tuple[int, int], timeout_ms: int = TIMEOUT_MS) -> None:
        asked = [DeleteRecordsPartition(partition_index=partition, offset=offset) for partition, offset in wanted]
        body = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name=name, partitions=asked)], timeout_ms=timeout_ms)
        c.ask(label, k.DELETE_RECORDS, version, body)

    f = Fetching(c, 12)
    ask("to 4", topic, (0, 4))
    f.ask("before the start", (topic, 0, 3))
    f.ask("at the start, in the middle of a batch", (topic, 0, 4))
    earliest(c, "earliest then", topic)
    ask("back to 2", topic, (0, 2))
    ask("beyond the end", topic, (0, 16))
    ask("-2", topic, (0, -2))
    ask("an empty partition", topic, (1, -1))
    ask("beyond the end of an empty partition", topic, (1, 1))
    ask("no such partition", topic, (7, 1))
    ask("negative partition", topic, (-1, 1))
    ask("no such topic", f"{c.prefix}-none", (0, 1))
    ask("invalid topic", "a b", (0, 1))
    ask("several", topic, (0, 5), (1, 0), (9, 0))
    ask("nothing", topic)
    ask("everything", topic, (0, -1))
    ask("everything again", topic, (0, -1))
    f.ask("at the end", (topic, 0, 15))
    f.ask("one before the end", (topic, 0, 14))
    earliest(c, "earliest at last", topic)


def earliest(c: Conversation, label: str, topic: str) -> None:
    asked = [ListOffsetsPartition(partition_index=0, timestamp=t) for t in [-2]]
    body = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=asked)])
    c.note(label, c.quiet(k.LIST_OFFSETS, 6, body))


@scenario(k.ELECT_LEADERS)
def elect_leaders(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=2)

    def ask(label: str, name: str, *partitions: int, kind: int = 0) -> None:
        body = ElectLeadersRequest(
            topic_partitions=[TopicPartitions(topic=name, partitions=list(partitions))], timeout_ms=TIMEOUT_MS
        )
        if version >= 1:
            body.election_type = kind
        c.ask(label, k.ELECT_LEADERS, version, body)

    ask("preferred", topic, 0, 1)
    ask("no such partition", topic, 9)
    ask("no such topic", f"{c.prefix}-none", 0)
    ask("invalid topic", "a b", 0)
    ask("a partition twice", topic, 0, 0)
    ask("no partitions", topic)
    every = ElectLeadersRequest(topic_partitions=None, timeout_ms=TIMEOUT_MS)
    c.wire().send(k.ELECT_LEADERS, version, every)
    answer = c.wire().receive()
    found = answer.replica_election_results
    answer.replica_election_results = [x for x in found if x.topic == topic]  # other scenarios make topics as well
    c.note("every partition", answer)
    c.ask("no topics", k.ELECT_LEADERS, version, ElectLeadersRequest(topic_partitions=[], timeout_ms=TIMEOUT_MS))
    if version >= 1:
        ask("unclean", topic, 0, kind=1)
        ask("no such type", topic, 0, kind=5)
        ask("negative type", topic, 0, kind=-1)


@scenario(k.ALTER_PARTITION_REASSIGNMENTS, k.LIST_PARTITION_REASSIGNMENTS)
def alter_partition_reassignments(c: Conversation, version: int) -> None:
    topic, node = c.topic(partitions=2), c.node()

    def ask(label: str, *asked: tuple[str, int, list[int] | None], **fields: bool) -> None:
        topics: dict[str, ReassignableTopic] = {}
        for name, index, replicas in asked:
            part = ReassignablePartition(partition_index=index, replicas=replicas)
            topics.setdefault(name, ReassignableTopic(name=name)).partitions.append(part)
        body = AlterPartitionReassignmentsRequest(topics=list(topics.values()), timeout_ms=TIMEOUT_MS, **fields)
        c.ask(label, k.ALTER_PARTITION_REASSIGNMENTS, version, body)

    ask("where it is", (topic, 0, [node]), (topic, 1, [node]))
    ask("nothing to cancel", (topic, 0, None))
    ask("no such partition", (topic, 9, [node]), (topic, 0, [node]))
    ask("cancel no such partition", (topic, -1, None))
    ask("no such topic", (f"{c.prefix}-none", 0, [node]))
    ask("cancel no such topic", (f"{c.prefix}-none", 0, None))
    ask("no brokers", (topic, 0, []))
    ask("a broker twice", (topic, 0, [node, node]))
    ask("no such broker", (topic, 0, [node, 77]))
    ask("a negative broker", (topic, 0, [-1]))
    ask("no topics")
    if version >= 1:
        ask("as many", (topic, 0, [node]), allow_replication_factor_change=False)
    for label, topics in (
        ("all", None),
        ("none", []),
        ("this", [ListPartitionReassignmentsTopics(name=topic, partition_indexes=[0, 1])]),
        ("no such", [ListPartitionReassignmentsTopics(name=f"{c.prefix}-none", partition_indexes=[0])]),
    ):
        body = ListPartitionReassignmentsRequest(topics=topics, timeout_ms=TIMEOUT_MS)
        c.ask(f"under way, {label}", k.LIST_PARTITION_REASSIGNMENTS, 0, body)
