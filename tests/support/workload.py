"""What a broker promised, and whether it kept it.

Every writer has a partition of its own, so what must be in it is known to the byte: a promise is an answer without an error. `work` goes
on until the broker is gone; `again` sends what was not answered once more, as a client does; `check` reads everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from moldau.protocol import error_codes

from .talker import Gone, Talker, batch_of

SMALL, LARGE = 100, 90_000
"""Bytes of a value: a batch of the second kind does not fit a commit (`moldau.inline.max.bytes`)."""
MIXED = 2
"""Instead of acks: large batches with 1 and small ones with -1 in turn, so that a durable commit depends on bytes elsewhere."""
TOPIC = "load"


class Refused(Exception):
    """An answer with an error code."""

    def __init__(self, request: str, error_code: int) -> None:
        super().__init__(f"{request}: {error_codes.name(error_code)}")
        self.request = request
        self.error_code = error_code


class Writer:
    """One producer of one partition, a request at a time."""

    def __init__(self, topic: str, partition: int, size: int, *, acks: int = -1, idempotent: bool = True) -> None:
        self.topic = topic
        self.partition = partition
        self.size = size
        self.acks = acks
        self.idempotent = idempotent
        self.acknowledged: dict[int, bytes] = {}
        """Value by offset."""
        self._fast: set[bytes] = set()
        """Values that were sent with acks=1."""
        self.refused: set[int] = set()
        """Error codes that were answered."""
        self._producer = (-1, -1)
        self._next = 0
        self._unanswered: list[bytes] = []

    def values(self) -> list[bytes]:
        """The next batch's: one to three records."""
        count = 1 + self._next % 3
        size = self.size if self.acks != MIXED else (LARGE if self._acks() == 1 else SMALL)
        return [
            b"%s %d %08d " % (self.topic.encode(), self.partition, self._next + n) + b"x" * size for n in range(count)
        ]

    def _acks(self) -> int:
        """Of the next batch."""
        return self.acks if self.acks != MIXED else (1, -1)[self._next // 2 % 2]

    def send(self, wire: Talker) -> None:
        """One batch: the one that was not answered, or the next. Raises Gone, Refused."""
        if self.idempotent and self._producer[0] < 0:
            producer_id, epoch, error_code = wire.producer_id()
            if error_code:
                raise Refused("InitProducerId", error_code)
            self._producer = (producer_id, epoch)
        values = self._unanswered or self.values()
        self._unanswered = values
        sequence = self._next if self.idempotent else -1
        acks = self._acks()
        if acks == 1:
            self._fast.update(values)
        answer = wire.produce(self.topic, self.partition, batch_of(values, self._producer, sequence), acks)
        if answer.error_code:
            self.refused.add(answer.error_code)
            raise Refused("Produce", answer.error_code)
        for n, value in enumerate(values):
            self.acknowledged[answer.base_offset + n] = value
        self._unanswered = []
        self._next += len(values)

    def give_up(self) -> None:
        """Do not send the unanswered batch again (a producer that is not idempotent may write it twice)."""
        if not self.idempotent and self._unanswered:
            self._next += len(self._unanswered)
            self._unanswered = []

    def check(self, found: list[tuple[int, bytes]], *, may_lose: bool = False) -> None:
        """`found` is everything in the partition. `may_lose`: records of acks=1 may be gone from the end."""
        there = dict(found)
        offsets = [offset for offset, _ in found]
        assert offsets == sorted(set(offsets)), "offsets go up by one"
        values = [value for _, value in found]
        assert len(set(values)) == len(values), f"{self.topic}-{self.partition} has a record twice"
        assert values == sorted(values), f"{self.topic}-{self.partition} is out of order"
        if found and not self.refused:
            assert offsets == list(range(offsets[0], offsets[-1] + 1)), f"{self.topic}-{self.partition} has a hole"
        start = offsets[0] if offsets else 0
        end = offsets[-1] + 1 if offsets else 0
        for offset, value in self.acknowledged.items():
            if offset < start or (may_lose and offset >= end and value in self._fast):
                continue
            assert there.get(offset) == value, (
                f"{self.topic}-{self.partition}: acknowledged offset {offset} of {end} is lost"
            )


class Committer:
    """A group that commits ever greater offsets."""

    def __init__(self, group: str = "g") -> None:
        self.group = group
        self.acknowledged = -1
        self.sent = 0

    def send(self, wire: Talker) -> None:
        self.sent += 1
        error = wire.commit_offset(self.group, TOPIC, 0, self.sent)
        if error:
            raise Refused("OffsetCommit", error)
        self.acknowledged = self.sent

    def check(self, wire: Talker) -> None:
        committed = wire.committed_offset(self.group, TOPIC, 0)
        assert self.acknowledged <= committed <= self.sent, f"committed {committed}, acknowledged {self.acknowledged}"


class Admin:
    """Creates topics; when there are some, deletes one for each that it creates."""

    TOPICS = 6

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.gone: set[str] = set()
        self._count = 0

    def send(self, wire: Talker) -> None:
        self._count += 1
        name = f"topic{self._count}"
        error = wire.create_topic(name, 2)
        if error:
            raise Refused("CreateTopics", error)
        self.there.add(name)
        if len(self.there) < self.TOPICS:
            return
        name = self.there.pop()
        error = wire.delete_topic(name)
        if error:
            raise Refused("DeleteTopics", error)
        self.gone.add(name)

    def check(self, wire: Talker) -> None:
        names = set(wire.topics())
        assert self.there <= names, f"topics are lost: {self.there - names}"
        assert not self.gone & names, f"topics are back: {self.gone & names}"


class Workload:
    """Writers of every kind at once, a group and an administrator, each on a connection and a thread of its own."""

    def __init__(
        self,
        *,
        large_topic: str = TOPIC,
        sizes: tuple[int, ...] = (SMALL, LARGE),
        acks: tuple[int, ...] = (-1, -1, 1, MIXED),
        others: bool = True,
    ) -> None:
        """`others`: the group and the administrator work too."""
        self.writers = [
            Writer(large_topic if size == LARGE else TOPIC, partition, size, acks=each, idempotent=each == -1)
            for partition, (size, each) in enumerate((size, each) for size in sizes for each in acks)
        ]
        self._others = others
        self.committer = Committer()
        self.admin = Admin()
        self.error: BaseException | None = None
        self.rounds = 0

    def prepare(self, bootstrap: str) -> None:
        """Topics. Raises Gone."""
        with Talker(bootstrap) as wire:
            for topic, configs in ((TOPIC, {}), ("short", {"retention_bytes": "1"})):
                assert wire.create_topic(topic, len(self.writers), **configs) in (0, 36)

    def work(self, bootstrap: str, rounds: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Everybody sends until `rounds` are over, or `enough`, or the broker is gone. Raises what a thread died of."""
        threads = [threading.Thread(target=self._loop, args=(bootstrap, step, rounds, enough)) for step in self.steps()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
            assert not thread.is_alive(), "a request was not answered"
        if self.error is not None:
            raise self.error

    def steps(self) -> list[Callable[[Talker], None]]:
        """What each of them does, once."""
        steps: list[Callable[[Talker], None]] = [writer.send for writer in self.writers]
        return [*steps, self.committer.send, self.admin.send] if self._others else steps

    def _loop(self, bootstrap: str, step: Callable[[Talker], None], rounds: int, enough: Callable[[], bool]) -> None:
        try:
            with Talker(bootstrap) as wire:
                for _ in range(rounds):
                    if enough() or self.error is not None:
                        return
                    step(wire)
                    self.rounds += 1
        except (Gone, Refused) as error:
            if isinstance(error, Refused):
                self.error = error
        except BaseException as error:
            self.error = error

    def again(self, bootstrap: str) -> None:
        """After a restart: what was not answered is sent again, and some more."""
        self.prepare(bootstrap)
        for writer in self.writers:
            writer.give_up()
        self.work(bootstrap, 3)

    def check(self, bootstrap: str, *, fast_may_be_lost: bool = False, offsets: bool = True) -> int:
        """Every promise is kept, but for committed offsets if they are not looked at. Returns how many records are there."""
        count = 0
        with Talker(bootstrap) as wire:
            for writer in self.writers:
                found = wire.read_all(writer.topic, writer.partition)
                writer.check(found, may_lose=fast_may_be_lost)
                count += len(found)
            if self._others:
                if offsets:
                    self.committer.check(wire)
                self.admin.check(wire)
        return count


def deep_look(data: Path) -> None:
    """`moldau inspect` of a stopped broker's directory finds nothing wrong."""
    import asyncio

    from moldau.server.inspection import inspect_data_dir

    report = asyncio.run(inspect_data_dir(data, deep=True))
    assert report["problems"] == [], report
