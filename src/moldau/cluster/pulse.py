"""The heartbeat of this broker, and what it learns by it: one statement a few times a second.

A broker whose last heartbeat is older than `DEAD_MS` (by the store's clock) is no member any more. A broker that was replaced by a later start
of the same node id, or forgotten, is told so by the store (`BrokerFenced`) and must end: `fenced` is called once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from moldau.metadata.errors import BrokerFenced, StoreError
from moldau.metadata.ports import ClusterStore
from moldau.metadata.rows import BrokerRow

from .member import Member, unpack_endpoints
from .membership import Membership

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
DEAD_MS = 2_500
GONE_MS = 5_000
"""Without a heartbeat for so long its node id may be taken by another, and stores may be moved."""


def member_of(row: BrokerRow) -> Member:
    """A broker whose listeners cannot be read has none: it is a member that clients are not told of."""
    try:
        endpoints = unpack_endpoints(row.listeners)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        log.warning("event=bad_listeners node=%d listeners=%r error='%s'", row.node_id, row.listeners, error)
        endpoints = {}
    return Member(row.node_id, row.incarnation, row.rack, endpoints, row.release, row.draining)


class Pulse:
    """`beat` once, or `run` for good. `beaten` is called after each heartbeat that was answered."""

    def __init__(
        self,
        store: ClusterStore,
        members: Membership,
        now: Callable[[], int],
        beaten: Callable[[], None],
        fenced: Callable[[], None],
    ) -> None:
        self._store = store
        self._members = members
        self._now = now
        self._beaten = beaten
        self._fenced = fenced
        self._wake = asyncio.Event()
        self.beaten_at = 0
        """When the store last answered, by `now`."""
        self.metadata_version = 0
        """What it then said: news for `Catalog.hint`."""

    async def beat(self) -> None:
        """Raises StoreError; BrokerFenced after `fenced` was called."""
        me = self._members.me
        try:
            rows, self.metadata_version = await self._store.heartbeat(me.node_id, me.incarnation)
        except BrokerFenced:
            self._fenced()
            raise
        now = self.beaten_at = self._now()
        self._members.update(((member_of(row), row.age_ms) for row in rows if row.age_ms < DEAD_MS), now)
        self._beaten()

    def soon(self) -> None:
        """Somebody says that members changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled, or this broker is fenced."""
        while True:
            self._wake.clear()
            try:
                await self.beat()
            except BrokerFenced as error:
                log.error("event=fenced node=%d why='%s'", self._members.me.node_id, error)
                return
            except StoreError as error:
                log.warning("event=no_heartbeat error='%s'", error)
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue
