"""The mark on a cluster's metadata store that was migrated back to a data directory: brokers refuse it, so that nobody writes to both by accident.

An entity of a kind that no client can name: `("store", "migrated")` with where the cluster went, and when. The last step but one of `moldau migrate --to DIR`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreMigrated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moldau.metadata.ports import ClusterStore

_MARK = ("store", "migrated")
UNMARK = "DELETE FROM entity WHERE kind = 'store' AND name = 'migrated'"
"""What whoever wants to serve it all the same tells the database."""


async def mark(cluster: ClusterStore, to: str, at: str) -> None:
    """Durably. Raises StoreError."""
    await cluster.alter_entity(*_MARK, lambda _: {"to": to, "at": at})


async def unmark(cluster: ClusterStore) -> None:
    """Raises StoreError."""
    await cluster.alter_entity(*_MARK, lambda _: {})


async def moved(cluster: ClusterStore) -> Mapping[str, str] | None:
    """The mark, if there is one. Raises StoreError."""
    return next((configs for kind, name, configs in await cluster.load_entities() if (kind, name) == _MARK), None)


async def refuse_moved(cluster: ClusterStore, where: str) -> None:
    """Raises StoreMigrated, StoreError."""
    note = await moved(cluster)
    if note is not None:
        raise StoreMigrated(
            f"{where} was migrated to {note.get('to')} at {note.get('at')}: a broker that serves that directory goes on from here. To serve it as it was"
            f" then, without what was written there since, tell the database: {UNMARK}. Nothing was changed."
        )
