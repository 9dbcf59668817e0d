"""Fetch: limits, errors, isolation, compressed batches, and sessions (KIP-227)."""

from __future__ import annotations

from conversation import Conversation, scenario
from scenarios_log import COMPRESSIONS, UNKNOWN_ID, batch, fill, produce_body

from moldau.protocol import api_keys as k
from moldau.protocol.messages.delete_topics import DeleteTopicsRequest
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState


class Fetching:
    """Builds Fetch requests of one version: topics by name or by id."""

    def __init__(self, c: Conversation, version: int) -> None:
        self.c, self.version = c, version
        self.ids: dict[str, bytes] = {}
        self.end = 0

    def names(self, topic: str) -> dict[str, object]:
        if self.version < 13:
            return {"topic": topic}
        if topic not in self.ids:
            self.ids[topic] = self.c.topic_id(topic) if topic.startswith(self.c.prefix) else UNKNOWN_ID
        return {"topic_id": self.ids[topic]}

    def body(
        self,
        *wanted: tuple[str, int, int],
        partition_bytes: int = 1 << 20,
        epoch: int = -1,
        fetched_epoch: int = -1,
        forget: tuple[str, int] | None = None,
        **fields: object,
    ) -> FetchRequest:
        """`wanted`: topic, partition, offset."""
        topics: dict[str, list[FetchPartition]] = {}
        for topic, partition, offset in wanted:
            asked = FetchPartition(
                partition=partition, fetch_offset=offset, partition_max_bytes=partition_bytes, log_start_offset=-1
            )
            if self.version >= 9:
                asked.current_leader_epoch = epoch
            if self.version >= 12:
                asked.last_fetched_epoch = fetched_epoch
            topics.setdefault(topic, []).append(asked)
        defaults: dict[str, object] = {"max_wait_ms": 50, "min_bytes": 1, "max_bytes": 1 << 20}
        body = FetchRequest(**{**defaults, **fields})  # type: ignore[arg-type]
        body.topics = [FetchTopic(**self.names(t), partitions=p) for t, p in topics.items()]  # type: ignore[arg-type]
        if forget:
            body.forgotten_topics_data = [
                ForgottenTopic(**self.names(forget[0]), partitions=[forget[1]])  # type: ignore[arg-type]
            ]
        return body

    def ask(self, label: str, *wanted: tuple[str, int, int], on: str = "", **fields: object) -> object:
        return self.c.ask(label, k.FETCH, self.version, self.body(*wanted, **fields), on=on)  # type: ignore[arg-type]

    def post(self, *wanted: tuple[str, int, int], on: str, **fields: object) -> None:
        self.c.post(k.FETCH, self.version, self.body(*wanted, **fields), on=on)  # type: ignore[arg-type]


