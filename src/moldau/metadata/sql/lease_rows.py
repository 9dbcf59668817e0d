"""`LeaseStore` on any SQL engine."""

from __future__ import annotations

from ..rows import Lease
from .tx import Engine, Tx

BEYOND = "\U0010ffff"
"""Sorts behind whatever follows a prefix."""


class SqlLeaseStore:
    """See `moldau.metadata.ports.LeaseStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def acquire(self, name: str, owner: str, ttl_ms: int, dead: str = "") -> Lease:
        async def body(tx: Tx) -> Lease:
            while True:
                rows = await tx.run("lease_lock", name=name)
                now = await tx.now()  # after the wait for the row
                if rows:
                    break
                if await tx.run("lease_insert", name=name, owner=owner, expires=now + ttl_ms):
                    return Lease(name, 1, owner, ttl_ms)
            holder, epoch, expires = rows[0]
            if holder not in (owner, "", dead) and expires > now:
                return Lease(name, epoch, holder, expires - now)
            epoch += holder != owner
            await tx.run("lease_set", name=name, owner=owner, epoch=epoch, expires=now + ttl_ms)
            return Lease(name, epoch, owner, ttl_ms)

        return await self._engine.write(body)

    async def renew(self, owner: str, names: list[str], ttl_ms: int) -> set[str]:
        async def body(tx: Tx) -> set[str]:
            expires = await tx.now() + ttl_ms
            held: set[str] = set()
            for name in sorted(set(names)):
                held |= {row[0] for row in await tx.run("lease_renew", name=name, owner=owner, expires=expires)}
            return held

        return await self._engine.write(body)

    async def release(self, owner: str, names: list[str]) -> None:
        async def body(tx: Tx) -> None:
            await tx.run_many("lease_release", [{"name": name, "owner": owner} for name in sorted(set(names))])

        await self._engine.write(body)

    async def holders(self, prefix: str) -> list[Lease]:
        async def body(tx: Tx) -> list[Lease]:
            now = await tx.now()
            rows = await tx.run("leases", first=prefix, beyond=prefix + BEYOND, now=now)
            return [Lease(name, epoch, owner, expires - now) for name, epoch, owner, expires in rows]

        return await self._engine.read(body)
