"""Share groups as their handlers see them: sessions, the share-partitions whose home is here, and where the others are.

A share-partition's home is the broker that clients are told is the leader of the partition; anybody else answers NOT_LEADER_OR_FOLLOWER
and names it. When the leader changes, the new one claims the row, which fences the old one, and what members had in hand is delivered again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from moldau.coordination.share.homes import Home, ShareHomes
from moldau.coordination.share.partition import Acknowledgement
from moldau.coordination.share.run import RENEW
from moldau.metadata.errors import StoreError
from moldau.metadata.rows_share import ShareKey
from moldau.protocol import error_codes

from .at_once import gather
from .config.duration import parse_duration
from .dead_letters import DeadLetters
from .share_sessions import Place, ShareSession, ShareSessions

if TYPE_CHECKING:
    from moldau.coordination.share.ports import ShareStore
    from moldau.log.view import PartitionView

    from .broker import Broker

log = logging.getLogger(__name__)

LATEST, EARLIEST, BY_DURATION = "latest", "earliest", "by_duration:"


class Shares:
    """See the module's text."""

    def __init__(self, broker: Broker, store: ShareStore, homes: ShareHomes, slots: int) -> None:
        self._broker = broker
        self.store = store
        self.homes = homes
        self.sessions = ShareSessions(slots)
        self.letters = DeadLetters(broker, homes)
        broker.members.on_change(self._members_changed)

    def _members_changed(self) -> None:
        self.homes.drop_if(lambda home: not self.leads(home.partition_id), error_codes.NOT_LEADER_OR_FOLLOWER)

    def leads(self, partition_id: int) -> bool:
        """Whether share-partitions of that partition are at home here."""
        members = self._broker.members
        return members.partition_leader(partition_id) == members.me.node_id

    def locate(self, place: Place) -> int:
        """The partition's id, or an error code below zero: -UNKNOWN_TOPIC_ID, -UNKNOWN_TOPIC_OR_PARTITION, -NOT_LEADER_OR_FOLLOWER."""
        topic_id, index = place
        topic = self._broker.catalog.by_id.get(topic_id)
        if topic is None:
            return -error_codes.UNKNOWN_TOPIC_ID
        if not 0 <= index < len(topic.partition_ids):
            return -error_codes.UNKNOWN_TOPIC_OR_PARTITION
        partition_id = topic.partition_ids[index]
        return partition_id if self.leads(partition_id) else -error_codes.NOT_LEADER_OR_FOLLOWER

    # -- homes --------------------------------------------------------------------------------------------------------

    def home(self, group: str, place: Place) -> Home | None:
        """If it is in memory."""
        return self.homes.get(ShareKey(group, *place))

    async def claim(self, group: str, place: Place, partition_id: int) -> Home | int:
        """Have the share-partition here, or an error code."""
        broker = self._broker

        async def start() -> int:
            if broker.catalog.shared:  # what another broker was told a moment ago about the group counts
                await broker.catalog.fresh()
            view = await broker.refresher.refresh(partition_id)
            return 0 if view is None else await self._start(group, view)

        try:
            epoch = broker.leader_epoch_of(partition_id)
            return await self.homes.claim(ShareKey(group, *place), partition_id, epoch, start)
        except StoreError as error:
            log.warning("event=share_not_claimed group=%s partition_id=%d error='%s'", group, partition_id, error)
            return error_codes.KAFKA_STORAGE_ERROR

    async def _start(self, group: str, view: PartitionView) -> int:
        """Where a group begins that has no state yet: `share.auto.offset.reset`. Raises StoreError."""
        settings = self._broker.configs.of_group(group)
        reset = str(settings["share.auto.offset.reset"])
        if reset == EARLIEST:
            return view.log_start_offset
        committed = settings["share.isolation.level"] == "read_committed"
        end = view.last_stable_offset if committed else view.high_watermark
        if reset == LATEST:
            return end
        since = self._broker.clock() - parse_duration(reset.removeprefix(BY_DURATION))
        found = await self._broker.lookup.by_timestamp(view, since)
        return end if found is None else found[0]

    async def verify(self, group: str, places: Iterable[Place]) -> None:
        """A session begins: what others have taken over meanwhile is claimed anew."""
        if self._broker.catalog.shared:
            try:
                await self.homes.verify([ShareKey(group, *place) for place in places])
            except StoreError as error:
                log.warning("event=shares_not_verified group=%s error='%s'", group, error)

    # -- outcomes -----------------------------------------------------------------------------------------------------

    async def acknowledge(
        self, group: str, member: str, acknowledgements: dict[Place, list[Acknowledgement]], renews: bool
    ) -> dict[Place, int]:
        """An error code for each partition, NONE once it is durable."""
        codes = await gather(
            self._acknowledge(group, member, place, batches, renews) for place, batches in acknowledgements.items()
        )
        return dict(zip(acknowledgements, codes, strict=True))

    async def _acknowledge(
        self, group: str, member: str, place: Place, batches: list[Acknowledgement], renews: bool
    ) -> int:
        if not _is_valid(batches, renews):
            return error_codes.INVALID_REQUEST
        located = self.locate(place)
        if located < 0:
            return -located
        if not batches:
            return error_codes.NONE
        home = self.home(group, place)
        if home is None:  # this broker has handed out nothing
            return error_codes.INVALID_RECORD_STATE
        renewing = any(RENEW in batch.types for batch in batches)
        if renewing and not self._broker.configs.of_group(group)["share.renew.acknowledge.enable"]:
            return error_codes.INVALID_RECORD_STATE
        return await self.homes.acknowledge(home, member, batches)

    async def end_session(self, session: ShareSession) -> None:
        """What the member has in hand goes back; done when that is durable."""
        await gather(self.homes.release(home, session.member) for home in self._homes_of(session))

    def hung_up(self, connection: int) -> None:
        """A connection is gone, and with it the sessions that were opened on it."""
        for session in self.sessions.hung_up(connection):
            self.homes.release_soon(self._homes_of(session), session.member)

    def _homes_of(self, session: ShareSession) -> list[Home]:
        homes = (self.home(session.group, place) for place in session.partitions)
        return [home for home in homes if home is not None]

    # -- administration -----------------------------------------------------------------------------------------------

    async def forget_topics(self, topic_ids: Sequence[bytes]) -> None:
        """Topics were deleted. Raises StoreError."""
        self.homes.drop_if(lambda home: home.key.topic_id in topic_ids, error_codes.UNKNOWN_TOPIC_ID)
        await self.store.forget_topics(topic_ids)

    async def delete_group(self, group: str) -> None:
        """The group was deleted. If its rows cannot be, they go when the group's coordinator next starts."""
        self.forget_group(group)
        try:
            await self.store.forget(group)
        except StoreError as error:
            log.warning("event=share_rows_left group=%s error='%s'", group, error)

    def forget_group(self, group: str) -> None:
        """The group was deleted, or an administrator changed where it is."""
        self.homes.drop_if(lambda home: home.key.group == group, error_codes.FENCED_STATE_EPOCH)

    async def close(self) -> None:
        await self.letters.close()
        await self.homes.close()


def _is_valid(batches: Sequence[Acknowledgement], renews: bool) -> bool:
    """As Kafka checks them: ranges in order without overlaps, types that there are, one or as many as offsets."""
    before = -1
    for first, last, types in batches:
        if first > last or first <= before or not types:
            return False
        if len(types) > 1 and len(types) != last - first + 1:
            return False
        if not all(0 <= kind <= RENEW for kind in types) or (RENEW in types and not renews):
            return False
        before = last
    return True