@scenario(k.FETCH, k.PRODUCE)
def fetch(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=3)
    fill(c, topic, 3, 2)
    fill(c, topic, 1, partition=1)
    f = Fetching(c, version)
    f.ask("from the start", (topic, 0, 0))
    f.ask("the middle of a batch", (topic, 0, 1))
    f.ask("the second batch", (topic, 0, 3))
    f.ask("at the end", (topic, 0, 5))
    f.ask("behind the end", (topic, 0, 6))
    f.ask("negative offset", (topic, 0, -1))
    f.ask("an empty partition", (topic, 2, 0))
    f.ask("three partitions", (topic, 0, 0), (topic, 1, 0), (topic, 2, 0))
    f.ask("no such partition", (topic, 9, 0))
    f.ask("no such topic", ("nowhere", 0, 0))
    f.ask("known and unknown", (topic, 1, 0), ("nowhere", 0, 0))
    f.ask("one byte of each", (topic, 0, 0), (topic, 1, 0), partition_bytes=1)
    f.ask("one byte in all", (topic, 0, 0), (topic, 1, 0), max_bytes=1)
    f.ask("no byte of each", (topic, 0, 0), (topic, 1, 0), partition_bytes=0)
    f.ask("no byte in all", (topic, 0, 0), (topic, 1, 0), max_bytes=0)
    f.ask("less than no byte of each", (topic, 0, 0), (topic, 1, 0), partition_bytes=-1)
    f.ask("less than no byte in all", (topic, 0, 0), (topic, 1, 0), max_bytes=-1)
    f.ask("room for one batch", (topic, 0, 0), (topic, 1, 0), max_bytes=170)
    f.ask("room for one batch of each", (topic, 0, 0), (topic, 1, 0), partition_bytes=170)
    f.ask("more than there is, no wait", (topic, 0, 0), min_bytes=100_000, max_wait_ms=0)
    f.ask("more than there is, a wait", (topic, 0, 0), min_bytes=100_000, max_wait_ms=20)
    f.ask("no minimum", (topic, 0, 5), min_bytes=0, max_wait_ms=5000)
    f.ask("negative minimum and wait", (topic, 0, 5), min_bytes=-1, max_wait_ms=-1)
    f.ask("an error beside nothing new", (topic, 0, 5), (topic, 9, 0), max_wait_ms=100)
    f.ask("out of range does not wait", (topic, 0, 5), (topic, 1, 99), max_wait_ms=5000)
    f.ask("a partition twice", (topic, 0, 0), (topic, 0, 3))
    f.ask("negative partition", (topic, -1, 0))
    f.ask("offset -2", (topic, 0, -2))
    f.ask("a far offset", (topic, 0, 2**62))
    f.ask("committed only", (topic, 0, 0), isolation_level=1)
    f.ask("no such isolation", (topic, 0, 0), isolation_level=5)
    f.ask("nothing")
    if version >= 9:
        f.ask("this epoch", (topic, 0, 0), epoch=0)
        f.ask("a later epoch", (topic, 0, 0), epoch=5)
        f.ask("a later epoch, a wait", (topic, 0, 5), epoch=5, max_wait_ms=5000)
        f.ask("epoch -2", (topic, 0, 0), epoch=-2)
    if version >= 12:
        f.ask("fetched in this epoch", (topic, 0, 3), fetched_epoch=0)
        f.ask("fetched in a later epoch", (topic, 0, 3), fetched_epoch=4)
        f.ask("fetched in this epoch, behind the end", (topic, 0, 9), fetched_epoch=0)
    if version <= 14:
        f.ask("as a debugging replica", (topic, 0, 0), replica_id=-2)
        f.ask("as a follower that there is not", (topic, 0, 0), replica_id=77)
    else:
        state = ReplicaState(replica_id=77, replica_epoch=1)
        f.ask("as a follower that there is not", (topic, 0, 0), replica_state=state)
    if version >= 11:
        f.ask("with a rack", (topic, 0, 0), rack_id="somewhere")


@scenario(k.FETCH, k.PRODUCE)
def fetch_compressed(c: Conversation, version: int) -> None:
    f = Fetching(c, version)
    for name, codec in COMPRESSIONS.items():
        topic = c.topic(name)
        c.quiet(k.PRODUCE, 9, produce_body(c, 9, topic, bytes(batch(5, codec=codec))))
        f.ask(name, (topic, 0, 0))
    again = c.topic("again", compression_type="zstd")
    c.quiet(k.PRODUCE, 9, produce_body(c, 9, again, bytes(batch(5, codec=1))))
    f.ask("compressed again by the broker", (again, 0, 0))


