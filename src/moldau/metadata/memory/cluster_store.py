"""`ClusterStore` in memory."""

from __future__ import annotations

from ..errors import BrokerFenced
from ..ports import ConfigChange, FeatureChange
from ..rows import Altered, AlteredFeatures, Beat, BrokerRow, ClusterRow
from .state import MemoryState


class MemoryClusterStore:
    """See `moldau.metadata.ports.ClusterStore`."""

    def __init__(self, state: MemoryState, format_version: int) -> None:
        self._state = state
        self._format_version = format_version

    async def load_cluster(self) -> ClusterRow:
        state = self._state
        return ClusterRow(state.cluster_id, self._format_version, dict(state.features), state.created_ms)

    async def alter_features(self, change: FeatureChange) -> AlteredFeatures:
        state = self._state
        state.features = change(dict(state.features), await self.load_brokers())
        state.entity_version = state.raise_version()
        return AlteredFeatures(dict(state.features), state.entity_version)

    async def start_broker(
        self, node_id: int, rack: str | None, listeners: str, release: str, now: int, features: str = ""
    ) -> int:
        state = self._state
        incarnation = state.incarnations[node_id] = state.incarnations.get(node_id, 0) + 1
        row = BrokerRow(node_id, incarnation, listeners, rack, release, False, 0, features)
        state.brokers[node_id] = row, state.clock()
        return incarnation

    async def heartbeat(self, node_id: int, incarnation: int) -> Beat:
        self._state.brokers[node_id] = self._registered(node_id, incarnation), self._state.clock()
        return Beat(await self.load_brokers(), self._state.metadata_version)

    async def set_draining(self, node_id: int, incarnation: int, draining: bool) -> None:
        row = self._registered(node_id, incarnation)._replace(draining=draining)
        self._state.brokers[node_id] = row, self._state.brokers[node_id][1]

    async def forget_broker(self, node_id: int) -> None:
        if self._state.brokers.pop(node_id, None) is not None:
            self._state.incarnations[node_id] += 1

    async def load_brokers(self) -> list[BrokerRow]:
        now = self._state.clock()
        return [row._replace(age_ms=max(0, now - at)) for _, (row, at) in sorted(self._state.brokers.items())]

    def _registered(self, node_id: int, incarnation: int) -> BrokerRow:
        row, _ = self._state.brokers.get(node_id, (None, 0))
        if row is None or incarnation != self._state.incarnations[node_id]:
            raise BrokerFenced(node_id)
        return row

    async def reserve_producer_ids(self, count: int) -> int:
        first = self._state.next_producer_id
        self._state.next_producer_id += count
        return first

    async def reserve_blob_block(self) -> int:
        block = self._state.next_blob_block
        self._state.next_blob_block += 1
        return block

    async def load_entities(self) -> list[tuple[str, str, dict[str, str]]]:
        return [(kind, name, dict(configs)) for (kind, name), configs in self._state.entities.items()]

    async def alter_entity(self, kind: str, name: str, change: ConfigChange) -> Altered:
        state = self._state
        configs = change(dict(state.entities.get((kind, name), {})))
        if configs:
            state.entities[kind, name] = dict(configs)
        else:
            state.entities.pop((kind, name), None)
        state.entity_version = state.raise_version()
        return Altered(configs, state.entity_version)
