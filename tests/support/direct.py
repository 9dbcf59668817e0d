"""Brokers that share PostgreSQL and a folder, as users run them: nothing between them and their stores, every setting at its default."""

from __future__ import annotations

from .cluster import BROKER_FAULTS, Cluster, _sets
from .node import Node
from .ports import free_port


class Direct(Cluster):
    """Broker N is in the rack `rack-N`. Nothing but brokers and PostgreSQL can be broken."""

    def __init__(self, brokers: int = 3, postgres: int = 16, **settings: str) -> None:
        super().__init__(brokers, "file", postgres)
        self.settings = settings
        self.can = BROKER_FAULTS | {"pg-restart", "pg-crash"}

    def _node(self, node_id: int) -> Node:
        port = free_port()
        sets = {
            "node.id": str(node_id),
            "broker.rack": f"rack-{node_id}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "moldau.http.listener": "",
            **self.settings,
        }
        stores = ["--metadata", self.postgres.url(self._database), "--blobs", self._url]
        return Node(node_id, port, [*stores, *_sets(sets)], self.folder / f"broker-{node_id}.log")

    def remove(self, node_id: int) -> None:
        """Stop it; it will not be healed."""
        self.stop(node_id)
        del self.nodes[node_id]
