"""`ClusterStore` on PostgreSQL: as the portable one, with the heartbeat as one statement."""

from __future__ import annotations

from typing import Any

from ..errors import BrokerFenced
from ..rows import Beat, BrokerRow
from ..sql.cluster_rows import SqlClusterStore
from .engine import PostgresEngine


class PostgresClusterStore(SqlClusterStore):
    """See `moldau.metadata.ports.ClusterStore`."""

    def __init__(self, engine: PostgresEngine, format_version: int) -> None:
        super().__init__(engine, format_version)
        self._postgres = engine

    async def heartbeat(self, node_id: int, incarnation: int) -> Beat:
        """A heartbeat whose answer was lost is sent again: it says the same."""
        rows = await self._postgres.query(
            "broker_beat", node_id=node_id, incarnation=incarnation, manual_now=self._postgres.manual_now
        )
        if not rows or not rows[0][7]:
            raise BrokerFenced(node_id)
        return Beat([_broker(row, node_id) for row in rows], rows[0][8])


def _broker(row: tuple[Any, ...], me: int) -> BrokerRow:
    """The statement sees the rows as they were before it: of its own broker the heartbeat is new."""
    node_id, incarnation, listeners, rack, release, draining, age_ms, _, _ = row
    return BrokerRow(
        node_id, incarnation, listeners, rack, release, bool(draining), 0 if node_id == me else max(0, age_ms)
    )
