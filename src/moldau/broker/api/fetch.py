"""Fetch 4-18: records from the log; sessions (KIP-227), long polls, isolation, topic ids from 13 (KIP-516).

A fetch is answered at once when min_bytes are there, or an error, or nothing to wait for; else it waits on its partitions until enough
arrived or max_wait_ms passed. The first batch of a reply is whole even when it is larger than the limits (KIP-74). Hot path: no
task unless bytes must be waited for, or many are to be copied: a MiB of old records costs the loop a millisecond (to copy,
to check, to send), so after each `STEP_BYTES` of them others have their turn.
"""

from __future__ import annotations

import logging
from asyncio import sleep
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moldau.blobs.ports import BlobError
from moldau.broker.at_once import gather
from moldau.broker.dispatch import frame_parts
from moldau.broker.fetch_sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchSession,
    Key,
    SessionPartition,
)
from moldau.broker.outbox import NARROW_BYTES
from moldau.log import isolation
from moldau.log.aborted_rows import older_in
from moldau.log.damage import DamagedLog
from moldau.log.reader import NO_END
from moldau.log.transactions import AbortedRange
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)
from moldau.protocol.primitives import ZERO_UUID
from moldau.records.batch import offset_span

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request
    from moldau.log.reader import Buffer
    from moldau.log.view import PartitionView

log = logging.getLogger(__name__)

_NO_RECORDS = b""
STEP_BYTES = 512 << 10
"""So much is copied out of the stores in one turn of the loop; what the tail cache has is given without a copy, and does not count."""


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    message: FetchRequest = request.message
    by_id = request.version >= 13
    asked = [
        SessionPartition(
            (topic.topic_id, topic.topic, partition.partition),
            partition.fetch_offset,
            partition.partition_max_bytes,
            partition.current_leader_epoch,
        )
        for topic in message.topics
        for partition in topic.partitions
    ]
    if len(asked) > 1:  # of a partition that stands twice, the last counts
        asked = list({partition.key: partition for partition in asked}.values())
    if message.isolation_level not in (0, 1):
        _send(broker, request, reply, _no_such_isolation(message, request.version))
        return
    session: FetchSession | None = None
    error = error_codes.NONE
    partitions = asked
    incremental = False
    if message.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
        if message.session_id != NO_SESSION:
            broker.fetch_sessions.close(message.session_id)
        if message.session_epoch == INITIAL_EPOCH and request.version >= 7:
            session = broker.fetch_sessions.open(asked, by_id, broker.clock())
            if session is not None:
                partitions = list(session.partitions.values())
    else:
        session, error = broker.fetch_sessions.resume(
            message.session_id, message.session_epoch, by_id, asked, _forgotten(message), broker.clock()
        )
        if session is not None:
            incremental = True
            partitions = list(session.partitions.values())
    if error:
        broker.metrics.errors[api_keys.FETCH, error] += 1
        _send(broker, request, reply, FetchResponse(error_code=error))
        return
    _Fetch(broker, request, reply, session, partitions, incremental).attempt()


def _forgotten(message: FetchRequest) -> list[Key]:
    return [
        (topic.topic_id, topic.topic, index) for topic in message.forgotten_topics_data for index in topic.partitions
    ]


def _no_such_isolation(message: FetchRequest, version: int) -> FetchResponse:
    """As Kafka refuses a whole request: each partition has the error where topics are named, and the reply where it can."""
    code = error_codes.UNKNOWN_SERVER_ERROR
    responses = [
        FetchableTopicResponse(
            topic=topic.topic,
            partitions=[
                PartitionData(partition_index=each.partition, error_code=code, high_watermark=-1, records=_NO_RECORDS)
                for each in topic.partitions
            ],
        )
        for topic in message.topics
    ]
    return FetchResponse(error_code=code if version >= 7 else 0, responses=responses if version < 13 else [])


def _send(broker: Broker, request: Request, reply: Reply, response: FetchResponse) -> None:
    broker.metrics.request(api_keys.FETCH, request.started)
    reply.send(frame_parts(request, response.encode_parts(request.version)))


