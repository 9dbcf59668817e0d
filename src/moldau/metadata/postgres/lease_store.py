"""`LeaseStore` on PostgreSQL: as the portable one, with many renewals in one statement."""

from __future__ import annotations

from ..sql.lease_rows import SqlLeaseStore
from ..sql.tx import Tx


class PostgresLeaseStore(SqlLeaseStore):
    """See `moldau.metadata.ports.LeaseStore`."""

    async def renew(self, owner: str, names: list[str], ttl_ms: int) -> set[str]:
        async def body(tx: Tx) -> set[str]:
            expires = await tx.now() + ttl_ms
            return {row[0] for row in await tx.run("leases_renew", owner=owner, names=names, expires=expires)}

        return await self._engine.write(body)
