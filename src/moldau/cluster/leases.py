"""The leases of this broker: what it should hold, what it holds, and what follows (invariant 6).

The store's clock decides when a lease is over. This broker stops acting on one earlier: counted by its own monotonic clock from before
the last renewal was sent (rule 5). A lease that should be another's is given back after `lose` has finished its work; one that should be
ours is asked for until it is free.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from moldau.metadata.errors import StoreError
from moldau.metadata.ports import LeaseStore

log = logging.getLogger(__name__)

TTL_MS = 5_000
_RENEW_EVERY_MS = 1_000


Gained = Callable[[str, int], Awaitable[None]]
Lost = Callable[[str], Awaitable[None]]


class Leases:
    """`wanted` says which leases this broker should hold now; `now` is a clock that never goes back, in ms."""

    def __init__(
        self,
        store: LeaseStore,
        owner: str,
        now: Callable[[], int],
        wanted: Callable[[], Iterable[str]],
        gained: Gained,
        lost: Lost,
        dead: Callable[[str], bool] = lambda owner: False,
    ) -> None:
        """`dead` says whether an owner is known to be gone: its leases are taken at once."""
        self._store = store
        self._owner = owner
        self._now = now
        self._wanted = wanted
        self._gained = gained
        self._lost = lost
        self._dead = dead
        self._held: dict[str, int] = {}  # name -> until when we may act
        self._renewed_at = 0

    @property
    def held(self) -> list[str]:
        """What this broker may act on now."""
        now = self._now()
        return [name for name, until in self._held.items() if now < until]

    async def step(self) -> None:
        """Renew, give back, ask for. Called a few times a second, and when members change. What fails is tried again by the next step."""
        try:
            await self._renew()
            wanted = set(self._wanted())
            await self._give_back([name for name in self._held if name not in wanted])
            await self._take(sorted(name for name in wanted if name not in self._held))
        except StoreError as error:
            log.warning("event=leases_in_doubt error='%s'", error)
            await self._expire()

    async def _renew(self) -> None:
        sent = self._now()
        if not self._held or sent - self._renewed_at < _RENEW_EVERY_MS:
            return
        kept = await self._store.renew(self._owner, list(self._held), TTL_MS)
        self._renewed_at = sent
        for name in list(self._held):
            if name not in self._held:
                continue  # forgotten while another one was lost
            if name in kept:
                self._held[name] = sent + TTL_MS
            else:
                log.warning("event=lease_lost name=%s", name)
                self._held.pop(name, None)
                await self._lost(name)

    async def _expire(self) -> None:
        """The store does not answer: what may be another's by now is not ours."""
        now = self._now()
        for name in [name for name, until in self._held.items() if now >= until]:
            self._held.pop(name, None)
            await self._lost(name)

    async def _give_back(self, names: list[str]) -> None:
        if not names:
            return
        for name in names:
            await self._lost(name)
            self._held.pop(name, None)
        await self._store.release(self._owner, names)

    async def _take(self, names: list[str]) -> None:
        for name in names:
            sent = self._now()
            lease = await self._store.acquire(name, self._owner, TTL_MS)
            if lease.owner != self._owner and self._dead(lease.owner):
                sent = self._now()
                lease = await self._store.acquire(name, self._owner, TTL_MS, lease.owner)
            if lease.owner == self._owner:
                self._held[name] = sent + TTL_MS
                try:
                    await self._gained(name, lease.epoch)
                except StoreError:
                    self._held.pop(name, None)
                    raise

    def forget(self, name: str) -> None:
        """The store said that it is another's. It may come while `step` waits for something."""
        self._held.pop(name, None)

    async def close(self) -> None:
        """Give all back."""
        try:
            await self._give_back(list(self._held))
        except StoreError as error:
            log.warning("event=leases_not_given_back error='%s'", error)
