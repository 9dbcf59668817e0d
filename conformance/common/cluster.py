"""Brokers that share stores, as what a suite talks to: PostgreSQL from the wheel in the environment of the checkout, and a folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from conformance.common.brokers import CHECKOUT, Broker, BrokerError, Moldau, free_ports


class Shared(Moldau):
    """One of them."""

    def __init__(self, node_id: int, metadata: str, blobs: Path, settings: Mapping[str, str], folder: Path) -> None:
        super().__init__({**settings, "node.id": str(node_id)}, port=free_ports(1)[0], folder=folder, keep=True)
        self._stores = ["--metadata", metadata, "--blobs", f"file://{blobs}"]

    def stores(self) -> list[str]:
        return self._stores


class Cluster(Broker):
    """`bootstrap` is the address of all; they have the node ids 1, 2, ... The log is that of the first that ended, else of the first."""

    name = "moldau-cluster"

    def __init__(
        self, brokers: int, settings: Mapping[str, str] | None = None, *, folder: Path | None = None, keep: bool = False
    ) -> None:
        super().__init__(settings, folder=folder, keep=keep)
        self._count = brokers
        self.nodes: list[Shared] = []

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def log(self) -> Path:
        ended = [node for node in self.nodes if not node.alive()]
        return (ended or self.nodes)[0].log

    def start(self, timeout: float = 60.0) -> Self:
        self._postgres = _postgres()
        self._postgres.start()
        blobs = self.folder / "data"
        blobs.mkdir(parents=True, exist_ok=True)
        for node_id in range(1, self._count + 1):
            folder = self.folder / f"broker-{node_id}"
            node = Shared(node_id, self._postgres.url(), blobs, self.settings, folder)
            self.nodes.append(node)
            node.start(timeout)
        self.port, self.pid = self.nodes[0].port, self.nodes[0].pid
        self.start_seconds = sum(node.start_seconds for node in self.nodes)
        return self

    def alive(self) -> bool:
        return all(node.alive() for node in self.nodes)

    def stop(self, grace: float = 20.0) -> None:
        for node in self.nodes:
            node.stop(grace)
        if hasattr(self, "_postgres"):
            self._postgres.remove()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def _postgres():  # type: ignore[no-untyped-def]
    """A server of the tests' own kind; the suites may run on a Python that has not got the wheel."""
    sys.path += [str(path) for path in CHECKOUT.glob(".venv/lib/python3*/site-packages")]
    from tests.support.postgres import Postgres

    try:
        return Postgres(max_connections="100")
    except RuntimeError as error:
        raise BrokerError(str(error)) from error