class _Fetch:
    """One fetch under way."""

    __slots__ = (
        "_aborted",
        "_blind",
        "_bucket",
        "_deadline",
        "_early",
        "_near",
        "_over",
        "_taken",
        "_views",
        "_waiting",
        "broker",
        "incremental",
        "partitions",
        "reply",
        "request",
        "session",
    )

    def __init__(
        self,
        broker: Broker,
        request: Request,
        reply: Reply,
        session: FetchSession | None,
        partitions: list[SessionPartition],
        incremental: bool,
    ) -> None:
        self.broker = broker
        self.request = request
        self.reply = reply
        self.session = session
        self.partitions = partitions
        self.incremental = incremental
        self._views: list[PartitionView] = []
        self._waiting = False
        self._over = False
        self._bucket = 0
        self._deadline = False
        self._taken = 0
        self._aborted: dict[Key, list[AbortedRange]] = {}
        # what was read before it became too much for one turn
        self._early: dict[Key, tuple[PartitionView, list[Buffer], int]] = {}
        self._near: dict[Key, tuple[int, PartitionView]] = {}  # consumers that are sent to a broker of their rack
        self._blind = False

    # -- answer or wait -----------------------------------------------------------------------------------------------

    def attempt(self) -> None:
        """Answer now if it can be, wait if it must be, go on in a task if bytes are to be fetched first, or are many."""
        self._early.clear()
        views = self._resolve()
        if views is None:
            self._in_task()
            return
        message: FetchRequest = self.request.message
        if not self._deadline and message.max_wait_ms > 0 and not self._enough(views, message.min_bytes):
            self._wait(views, message.max_wait_ms)
            return
        data = self._read_now(views)
        if data is None:
            self._in_task()
            return
        if self._taken > NARROW_BYTES:
            # until the reply leaves, in the loop's next turn, and its connection counts what does not
            outbox = self.broker.outbox
            outbox.begin(self._taken)
            self.broker.loop.call_soon(outbox.end, self._taken)
        self._answer(views, data)

    def _in_task(self) -> None:
        task = self.broker.loop.create_task(self._attempt_slowly())
        self.broker.keep(task)
        self.reply.cancels(task)

    async def _attempt_slowly(self) -> None:
        await self._look_for()
        if not all(await gather(self._look(partition) for partition in self.partitions)):
            await self._look_for(gone=True)
        views = self._resolve(final=True)
        assert views is not None
        message: FetchRequest = self.request.message
        if not self._deadline and message.max_wait_ms > 0 and not self._enough(views, message.min_bytes):
            self.reply.on_abandon = None
            self._wait(views, message.max_wait_ms)
            return
        outbox = self.broker.outbox
        room = max(0, min(self._room(), sum(each.max_bytes for each in self.partitions)))
        outbox.begin(room)
        try:
            self._answer(views, await self._read(views, room))
        finally:
            # the reply leaves in the loop's next turn
            self.broker.loop.call_soon(outbox.end, room)

    async def _look_for(self, gone: bool = False) -> None:
        """What other brokers made is known, and what they deleted if something is gone; else `_blind` is set."""
        try:
            if gone:
                await self.broker.catalog.fresh()
                return
            await self.broker.catalog.look_for(
                (topic_id if topic_id != ZERO_UUID else name, index)
                for topic_id, name, index in (partition.key for partition in self.partitions)
            )
        except StoreError:
            self._blind = True

    async def _look(self, partition: SessionPartition) -> bool:
        """Have the partition's view in memory, and fresh if it may be stale. False: it is gone."""
        partition_id = self._partition_id(partition)
        if partition_id < 0:
            return True
        view = self.broker.views.get(partition_id)
        try:
            if view is None:
                view = await self.broker.views.load(partition_id)
            elif self._may_be_stale(view, partition):
                view = await self.broker.refresher.refresh(partition_id)
        except StoreError as error:
            log.warning("event=view_not_loaded partition_id=%d error='%s'", partition_id, error)
            return True
        return view is not None

    def _partition_id(self, partition: SessionPartition) -> int:
        """-1: no such topic or partition."""
        topic_id, name, index = partition.key
        catalog = self.broker.catalog
        topic = catalog.by_id.get(topic_id) if topic_id != ZERO_UUID else catalog.by_name.get(name)
        if topic is None or not 0 <= index < len(topic.partition_ids):
            return -1
        return topic.partition_ids[index]

    def _resolve(self, final: bool = False) -> list[PartitionView | int] | None:
        """A view or an error code for each partition; None when a view must be loaded first."""
        views: list[PartitionView | int] = []
        self._near.clear()
        get = self.broker.views.get
        follower = self._is_follower()
        refreshes = self.broker.refresher.shared and not final
        steering = self.broker.steering
        looks = self.broker.catalog.shared and not final
        for partition in self.partitions:
            partition_id = self._partition_id(partition)
            if partition_id < 0:
                if looks:
                    return None
                if self._blind:
                    views.append(error_codes.KAFKA_STORAGE_ERROR)
                    continue
                unknown_id = partition.key[0] != ZERO_UUID and partition.key[0] not in self.broker.catalog.by_id
                views.append(error_codes.UNKNOWN_TOPIC_ID if unknown_id else error_codes.UNKNOWN_TOPIC_OR_PARTITION)
                continue
            elsewhere = steering.reader(partition_id, self.request.message.rack_id) if steering is not None else None
            if elsewhere is not None and elsewhere[0]:
                views.append(elsewhere[0])
                continue
            view = get(partition_id)
            if view is None:
                if not final:
                    return None
                views.append(error_codes.KAFKA_STORAGE_ERROR)
                continue
            if elsewhere is not None:
                self._near[partition.key] = (elsewhere[1], view)
                views.append(error_codes.NONE)
                continue
            if refreshes and self._may_be_stale(view, partition):
                return None
            views.append(error_codes.NOT_LEADER_OR_FOLLOWER if follower else self._check(view, partition) or view)
        return views

    def _is_follower(self) -> bool:
        """Replicas name themselves; nobody is one here (-1 is a consumer, -2 a tool that reads as one)."""
        message: FetchRequest = self.request.message
        state = message.replica_state
        return message.replica_id >= 0 or (state is not None and state.replica_id >= 0)

    def _may_be_stale(self, view: PartitionView, partition: SessionPartition) -> bool:
        """Whether another broker may have written what the view lacks: then it is asked for before anything is refused (rule 1)."""
        return partition.fetch_offset > view.high_watermark or 0 <= partition.leader_epoch != view.leader_epoch

    def _check(self, view: PartitionView, partition: SessionPartition) -> int:
        epoch = partition.leader_epoch
        if epoch >= 0 and epoch != view.leader_epoch:
            if epoch < view.leader_epoch:
                return error_codes.FENCED_LEADER_EPOCH
            return error_codes.UNKNOWN_LEADER_EPOCH
        if not view.log_start_offset <= partition.fetch_offset <= view.high_watermark:
            return error_codes.OFFSET_OUT_OF_RANGE
        return error_codes.NONE

    @property
    def _committed(self) -> bool:
        return bool(self.request.message.isolation_level == 1)

    def _end(self, view: PartitionView) -> int:
        return view.last_stable_offset if self._committed else view.high_watermark

    def _cut(self, view: PartitionView) -> int:
        """Where batches end that may be given; others may come while bytes are waited for."""
        return view.last_stable_offset if self._committed else NO_END

    def _enough(self, views: list[PartitionView | int], min_bytes: int) -> bool:
        """Whether there is something to say now: an error, min_bytes, or no partitions to wait for."""
        if not views or min_bytes <= 0:
            return True
        available = 0
        for partition, view in zip(self.partitions, views, strict=True):
            if isinstance(view, int):
                return True
            if partition.fetch_offset < self._end(view):
                if min_bytes == 1:
                    return True
                available += min(self._available(view, partition.fetch_offset, self._end(view)), partition.max_bytes)
                if available >= min_bytes:
                    return True
        return False

    def _available(self, view: PartitionView, offset: int, end: int) -> int:
        """About how many bytes lie from one offset to another; counted by extents from the end, as far as needed."""
        total = 0
        wanted: int = self.request.message.min_bytes
        for extent in reversed(view.extents):
            if extent.last_offset < offset:
                return total
            if extent.base_offset >= end:
                continue
            if extent.base_offset < offset or extent.last_offset >= end:
                whole = extent.last_offset - extent.base_offset + 1
                part = min(end, extent.last_offset + 1) - max(offset, extent.base_offset)
                total += extent.length * part // whole
            else:
                total += extent.length
            if total >= wanted or extent.base_offset <= offset:
                return total
        return total if view.tail_start <= offset else wanted

    def _wait(self, views: list[PartitionView | int], wait_ms: int) -> None:
        self._waiting = True
        self._views = [view for view in views if not isinstance(view, int)]
        for view in self._views:
            view.waiters.add(self._woken)
        self._bucket = self.broker.purgatory.wait(wait_ms, self._expired)
        self.reply.on_abandon = self._abandoned

    def _stop_waiting(self) -> None:
        self._waiting = False
        for view in self._views:
            view.waiters.discard(self._woken)
        self.reply.on_abandon = None

    def _woken(self, view: PartitionView) -> None:
        """A partition moved (or its view was dropped)."""
        message: FetchRequest = self.request.message
        committed = message.isolation_level == 1  # the end moves with each batch, the last stable offset does not
        if (message.min_bytes > 1 or committed) and not view.dropped:
            views = self._resolve()
            if views is not None and not self._enough(views, message.min_bytes):
                return
        self._stop_waiting()
        self.broker.purgatory.cancel(self._bucket, self._expired)
        # in a turn of its own: the append that woke us first finishes publishing
        self.broker.loop.call_soon(self._again)

    def _again(self) -> None:
        if not self._over:
            self._attempt_late()

    def _expired(self) -> None:
        self._stop_waiting()
        self._attempt_late()

    def _attempt_late(self) -> None:
        """From a callback of the loop: nobody else would answer, whatever goes wrong."""
        self._deadline = True
        try:
            self.attempt()
        except Exception as error:
            self.reply.failed(error)

    def _abandoned(self) -> None:
        self._over = True
        if self._waiting:
            self._stop_waiting()
            self.broker.purgatory.cancel(self._bucket, self._expired)

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        return self.broker.outbox.room(min(self.request.message.max_bytes, self.broker.options.fetch_max_bytes))

    def _read_now(self, views: list[PartitionView | int]) -> dict[Key, list[Buffer]] | None:
        """The bytes of all partitions that have some, or None when some must be waited for, or there are many."""
        reader = self.broker.reader
        until = reader.copied_bytes + STEP_BYTES
        whole = room = self._room()
        data: dict[Key, list[Buffer]] = {}
        first = True
        for partition, view in zip(self.partitions, views, strict=True):
            if isinstance(view, int) or partition.fetch_offset >= self._end(view) or (room <= 0 and not first):
                continue
            if self._committed and partition.fetch_offset < view.producers.transactions.complete_from:
                return None
            if reader.copied_bytes >= until:
                return None
            limit = min(room, partition.max_bytes)
            try:
                found = reader.read_now(view, partition.fetch_offset, limit, first, self._cut(view))
            except DamagedLog:
                return None
            if found is None:
                return None
            if found[1]:
                told = data[partition.key] = self._told(partition, view, found[0])
                self._early[partition.key] = view, told, found[1]
                room -= found[1]
                first = False
        self._taken = whole - room
        return data

    async def _read(self, views: list[PartitionView | int], room: int) -> dict[Key, list[Buffer]]:
        data: dict[Key, list[Buffer]] = {}
        first = True
        reader = self.broker.reader
        until = reader.copied_bytes + STEP_BYTES
        for index, (partition, view) in enumerate(zip(self.partitions, views, strict=True)):
            if isinstance(view, int) or partition.fetch_offset >= self._end(view) or (room <= 0 and not first):
                continue
            early = self._early.pop(partition.key, None)
            if early is not None and early[0] is view:
                data[partition.key] = early[1]
                room -= early[2]
                first = False
                continue
            if reader.copied_bytes >= until:
                await sleep(0)
                until = reader.copied_bytes + STEP_BYTES
            limit, end = min(room, partition.max_bytes), self._cut(view)
            try:
                found = reader.read_now(view, partition.fetch_offset, limit, first, end)
                if found is None:
                    found = await reader.read(view, partition.fetch_offset, limit, first, end)
                older = await older_in(self.broker.log_store, view, found[0]) if self._committed else []
            except (BlobError, StoreUnavailable) as error:
                self.broker.report_unavailable(view, partition.fetch_offset, error)
                views[index] = error_codes.KAFKA_STORAGE_ERROR
                continue
            except (DamagedLog, StoreError) as error:
                self.broker.report_damage(view, partition.fetch_offset, error)
                views[index] = error_codes.KAFKA_STORAGE_ERROR
                continue
            if found[1]:
                data[partition.key] = self._told(partition, view, found[0], older)
                room -= found[1]
                first = False
        return data

    def _told(
        self,
        partition: SessionPartition,
        view: PartitionView,
        buffers: list[Buffer],
        older: Sequence[AbortedRange] = (),
    ) -> list[Buffer]:
        """What is given of these; remembers what of it was aborted."""
        if self._committed:
            buffers, self._aborted[partition.key] = isolation.told(view, buffers, older)
        return buffers

    # -- the answer ---------------------------------------------------------------------------------------------------

    def _answer(self, views: list[PartitionView | int], data: dict[Key, list[Buffer]]) -> None:
        responses: list[FetchableTopicResponse] = []
        by_topic: dict[tuple[bytes, str], FetchableTopicResponse] = {}
        session = self.session
        for partition, view in zip(self.partitions, views, strict=True):
            buffers = data.get(partition.key)
            answer = self._partition(partition, view, buffers)
            if session is not None:
                if not isinstance(view, int):
                    moved = (
                        view.high_watermark != partition.last_high_watermark
                        or view.log_start_offset != partition.last_log_start_offset
                    )
                    partition.last_high_watermark = view.high_watermark
                    partition.last_log_start_offset = view.log_start_offset
                else:
                    moved = True
                    partition.last_high_watermark = -1
                if self.incremental and not moved and buffers is None:
                    continue
                if self.incremental and buffers is not None and partition.key in session.partitions:
                    session.partitions.move_to_end(partition.key)
            topic_id, name, _ = partition.key
            topic = by_topic.get((topic_id, name))
            if topic is None:
                topic = by_topic[topic_id, name] = FetchableTopicResponse(topic=name, topic_id=topic_id)
                responses.append(topic)
            topic.partitions.append(answer)
        response = FetchResponse(session_id=session.session_id if session else NO_SESSION, responses=responses)
        if (
            self.broker.steering is not None
            and self.request.version >= 16
            and not self._is_follower()  # who is told the leader only, as in Kafka
            and error_codes.NOT_LEADER_OR_FOLLOWER in views
        ):
            endpoints = self.broker.told_of(self.request.peer.endpoint)
            response.node_endpoints = [
                NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
                for node_id, host, port, rack in endpoints
            ]
        _send(self.broker, self.request, self.reply, response)

    def _partition(
        self, partition: SessionPartition, view: PartitionView | int, buffers: list[Buffer] | None
    ) -> PartitionData:
        index = partition.key[2]
        if partition.key in self._near:
            near, seen = self._near[partition.key]
            return PartitionData(
                partition_index=index,
                high_watermark=seen.high_watermark,
                last_stable_offset=seen.last_stable_offset,
                log_start_offset=seen.log_start_offset,
                aborted_transactions=[] if self._committed else None,
                preferred_read_replica=near,
                records=_NO_RECORDS,
            )
        if isinstance(view, int):
            self.broker.metrics.errors[api_keys.FETCH, view] += 1
            leader: LeaderIdAndEpoch | None = None
            if view == error_codes.NOT_LEADER_OR_FOLLOWER and self.request.version >= 16:
                partition_id = self._partition_id(partition)
                leader = LeaderIdAndEpoch(
                    leader_id=self.broker.members.partition_leader(partition_id),
                    leader_epoch=self.broker.leader_epoch_of(partition_id),
                )
            return PartitionData(
                partition_index=index,
                error_code=view,
                current_leader=leader,
                high_watermark=-1,
                last_stable_offset=-1,
                log_start_offset=-1,
                aborted_transactions=None,
                records=_NO_RECORDS,
            )
        aborted: list[AbortedTransaction] | None = None
        if self._committed:  # a list in any case, as Kafka gives it
            ranges = self._aborted.get(partition.key, ()) if buffers is not None else ()
            aborted = [AbortedTransaction(producer_id=each[0], first_offset=each[1]) for each in ranges]
        if buffers is not None:
            self.broker.metrics.bytes_out += sum(map(len, buffers))
            self.broker.metrics.records_out += offset_span(buffers[0], buffers[-1])
        return PartitionData(
            partition_index=index,
            high_watermark=view.high_watermark,
            last_stable_offset=view.last_stable_offset,
            log_start_offset=view.log_start_offset,
            aborted_transactions=aborted,
            records=buffers if buffers is not None else _NO_RECORDS,
        )
