"""ShareFetch 1-2: records for a member of a share group, and what became of those it had (KIP-932; KIP-1206 strict limits and KIP-1222 renewals from 2).

The session says which partitions (epoch 0 opens it, -1 closes it and gives back what the member has). Acknowledgements are taken first
and answered once they are durable; then whole batches are handed out, from the partitions in turn, up to `max_records` (strictly with
`share_acquire_mode` 1) and `max_bytes`. Without any it waits, for appends and for records that others give back, until max_wait_ms. A renewal
fetches nothing. Markers and, for groups that read committed records, aborted ones are never handed out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from moldau.blobs.ports import BlobError
from moldau.broker.at_once import gather
from moldau.broker.dispatch import frame_parts
from moldau.broker.share_sessions import FINAL_EPOCH, INITIAL_EPOCH, Place, ShareSession
from moldau.coordination.share.homes import Home
from moldau.coordination.share.partition import Acknowledgement, Acquired
from moldau.log.batches import Batch, batches_of, cut
from moldau.log.damage import DamagedLog
from moldau.log.isolation import aborted_in
from moldau.log.reader import NO_END
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.share_fetch import (
    AcquiredRecords,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchRequest,
    ShareFetchResponse,
)
from moldau.records.batch import offset_span

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request
    from moldau.log.reader import Buffer
    from moldau.log.view import PartitionView

log = logging.getLogger(__name__)

_NO_RECORDS = b""
_READ_BYTES = 1 << 20
"""Read of one partition at a time: a member takes some hundred records of them."""
_MEMBER_ID_MOST = 36
_STRICT = 1

Given = tuple[list["Buffer"], list[Acquired]]


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    task = broker.loop.create_task(_run(broker, request, reply))
    broker.keep(task)
    reply.cancels(task)


async def _run(broker: Broker, request: Request, reply: Reply) -> None:
    message: ShareFetchRequest = request.message
    try:
        response = await _answer(broker, request)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("event=share_fetch_failed peer=%s group=%s action=close", request.peer, message.group_id)
        reply.hang_up()
        return
    if response.error_code:
        broker.metrics.errors[api_keys.SHARE_FETCH, response.error_code] += 1
    broker.metrics.request(api_keys.SHARE_FETCH, request.started)
    reply.on_abandon = None
    reply.send(frame_parts(request, response.encode_parts(request.version)))


async def _answer(broker: Broker, request: Request) -> ShareFetchResponse:
    message: ShareFetchRequest = request.message
    group, member, epoch = message.group_id or "", message.member_id or "", message.share_session_epoch
    acknowledgements, asked = _split(message)
    if not broker.serves_shares:
        return _refused(error_codes.UNSUPPORTED_VERSION, "share.version is 0")
    if not group:
        return _refused(error_codes.INVALID_REQUEST, "no group id")
    if not 0 < len(member) <= _MEMBER_ID_MOST:
        return _refused(error_codes.INVALID_REQUEST, "the member id has 1 to 36 characters")
    limits_are_zero = not (message.max_wait_ms or message.min_bytes or message.max_bytes or message.max_records)
    if message.is_renew_ack and not limits_are_zero:
        return _refused(error_codes.INVALID_REQUEST, "a renewal fetches nothing: all limits are 0")
    if message.share_acquire_mode not in (0, _STRICT):
        return _refused(
            error_codes.INVALID_REQUEST, f"share acquire mode {message.share_acquire_mode}, known are 0 and 1"
        )
    shares = broker.shares
    sessions = shares.sessions
    forgotten = [(topic.topic_id, index) for topic in message.forgotten_topics_data for index in topic.partitions]
    if epoch == FINAL_EPOCH:
        session = sessions.close(group, member)
        if session is None:
            return _refused(error_codes.SHARE_SESSION_NOT_FOUND)
        codes = await shares.acknowledge(group, member, acknowledgements, message.is_renew_ack)
        await shares.end_session(session)
        return _response(broker, request, group, {}, {}, codes)
    if epoch == INITIAL_EPOCH:
        if acknowledgements:
            return _refused(error_codes.INVALID_REQUEST, "a new session has nothing to acknowledge")
        session, code = sessions.open(group, member, request.peer.number, asked)
        if session is not None:
            await shares.verify(group, session.partitions)
    else:
        session, code = sessions.resume(group, member, epoch)
        if session is not None:
            session.update(asked, forgotten)
    if session is None:
        return _refused(code)
    acknowledging = None
    if acknowledgements:
        acknowledging = asyncio.ensure_future(shares.acknowledge(group, member, acknowledgements, message.is_renew_ack))
        await asyncio.sleep(0)  # taken before records are handed out; durable a little later
    given: dict[Place, Given] = {}
    errors: dict[Place, int] = {}
    if not message.is_renew_ack:
        fetch = _ShareFetch(broker, request, session)
        await fetch.run()
        given, errors = fetch.given, fetch.errors
    outcomes = await acknowledging if acknowledging is not None else {}
    return _response(broker, request, group, given, errors, outcomes)


def _split(message: ShareFetchRequest) -> tuple[dict[Place, list[Acknowledgement]], list[Place]]:
    acknowledgements: dict[Place, list[Acknowledgement]] = {}
    asked: list[Place] = []
    for topic in message.topics:
        for partition in topic.partitions:
            place = (topic.topic_id, partition.partition_index)
            asked.append(place)
            if partition.acknowledgement_batches:
                acknowledgements[place] = [
                    Acknowledgement(batch.first_offset, batch.last_offset, batch.acknowledge_types)
                    for batch in partition.acknowledgement_batches
                ]
    return acknowledgements, asked


def _refused(code: int, why: str | None = None) -> ShareFetchResponse:
    return ShareFetchResponse(error_code=code, error_message=why or error_codes.name(code))


class _ShareFetch:
    """Records for one member. `given` and `errors` are by place."""

    __slots__ = (
        "_bytes",
        "_committed",
        "_records",
        "_seen",
        "_woken",
        "broker",
        "errors",
        "given",
        "group",
        "member",
        "request",
        "session",
    )

    def __init__(self, broker: Broker, request: Request, session: ShareSession) -> None:
        message: ShareFetchRequest = request.message
        self.broker = broker
        self.request = request
        self.session = session
        self.group = session.group
        self.member = session.member
        self.given: dict[Place, Given] = {}
        self.errors: dict[Place, int] = {}
        self._committed = broker.configs.of_group(session.group)["share.isolation.level"] == "read_committed"
        self._records = message.max_records if message.max_bytes > 0 else 0
        self._bytes = 0
        self._seen: list[tuple[int, int]] = []
        self._woken: asyncio.Future[None] | None = None

    async def run(self) -> None:
        broker = self.broker
        message: ShareFetchRequest = self.request.message
        deadline = broker.loop.time() + message.max_wait_ms / 1000
        places = self.session.in_turn()
        while True:
            located = await self._located(places)
            patient = broker.loop.time() < deadline and broker.members.me.draining is False
            if (
                not patient
                or self.errors
                or message.min_bytes <= 1
                or self._waiting_bytes(located) >= message.min_bytes
            ):
                await self._collect(located)
            if self.given or self.errors or not located or not patient:
                return
            await self._wait(located, deadline - broker.loop.time())

    # -- where ----------------------------------------------------------------------------------------------------------

    async def _located(self, places: list[Place]) -> list[tuple[Place, Home, PartitionView]]:
        """Homes and views of the partitions that are served here; of the others, errors."""
        broker, shares = self.broker, self.broker.shares
        found: list[tuple[Place, Home, PartitionView]] = []
        wanted: list[tuple[Place, int, Home | int | None]] = []
        self.errors.clear()
        for place in places:
            partition_id = shares.locate(place)
            if partition_id < 0 and broker.catalog.shared and partition_id != -error_codes.NOT_LEADER_OR_FOLLOWER:
                try:
                    await broker.catalog.look_for([place])
                except StoreError:
                    self.errors[place] = error_codes.KAFKA_STORAGE_ERROR
                    continue
                partition_id = shares.locate(place)
            if partition_id < 0:
                self.errors[place] = -partition_id
                continue
            wanted.append((place, partition_id, shares.home(self.group, place)))
        unclaimed = [(place, partition_id) for place, partition_id, home in wanted if home is None]
        if unclaimed:
            claimed = await gather(shares.claim(self.group, *each) for each in unclaimed)
            by_place = dict(zip((place for place, _ in unclaimed), claimed, strict=True))
            wanted = [(place, each, by_place.get(place, home)) for place, each, home in wanted]
        for place, partition_id, home in wanted:
            if home is None or isinstance(home, int):
                self.errors[place] = home or error_codes.UNKNOWN_SERVER_ERROR
                continue
            view = broker.views.get(partition_id)
            if view is None:
                try:
                    view = await broker.views.load(partition_id)
                except StoreError:
                    view = None
            if view is None:
                self.errors[place] = error_codes.KAFKA_STORAGE_ERROR
                continue
            if view.log_start_offset > home.partition.start:
                shares.homes.raise_log_start(home, view.log_start_offset)
            found.append((place, home, view))
        return found

    def _end(self, view: PartitionView) -> int:
        return view.last_stable_offset if self._committed else view.high_watermark

    def _may_give(self, home: Home, view: PartitionView) -> bool:
        limits = self.broker.shares.homes.limits(self.group)
        return home.partition.next_offset < self._end(view) and home.partition.can_acquire(limits)

    def _waiting_bytes(self, located: list[tuple[Place, Home, PartitionView]]) -> int:
        """About how many bytes could be handed out; all that is asked for where records were given back."""
        total = 0
        wanted: int = self.request.message.min_bytes
        for _, home, view in located:
            if self._may_give(home, view):
                offset = home.partition.next_offset
                if offset < home.partition.end:
                    return wanted
                for extent in reversed(view.extents):
                    if extent.last_offset < offset or total >= wanted:
                        break
                    total += extent.length
        return total

    # -- records --------------------------------------------------------------------------------------------------------

    async def _collect(self, located: list[tuple[Place, Home, PartitionView]]) -> None:
        message: ShareFetchRequest = self.request.message
        room = self.broker.outbox.room(min(message.max_bytes, self.broker.options.fetch_max_bytes))
        for place, home, view in located:
            if self._records <= 0 or (room <= self._bytes and self.given):
                return
            if home.code or home.fetching or not self._may_give(home, view):
                continue
            await self._take(place, home, view, max(min(room - self._bytes, _READ_BYTES), 1))

    async def _take(self, place: Place, home: Home, view: PartitionView, limit: int) -> None:
        """Read from where the share-partition goes on, and hand out what is there."""
        reader, offset = self.broker.reader, home.partition.next_offset
        cut_at = view.last_stable_offset if self._committed else NO_END
        try:
            found = reader.read_now(view, offset, limit, True, cut_at)
        except DamagedLog:
            found = None
        if found is None:
            home.fetching = True
            try:
                found = await reader.read(view, offset, limit, True, cut_at)
            except (BlobError, StoreUnavailable) as error:
                self.broker.report_unavailable(view, offset, error)
                self.errors[place] = error_codes.KAFKA_STORAGE_ERROR
                return
            except (DamagedLog, StoreError) as error:
                self.broker.report_damage(view, offset, error)
                self.errors[place] = error_codes.KAFKA_STORAGE_ERROR
                return
            finally:
                home.fetching = False
                if not home.code:
                    home.wake()
        buffers, size = found
        if size and not home.code:
            self._hand_out(place, home, view, offset, buffers)

    def _hand_out(self, place: Place, home: Home, view: PartitionView, offset: int, buffers: list[Buffer]) -> None:
        message: ShareFetchRequest = self.request.message
        batches = batches_of(buffers, aborted_in(view, buffers) if self._committed else ())
        shown = [(batch.first, batch.last) for batch in batches if not batch.hidden]
        acquired = self.broker.shares.homes.acquire(
            home,
            self.member,
            offset,
            shown,
            self._records,
            message.batch_size or self._records,
            message.share_acquire_mode == _STRICT,
        )
        if len(shown) < len(batches):
            self.broker.shares.homes.pass_over(home, _hidden(batches, offset))
        if not acquired:
            return
        self._records -= sum(last - first + 1 for first, last, _ in acquired)
        parts = cut(buffers, batches, acquired[0].first, acquired[-1].last)
        self._bytes += sum(map(len, parts))
        self.given[place] = parts, acquired

    # -- waiting --------------------------------------------------------------------------------------------------------

    async def _wait(self, located: list[tuple[Place, Home, PartitionView]], seconds: float) -> None:
        """Until something moved, or the time is over."""
        now = [(home.partition.next_offset, home.partition.end) for _, home, _ in located]
        moved, self._seen = now != self._seen, now
        if (
            moved
            and self._records > 0
            and any(not home.fetching and self._may_give(home, view) for _, home, view in located)
            and self._moved(located)
        ):
            return
        loop = self.broker.loop
        self._woken = loop.create_future()
        for _, home, view in located:
            view.waiters.add(self._view_moved)
            home.waiters.add(self._moved_on)
        bucket = self.broker.purgatory.wait(int(seconds * 1000), self._moved_on)
        try:
            await self._woken
        finally:
            self.broker.purgatory.cancel(bucket, self._moved_on)
            for _, home, view in located:
                view.waiters.discard(self._view_moved)
                home.waiters.discard(self._moved_on)

    def _moved(self, located: list[tuple[Place, Home, PartitionView]]) -> bool:
        """Whether a look at it now, instead of a wait, brings anything: not while fewer than min_bytes are there."""
        wanted: int = self.request.message.min_bytes
        return wanted <= 1 or self._waiting_bytes(located) >= wanted

    def _view_moved(self, view: PartitionView) -> None:
        self._moved_on()

    def _moved_on(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


def _hidden(batches: list[Batch], offset: int) -> list[tuple[int, int]]:
    """Ranges of hidden batches, each with the hole of a compacted log that is before it; the first may reach down to `offset`."""
    ranges = []
    for batch in batches:
        if batch.hidden:
            ranges.append((min(batch.first, offset), batch.last))
        offset = batch.last + 1
    return ranges


# -- the answer -------------------------------------------------------------------------------------------------------


def _response(
    broker: Broker,
    request: Request,
    group: str,
    given: dict[Place, Given],
    errors: dict[Place, int],
    codes: dict[Place, int],
) -> ShareFetchResponse:
    topics: dict[bytes, ShareFetchableTopicResponse] = {}
    elsewhere = False
    for place in [*given, *errors, *(place for place in codes if place not in given and place not in errors)]:
        topic_id, index = place
        topic = topics.get(topic_id)
        if topic is None:
            topic = topics[topic_id] = ShareFetchableTopicResponse(topic_id=topic_id)
        records, acquired = given.get(place, (_NO_RECORDS, []))
        error, refused = errors.get(place, 0), codes.get(place, 0)
        leader: LeaderIdAndEpoch | None = None
        if error_codes.NOT_LEADER_OR_FOLLOWER in (error, refused):
            told = leader_of(broker, place)
            if told is not None:
                leader = LeaderIdAndEpoch(leader_id=told[0], leader_epoch=told[1])
                elsewhere = True
        for code in (error, refused):
            if code:
                broker.metrics.errors[api_keys.SHARE_FETCH, code] += 1
        if isinstance(records, list):
            broker.metrics.bytes_out += sum(map(len, records))
            broker.metrics.records_out += offset_span(records[0], records[-1])
        topic.partitions.append(
            PartitionData(
                partition_index=index,
                error_code=error,
                acknowledge_error_code=refused,
                current_leader=leader or LeaderIdAndEpoch(),
                records=records,
                acquired_records=[
                    AcquiredRecords(first_offset=first, last_offset=last, delivery_count=count)
                    for first, last, count in acquired
                ],
            )
        )
    return ShareFetchResponse(
        acquisition_lock_timeout_ms=broker.shares.homes.limits(group).lock_ms,
        responses=list(topics.values()),
        node_endpoints=[
            NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in (broker.told_of(request.peer.endpoint) if elsewhere else ())
        ],
    )


def leader_of(broker: Broker, place: Place) -> tuple[int, int] | None:
    """(node id, leader epoch) of the partition's leader; None when it is not known here."""
    topic = broker.catalog.by_id.get(place[0])
    if topic is None or not 0 <= place[1] < len(topic.partition_ids):
        return None
    partition_id = topic.partition_ids[place[1]]
    return broker.members.leader_of(partition_id), broker.leader_epoch_of(partition_id)
