"""Fetch 4-18: records from the log; sessions (KIP-227), long polls, isolation, topic ids from 13 (KIP-516).

A fetch is answered at once when min_bytes are there, or an error, or nothing to wait for; else it waits on its partitions until enough
arrived or max_wait_ms passed. Hot path: no task unless views or bytes must be waited for, or many bytes are to be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.dispatch import frame_parts
from moldau.broker.fetch_answer import NO_RECORDS, answer
from moldau.broker.fetch_places import FetchPlaces
from moldau.broker.fetch_reading import FetchReading
from moldau.broker.fetch_sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchSession,
    Key,
    SessionPartition,
)
from moldau.broker.outbox import NARROW_BYTES
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.fetch import FetchableTopicResponse, FetchRequest, FetchResponse, PartitionData

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request
    from moldau.broker.fetch_places import Views
    from moldau.log.view import PartitionView


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
                PartitionData(partition_index=each.partition, error_code=code, high_watermark=-1, records=NO_RECORDS)
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
        "_bucket",
        "_deadline",
        "_over",
        "_waited_on",
        "_waiting",
        "broker",
        "incremental",
        "places",
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
        self.incremental = incremental
        self.places = FetchPlaces(broker, request.message, partitions)
        self._waited_on: list[PartitionView] = []
        self._waiting = False
        self._over = False
        self._bucket = 0
        self._deadline = False

    # -- answer or wait -----------------------------------------------------------------------------------------------

    def attempt(self) -> None:
        """Answer now if it can be, wait if it must be, go on in a task if bytes are to be fetched first, or are many."""
        views = self.places.resolve()
        if views is None:
            self._in_task(FetchReading(self.places))
            return
        message = self.places.message
        if not self._deadline and message.max_wait_ms > 0 and not self.places.enough(views):
            self._wait(views, message.max_wait_ms)
            return
        reading = FetchReading(self.places)
        if not reading.read_now(views):
            self._in_task(reading)
            return
        if reading.taken_bytes > NARROW_BYTES:
            # until the reply leaves, in the loop's next turn, and its connection counts what does not
            outbox = self.broker.outbox
            outbox.begin(reading.taken_bytes)
            self.broker.loop.call_soon(outbox.end, reading.taken_bytes)
        self._answer(views, reading)

    def _in_task(self, reading: FetchReading) -> None:
        task = self.broker.loop.create_task(self._attempt_slowly(reading))
        self.broker.keep(task)
        self.reply.cancels(task)

    async def _attempt_slowly(self, reading: FetchReading) -> None:
        places = self.places
        await places.look()
        views = places.resolve(final=True)
        assert views is not None
        if not self._deadline and places.message.max_wait_ms > 0 and not places.enough(views):
            self.reply.on_abandon = None
            self._wait(views, places.message.max_wait_ms)
            return
        outbox = self.broker.outbox
        room = max(0, min(reading.room(), sum(each.max_bytes for each in places.partitions)))
        outbox.begin(room)
        try:
            await reading.read(views, room)
            self._answer(views, reading)
        finally:
            # the reply leaves in the loop's next turn
            self.broker.loop.call_soon(outbox.end, room)

    def _answer(self, views: Views, reading: FetchReading) -> None:
        response = answer(self.request, self.session, self.incremental, self.places, views, reading)
        _send(self.broker, self.request, self.reply, response)

    def _wait(self, views: Views, wait_ms: int) -> None:
        self._waiting = True
        self._waited_on = [view for view in views if not isinstance(view, int)]
        for view in self._waited_on:
            view.waiters.add(self._woken)
        self._bucket = self.broker.purgatory.wait(wait_ms, self._expired)
        self.reply.on_abandon = self._abandoned

    def _stop_waiting(self) -> None:
        self._waiting = False
        for view in self._waited_on:
            view.waiters.discard(self._woken)
        self.reply.on_abandon = None

    def _woken(self, view: PartitionView) -> None:
        """A partition moved (or its view was dropped)."""
        places = self.places
        # the end moves with each batch, the last stable offset does not
        if (places.message.min_bytes > 1 or places.committed) and not view.dropped:
            views = places.resolve()
            if views is not None and not places.enough(views):
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
