"""Dead-letter topics of share groups (KIP-1191): records that were given up are told of there, and are done with after that.

Before, their state ARCHIVING is durable in the share-partition's row, and whoever rejected them has been answered. Then letters are appended
as a producer's batches are, with acks=all, and then the row says ARCHIVED. Whoever dies between leaves ARCHIVING behind, and the next home of the
share-partition writes these letters (again): at least once, as in Kafka. ARCHIVING counts against `share.partition.max.record.locks`, which bounds
what may wait here.

What the stores do not take is tried again for as long as the share-partition is at home here. What cannot be written because the topic
must not be used, does not exist, or refuses the batch is logged as an error and archived without a letter, as in Kafka. A copy that is too large
for the topic becomes a letter without one.

    died before the append -> written by the next home; after it, or the reply is lost -> there twice
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from moldau import faults
from moldau.blobs.ports import BlobError
from moldau.coordination.share.homes import Home, ShareHomes
from moldau.coordination.share.partition import Letter
from moldau.log.batches import Batch, batches_of
from moldau.log.damage import DamagedLog
from moldau.log.flush import Append
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.records.batch import HEADER_BYTES
from moldau.records.builder import build_batch
from moldau.records.errors import InvalidBatch
from moldau.records.record import Record, iter_records
from moldau.records.validate import prepare

from . import topics
from .config.topic import topic_value
from .letter_records import Origin, size_of

if TYPE_CHECKING:
    from moldau.log.view import PartitionView

    from .broker import Broker
    from .catalog import Topic

log = logging.getLogger(__name__)

TOPIC_NAME = "errors.deadletterqueue.topic.name"
COPY = "errors.deadletterqueue.copy.record.enable"
ENABLED = "errors.deadletterqueue.group.enable"
AUTO_CREATE = "errors.deadletterqueue.auto.create.topics.enable"
PREFIX = "errors.deadletterqueue.topic.name.prefix"

_AT_ONCE = 500
"""Letters in one batch."""
_READ_BYTES = 1 << 20
"""Read of a partition at a time for copies."""
_PAUSE_S, _PAUSE_S_MAX = 1.0, 30.0
_AGAIN = frozenset(
    {
        error_codes.KAFKA_STORAGE_ERROR,
        error_codes.NOT_LEADER_OR_FOLLOWER,
        error_codes.REQUEST_TIMED_OUT,
        error_codes.TOPIC_ALREADY_EXISTS,
        error_codes.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
_TOO_LARGE = frozenset({error_codes.MESSAGE_TOO_LARGE, error_codes.RECORD_LIST_TOO_LARGE})


class _Refused(Exception):
    """Letters cannot be written, and are given up."""


class _Later(Exception):
    """A store does not take them now."""


class _Page(NamedTuple):
    """One batch of letters, and what they are about."""

    records: list[Record]
    about: list[Letter]


class DeadLetters:
    """One task for each share-partition with letters to write."""

    def __init__(self, broker: Broker, homes: ShareHomes) -> None:
        self._broker = broker
        self._homes = homes
        self._waiting: dict[Home, deque[Letter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        homes.undertaker = self.take

    def take(self, home: Home, letters: list[Letter]) -> None:
        """Write these, after those before them."""
        waiting = self._waiting.get(home)
        if waiting is not None:
            waiting.extend(letters)
            return
        self._waiting[home] = deque(letters)
        task = asyncio.get_running_loop().create_task(self._run(home), name="moldau-dead-letters")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """What is not written yet is for the next home of the share-partition."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one share-partition --------------------------------------------------------------------------------------------

    async def _run(self, home: Home) -> None:
        waiting = self._waiting[home]
        pause = _PAUSE_S
        try:
            while waiting and not home.code:
                try:
                    done = await self._write(home, waiting)
                except _Later as error:
                    log.warning(
                        "event=dead_letters_wait group=%s partition_id=%d error='%s'",
                        home.key.group,
                        home.partition_id,
                        error,
                    )
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_S_MAX)
                    continue
                except Exception as error:
                    if not isinstance(error, _Refused):
                        log.exception("event=dead_letters_broke group=%s", home.key.group)
                    done = [waiting[0]]
                    self._lost(home, done[0], error)
                pause = _PAUSE_S
                _drop(waiting, done[-1].last)
                for letter in done:
                    self._homes.buried(home, letter)
        finally:
            del self._waiting[home]

    def _lost(self, home: Home, letter: Letter, error: Exception) -> None:
        log.error(
            "event=dead_letters_not_written group=%s topic=%s partition=%d first=%d last=%d error='%s'",
            home.key.group,
            self._broker.catalog.name_of(home.key.topic_id),
            home.key.partition,
            letter.first,
            letter.last,
            error,
        )

    async def _write(self, home: Home, waiting: deque[Letter]) -> list[Letter]:
        """One batch. What it was about. Raises _Later and _Refused."""
        topic = await self._topic(home.key.group)
        copies = bool(self._broker.configs.of_group(home.key.group)[COPY])
        page = await self._page(home, waiting, topic, copies)
        index = home.key.partition % len(topic.partition_ids)
        code, message = await self._append(topic, index, page.records)
        if code in _TOO_LARGE and len(page.records) == 1 and copies:
            page = await self._page(home, waiting, topic, False, 1)
            code, message = await self._append(topic, index, page.records)
        if code in _AGAIN:
            raise _Later(message or error_codes.name(code))
        if code:
            raise _Refused(f"{topic.name}: {message or error_codes.name(code)}")
        return page.about

    async def _page(
        self, home: Home, waiting: deque[Letter], topic: Topic, copies: bool, most: int = _AT_ONCE
    ) -> _Page:
        """The next letters that fit into one batch; one at least."""
        broker, key = self._broker, home.key
        origin = Origin(key.group, broker.catalog.name_of(key.topic_id) or key.topic_id.hex(), key.partition)
        originals = _Originals(broker, home.partition_id) if copies else None
        now = broker.clock()
        page = _Page([], [])
        size = HEADER_BYTES
        for letter in list(waiting):
            for offset in range(letter.first, letter.last + 1):
                original = await originals.at(offset) if originals is not None else None
                record = origin.record(letter, offset, now, original)
                size += size_of(record)
                if page.records and (size > topic.rules.max_message_bytes or len(page.records) >= most):
                    return page
                page.records.append(record)
                if page.about and page.about[-1].first == letter.first:
                    page.about[-1] = letter._replace(last=offset)
                else:
                    page.about.append(letter._replace(last=offset))
        return page

    # -- the topic ------------------------------------------------------------------------------------------------------

    async def _topic(self, group: str) -> Topic:
        """The group's dead-letter topic, created if need be. Raises _Later and _Refused."""
        broker = self._broker
        name = str(broker.configs.of_group(group)[TOPIC_NAME])
        if not name:
            raise _Refused("the group has no dead-letter topic any more")
        prefix = str(broker.configs.broker[PREFIX])
        if name.startswith("__") or not name.startswith(prefix):
            raise _Refused(f"the name of the dead-letter topic {name!r} must begin with {prefix!r}, and not with '__'")
        try:
            topic = await topics.named(broker, name)
        except topics.TopicError as error:
            if error.error_code != error_codes.UNKNOWN_TOPIC_OR_PARTITION:
                raise _Later(error.message) from error
            topic = await self._create(name)
        if not topic_value(ENABLED, topic.configs, broker.configs.broker):
            raise _Refused(f"the topic {name!r} does not have {ENABLED}=true")
        return topic

    async def _create(self, name: str) -> Topic:
        broker = self._broker
        if not broker.configs.broker[AUTO_CREATE]:
            raise _Refused(f"there is no topic {name!r}, and {AUTO_CREATE} is false")
        factor = broker.options.default_replication_factor
        configs: dict[str, str | None] = {ENABLED: "true", "message.timestamp.type": "CreateTime"}
        try:
            topics.check_replication_factor(broker, factor)
            topic = await topics.create(
                broker, name, broker.num_partitions, configs, replication_factor=factor, validate_only=False
            )
        except topics.TopicError as error:
            raise (_Later if error.error_code in _AGAIN else _Refused)(error.message) from error
        assert topic is not None
        log.info("event=dead_letter_topic_created topic=%s", name)
        return topic

    async def _append(self, topic: Topic, index: int, records: list[Record]) -> tuple[int, str | None]:
        """(error code, message); NONE once it is durable. Raises _Later."""
        broker = self._broker
        try:
            header, batch = prepare(memoryview(build_batch(records)), topic.rules, broker.clock())
        except InvalidBatch as error:
            return error.error_code, error.message
        try:
            view = await broker.views.load(topic.partition_ids[index])
        except StoreError as error:
            raise _Later(str(error)) from error
        if view is None:
            broker.catalog.suspect()
            return error_codes.UNKNOWN_TOPIC_OR_PARTITION, None
        faults.hit("share.letters")
        answered: asyncio.Future[Append] = broker.loop.create_future()

        def done(append: Append) -> None:
            if not answered.done():
                answered.set_result(append)

        broker.appender.submit(Append(view, batch, header, True, done))
        append = await answered
        if append.error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION:
            broker.catalog.suspect()
        if not append.error_code:
            faults.hit("share.letters_written")
        return append.error_code, append.error_message


