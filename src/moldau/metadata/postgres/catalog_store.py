"""`CatalogStore` on PostgreSQL: as the portable one, with the version in one round trip."""

from __future__ import annotations

from ..sql.catalog_rows import SqlCatalogStore
from .engine import PostgresEngine


class PostgresCatalogStore(SqlCatalogStore):
    """See `moldau.metadata.ports.CatalogStore`."""

    def __init__(self, engine: PostgresEngine) -> None:
        super().__init__(engine)
        self._postgres = engine

    async def version(self) -> int:
        return int((await self._postgres.query("metadata_version"))[0][0])
