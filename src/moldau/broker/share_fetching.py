"""The records of one ShareFetch: which partitions are at home here, what is handed out of each, and the wait when there is nothing.

Bytes that are in memory are handed out without waiting, so nobody comes between a read and what it decides. Where bytes must be waited for, others
leave that share-partition alone meanwhile (`Home.fetching`), and what was read is held against the state as it is then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from moldau.blobs.ports import BlobError
from moldau.coordination.share.homes import Home
from moldau.coordination.share.partition import Acquired
from moldau.log.aborted_rows import older_in
from moldau.log.batches import Batch, batches_of, cut
from moldau.log.damage import DamagedLog
from moldau.log.isolation import told
from moldau.log.reader import NO_END
from moldau.log.transactions import AbortedRange
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.protocol import error_codes

from .at_once import gather
from .share_sessions import Place, ShareSession

if TYPE_CHECKING:
    from moldau.log.reader import Buffer
    from moldau.log.view import PartitionView
    from moldau.protocol.messages.share_fetch import ShareFetchRequest

    from .broker import Broker
    from .dispatch import Request

STRICT = 1
"""The share acquire mode that cuts batches (KIP-1206)."""
_READ_BYTES = 1 << 20
"""Read of one partition at a time: a member takes some hundred records of them."""

Given = tuple[list["Buffer"], list[Acquired]]


class ShareFetching:
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
        self._committed = False
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
            # only now: a claim has asked for the group's newest settings
            self._committed = broker.configs.of_group(self.group)["share.isolation.level"] == "read_committed"
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
        older: list[AbortedRange] = []
        if found is None or (self._committed and offset < view.producers.transactions.complete_from):
            home.fetching = True
            try:
                if found is None:
                    found = await reader.read(view, offset, limit, True, cut_at)
                if self._committed:
                    older = await older_in(self.broker.log_store, view, found[0])
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
            self._hand_out(place, home, view, offset, buffers, older)

    def _hand_out(
        self,
        place: Place,
        home: Home,
        view: PartitionView,
        offset: int,
        buffers: list[Buffer],
        older: list[AbortedRange],
    ) -> None:
        """`older`: what was aborted and the view does not know."""
        message: ShareFetchRequest = self.request.message
        aborted: list[AbortedRange] = []
        if self._committed:
            buffers, aborted = told(view, buffers, older)
        batches = batches_of(buffers, aborted)
        shown = [(batch.first, batch.last) for batch in batches if not batch.hidden]
        acquired = self.broker.shares.homes.acquire(
            home,
            self.member,
            offset,
            shown,
            self._records,
            message.batch_size or self._records,
            message.share_acquire_mode == STRICT,
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