class _Originals:
    """Records of one partition, asked for in order: one read and one decompressed batch are held."""

    __slots__ = ("_batches", "_broker", "_buffers", "_partition_id", "_records", "_seen")

    def __init__(self, broker: Broker, partition_id: int) -> None:
        self._broker = broker
        self._partition_id = partition_id
        self._buffers: list[bytes | bytearray | memoryview] = []
        self._batches: list[Batch] = []
        self._records: dict[int, Record] = {}
        self._seen: tuple[int, int] = (0, -1)
        """First and last offset that `_records` knows all of."""

    async def at(self, offset: int) -> Record | None:
        """None when the log does not have it any more, or cannot give it. Raises _Later."""
        if not self._seen[0] <= offset <= self._seen[1]:
            try:
                await self._open(offset)
            except (BlobError, StoreError) as error:
                raise _Later(str(error)) from error
            except (DamagedLog, InvalidBatch) as error:
                log.warning(
                    "event=dead_letter_without_copy partition_id=%d offset=%d error='%s'",
                    self._partition_id,
                    offset,
                    error,
                )
                self._records, self._seen = {}, (offset, offset)
        return self._records.get(offset)

    async def _open(self, offset: int) -> None:
        self._records = {}
        batch = self._holding(offset)
        if batch is None:
            view = await self._broker.views.load(self._partition_id)
            if view is not None and view.log_start_offset <= offset < view.high_watermark:
                await self._read(view, offset)
            batch = self._holding(offset)
        if batch is None:
            self._seen = offset, offset
            return
        raw = memoryview(self._buffers[batch.buffer])[batch.position : batch.position + batch.size]
        self._records = {record.offset: record for record in iter_records(raw)}
        self._seen = batch.first, batch.last

    async def _read(self, view: PartitionView, offset: int) -> None:
        buffers, _ = await self._broker.reader.read(view, offset, _READ_BYTES, True)
        self._buffers = list(buffers)
        self._batches = batches_of(self._buffers, ())

    def _holding(self, offset: int) -> Batch | None:
        return next((batch for batch in self._batches if batch.first <= offset <= batch.last), None)


def _drop(waiting: deque[Letter], last: int) -> None:
    """The offsets up to `last` of the first letters are done with; letters come in the order in which they were given up, so only whole ones
    stand before the one that ends there.
    """
    while waiting:
        letter = waiting.popleft()
        if letter.first <= last <= letter.last:
            if last < letter.last:
                waiting.appendleft(letter._replace(first=last + 1))
            return
