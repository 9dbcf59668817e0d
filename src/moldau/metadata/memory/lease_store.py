"""`LeaseStore` in memory."""

from __future__ import annotations

from ..rows import Guard, Lease
from .state import MemoryState


class MemoryLeaseStore:
    """See `moldau.metadata.ports.LeaseStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def acquire(self, name: str, owner: str, ttl_ms: int, dead: str = "") -> Lease:
        now = self._state.clock()
        holder, epoch, expires = self._state.leases.get(name, ("", 0, 0))
        if holder not in (owner, "", dead) and expires > now:
            return Lease(name, epoch, holder, expires - now)
        epoch += holder != owner
        self._state.leases[name] = owner, epoch, now + ttl_ms
        return Lease(name, epoch, owner, ttl_ms)

    async def renew(self, owner: str, names: list[str], ttl_ms: int) -> set[str]:
        held = self._held(owner, names)
        for name in held:
            self._state.leases[name] = owner, self._state.leases[name][1], self._state.clock() + ttl_ms
        return held

    async def release(self, owner: str, names: list[str]) -> None:
        for name in self._held(owner, names):
            self._state.leases[name] = "", self._state.leases[name][1], 0

    async def holders(self, prefix: str) -> list[Lease]:
        now = self._state.clock()
        return [
            Lease(name, epoch, owner, expires - now)
            for name, (owner, epoch, expires) in sorted(self._state.leases.items())
            if name.startswith(prefix) and owner and expires > now
        ]

    def _held(self, owner: str, names: list[str]) -> set[str]:
        return {name for name in names if self._state.leases.get(name, ("", 0, 0))[0] == owner}


def holds(state: MemoryState, guard: Guard) -> bool:
    """Whether the lease is still of that epoch."""
    owner, epoch, _ = state.leases.get(guard.name, ("", 0, 0))
    return owner != "" and epoch == guard.epoch
