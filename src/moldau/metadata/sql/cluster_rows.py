"""`ClusterStore` on any SQL engine."""

from __future__ import annotations

import json
from typing import Any

from moldau.protocol import uuid

from ..errors import BrokerFenced, StoreCorrupt
from ..ports import ConfigChange, FeatureChange
from ..rows import Altered, AlteredFeatures, Beat, BrokerRow, ClusterRow
from .topic_rows import raise_version
from .tx import Engine, Tx


class SqlClusterStore:
    """See `moldau.metadata.ports.ClusterStore`."""

    def __init__(self, engine: Engine, format_version: int) -> None:
        self._engine = engine
        self._format_version = format_version

    async def create_cluster(self, now: int, features: dict[str, int] | None = None) -> None:
        """Write the one row unless it is there; `features` are the levels of a new cluster."""

        async def body(tx: Tx) -> None:
            cluster_id = uuid.to_text(uuid.random())
            await tx.run("cluster_insert", cluster_id=cluster_id, features=json.dumps(features or {}), now=now)

        await self._engine.write(body)

    async def load_cluster(self) -> ClusterRow:
        async def body(tx: Tx) -> ClusterRow:
            cluster_id, features, created_ms = await _cluster_row(tx)
            return ClusterRow(cluster_id, self._format_version, json.loads(features), created_ms)

        return await self._engine.read(body)

    async def alter_features(self, change: FeatureChange) -> AlteredFeatures:
        async def body(tx: Tx) -> AlteredFeatures:
            version = await raise_version(tx)
            levels = json.loads(_one(await tx.run("features_lock"))[0])
            levels = change(levels, await _brokers(tx, await tx.now()))
            await tx.run("cluster_set_features", features=json.dumps(levels))
            await tx.run("entity_version_set", version=version)
            return AlteredFeatures(levels, version)

        return await self._engine.write(body)

    async def start_broker(
        self, node_id: int, rack: str | None, listeners: str, release: str, now: int, features: str = ""
    ) -> int:
        async def body(tx: Tx) -> int:
            await tx.run("features_lock")  # who changes levels sees this broker, or this broker sees the new levels
            rows = await tx.run(
                "broker_start",
                node_id=node_id,
                rack=rack,
                listeners=listeners,
                release=release,
                features=features,
                now=now,
                store_now=await tx.now(),
            )
            return int(rows[0][0])

        return await self._engine.write(body)

    async def heartbeat(self, node_id: int, incarnation: int) -> Beat:
        async def body(tx: Tx) -> Beat:
            now = await tx.now()
            _registered(
                await tx.run("broker_heartbeat", node_id=node_id, incarnation=incarnation, store_now=now), node_id
            )
            return Beat(await _brokers(tx, now), int((await tx.run("metadata_version"))[0][0]))

        return await self._engine.write(body)

    async def set_draining(self, node_id: int, incarnation: int, draining: bool) -> None:
        async def body(tx: Tx) -> None:
            _registered(
                await tx.run("broker_drain", node_id=node_id, incarnation=incarnation, draining=int(draining)), node_id
            )

        await self._engine.write(body)

    async def forget_broker(self, node_id: int) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("broker_forget", node_id=node_id)

        await self._engine.write(body)

    async def load_brokers(self) -> list[BrokerRow]:
        async def body(tx: Tx) -> list[BrokerRow]:
            return await _brokers(tx, await tx.now())

        return await self._engine.read(body)

    async def reserve_producer_ids(self, count: int) -> int:
        async def body(tx: Tx) -> int:
            return int((await tx.run("producer_ids_reserve", count=count))[0][0]) - count

        return await self._engine.write(body)

    async def reserve_blob_block(self) -> int:
        async def body(tx: Tx) -> int:
            return int((await tx.run("blob_block_reserve"))[0][0]) - 1

        return await self._engine.write(body)

    async def load_entities(self) -> list[tuple[str, str, dict[str, str]]]:
        return await self._engine.read(load_entities)

    async def alter_entity(self, kind: str, name: str, change: ConfigChange) -> Altered:
        async def body(tx: Tx) -> Altered:
            version = await raise_version(tx)
            rows = await tx.run("entity_get", kind=kind, name=name)
            configs = change(json.loads(rows[0][0]) if rows else {})
            if configs:
                await tx.run("entity_set", kind=kind, name=name, configs=json.dumps(configs))
            else:
                await tx.run("entity_delete", kind=kind, name=name)
            await tx.run("entity_version_set", version=version)
            return Altered(configs, version)

        return await self._engine.write(body)


async def load_entities(tx: Tx) -> list[tuple[str, str, dict[str, str]]]:
    """(kind, name, configs) of all."""
    return [(kind, name, json.loads(configs)) for kind, name, configs in await tx.run("entities")]


async def _brokers(tx: Tx, now: int) -> list[BrokerRow]:
    return [
        BrokerRow(node_id, incarnation, listeners, rack, release, bool(draining), max(0, now - at), features)
        for node_id, incarnation, listeners, rack, release, draining, at, features in await tx.run("brokers")
    ]


def _registered(rows: list[tuple[Any, ...]], node_id: int) -> None:
    if not rows:
        raise BrokerFenced(node_id)


async def _cluster_row(tx: Tx) -> tuple[Any, ...]:
    return _one(await tx.run("cluster_get"))


def _one(rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    if not rows:
        raise StoreCorrupt("the row that names the cluster is not there")
    return rows[0]