@scenario(k.FETCH, k.PRODUCE)
def fetch_sessions(c: Conversation, version: int) -> None:
    if version < 7:
        return
    a, b = c.topic("a", partitions=2), c.topic("b")
    fill(c, a, 1)
    f = Fetching(c, version)
    first = f.ask("new session", (a, 0, 0), (a, 1, 0), session_id=0, session_epoch=0)
    session = getattr(first, "session_id", 0)
    f.ask("nothing new", session_id=session, session_epoch=1)
    fill(c, a, 2, partition=1)
    f.ask("only what changed", session_id=session, session_epoch=2)
    f.ask("one more topic", (b, 0, 0), session_id=session, session_epoch=3)
    f.ask("a new offset", (a, 0, 1), session_id=session, session_epoch=4)
    f.ask("one forgotten", forget=(a, 1), session_id=session, session_epoch=5)
    f.ask("a wrong epoch", session_id=session, session_epoch=9)
    f.ask("after the wrong epoch", session_id=session, session_epoch=6)
    f.ask("no such session", session_id=12345678, session_epoch=1)
    f.ask("no such session, new", (a, 0, 0), session_id=12345678, session_epoch=0)
    f.ask("closed", session_id=session, session_epoch=-1)
    f.ask("after closing", session_id=session, session_epoch=7)
    f.ask("without a session", (a, 0, 0), session_id=0, session_epoch=-1)
    f.ask("unknown in a session", ("nowhere", 0, 0), (a, 0, 0), session_id=0, session_epoch=0)
    more = c.topic("m", partitions=3)
    fill(c, more, 1)
    fill(c, more, 1, partition=1)
    wide = f.ask(
        "three in a session", (more, 0, 0), (more, 1, 0), (more, 2, 0), session_id=0, session_epoch=0, max_bytes=1
    )
    rotating = getattr(wide, "session_id", 0)
    for turn in (1, 2, 3):
        f.ask(f"one byte, turn {turn}", session_id=rotating, session_epoch=turn, max_bytes=1)
    f.ask("forget what is not there", forget=(b, 0), session_id=rotating, session_epoch=4)
    f.ask("forget and add the same", (more, 0, 0), forget=(more, 0), session_id=rotating, session_epoch=5)
    f.ask("an error comes into the session", (more, 7, 0), session_id=rotating, session_epoch=6)
    f.ask("the error stays", session_id=rotating, session_epoch=7)
    f.ask("epoch 0 of the session", (more, 2, 0), session_id=rotating, session_epoch=0)
    f.ask("after epoch 0", session_id=rotating, session_epoch=8)
    f.ask("no session, epoch 5", (more, 0, 0), session_id=0, session_epoch=5)
    f.ask("negative epoch", (more, 0, 0), session_id=0, session_epoch=-7)
    empty = f.ask("a new session without partitions", session_id=0, session_epoch=0)
    f.ask("still without partitions", session_id=getattr(empty, "session_id", 0), session_epoch=1)
    f.ask("ended by that", session_id=getattr(empty, "session_id", 0), session_epoch=2)
    last = f.ask("one in a session", (more, 0, 0), session_id=0, session_epoch=0)
    emptied = getattr(last, "session_id", 0)
    f.ask("all forgotten", forget=(more, 0), session_id=emptied, session_epoch=1)
    f.ask("after all is forgotten", session_id=emptied, session_epoch=2)


@scenario(k.FETCH, k.PRODUCE, k.DELETE_TOPICS)
def fetch_sessions_and_topics(c: Conversation, version: int) -> None:
    """Sessions whose topics go and come anew, and sessions that change between names and ids."""
    if version < 7:
        return
    topic, other = c.topic(), c.topic("other")
    fill(c, topic, 1)
    f = Fetching(c, version)
    first = f.ask("new session", (topic, 0, 0), (other, 0, 0), session_id=0, session_epoch=0)
    session = getattr(first, "session_id", 0)
    c.quiet(k.DELETE_TOPICS, 4, DeleteTopicsRequest(topic_names=[topic], timeout_ms=10_000))
    c.settle()
    f.ask("its topic is gone", session_id=session, session_epoch=1)
    c.topic()
    fill(c, topic, 2)
    f.ask("its topic is there anew", session_id=session, session_epoch=2)
    f.ids.pop(topic, None)
    f.ask("the new topic is asked for", (topic, 0, 0), session_id=session, session_epoch=3)
    if version >= 13:
        names = Fetching(c, 12)
        names.ask("by name in a session of ids", (other, 0, 0), session_id=session, session_epoch=4)
        f.ask("by id again", session_id=session, session_epoch=4)
        named = names.ask("new session of names", (other, 0, 0), session_id=0, session_epoch=0)
        session = getattr(named, "session_id", 0)
        f.ask("by id in a session of names", (other, 0, 0), session_id=session, session_epoch=1)


@scenario(k.FETCH, k.PRODUCE)
def fetch_waits(c: Conversation, version: int) -> None:
    """Long polls: what wakes them, and with what."""
    topic = c.topic(partitions=2)
    f = Fetching(c, version)

    def later(label: str, *counts: int, partition: int = 0, **fields: object) -> None:
        end = f.end
        f.post((topic, 0, end), (topic, 1, 0), on=label, max_wait_ms=4000, **fields)
        fill(c, topic, *counts, partition=partition)
        c.take(label, on=label)
        f.end += sum(counts) if not partition else 0

    later("an append wakes", 1)
    later("enough bytes wake", 1, 2, min_bytes=150)
    later("another partition wakes", 1, partition=1)
