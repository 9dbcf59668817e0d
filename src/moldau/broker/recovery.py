"""What a start on a data directory does before anybody is served: what the last run left is put right. One process does it, alone with the files."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from moldau.log.replay import Replay

from . import features
from .assembly import FORMAT_VERSION

if TYPE_CHECKING:
    from moldau.blobs.local import LocalBlobs
    from moldau.clock import Clock
    from moldau.metadata.ports import ClusterStore, LeaseStore
    from moldau.metadata.sqlite.engine import SqliteEngine

log = logging.getLogger(__name__)

_GUESSED = ("store", "base-offsets")
"""The entity that says that workers have written here: base offsets in their blobs may be guesses (`moldau.log.uploads`)."""


async def may_be_guessed(cluster: ClusterStore) -> bool:
    """Whether what stands in blobs as base offset need not be the one that the row says. Raises StoreError."""
    return any((kind, name) == _GUESSED for kind, name, _ in await cluster.load_entities())


async def recover(
    engine: SqliteEngine, blobs: LocalBlobs, clock: Clock, *, power_kept: bool, unclean: bool, alone: int | None
) -> None:
    """Name a new cluster, replay the journal, seal what was left open, forget brokers that are gone.

    `power_kept`: the machine has been running since the files were last open; `unclean`: workers wrote them, and did not end in order. `alone` is
    the node id of a broker that will be the only one, None where workers follow. Raises StoreError, BlobError.
    """
    from moldau.metadata.sql.cluster_rows import SqlClusterStore
    from moldau.metadata.sql.lease_rows import SqlLeaseStore
    from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
    from moldau.metadata.sql.recovery_rows import SqlRecoveryStore
    from moldau.metadata.sqlite.journal_store import SqliteJournalStore

    cluster = SqlClusterStore(engine, FORMAT_VERSION)
    await cluster.create_cluster(clock(), features.at_first())
    await _take_features(cluster)
    maintenance = SqlMaintenanceStore(engine)
    replayed = await Replay(SqliteJournalStore(engine), maintenance, blobs, power_kept=power_kept).run()
    if not power_kept and (replayed.blobs or unclean):
        # what acks=1 answered may be gone, and clients that saw it are to find that out (KIP-320)
        await SqlRecoveryStore(engine).raise_leader_epochs(1)
    await _forget_others(cluster, SqlLeaseStore(engine), alone)
    if alone is None and not await may_be_guessed(cluster):
        await cluster.alter_entity(*_GUESSED, lambda _: {"guessed": "by workers"})


async def _take_features(cluster: ClusterStore) -> None:
    """Nobody else serves the directory, so features that are newer than it need not wait to be raised."""
    first = features.at_first()
    if not first.keys() <= (await cluster.load_cluster()).features.keys():
        await cluster.alter_features(lambda stored, _: {**first, **stored})


async def _forget_others(cluster: ClusterStore, leases: LeaseStore, alone: int | None) -> None:
    """Workers that were killed are still registered, and have leases: nobody need wait until those run out."""
    gone = [row.node_id for row in await cluster.load_brokers() if row.node_id != alone]
    for node_id in gone:
        await cluster.forget_broker(node_id)
    if not gone:
        return
    held: dict[str, list[str]] = defaultdict(list)
    for lease in await leases.holders(""):
        held[lease.owner].append(lease.name)
    for owner, names in held.items():
        await leases.release(owner, names)
    log.info("event=brokers_forgotten nodes=%s", ",".join(map(str, gone)))
