"""Where a broker is at home: a data directory, a temporary one, or stores that it shares with others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from moldau.broker.assembly import Node
from moldau.broker.broker import Endpoint
from moldau.broker.embedded import EmbeddedNode
from moldau.broker.options import EMBEDDED, Options

from . import at_rest, ephemeral
from .data_dir import DataDir, refuse_migrated

log = logging.getLogger(__name__)


class Home:
    """`open`, `start`, then `stop`; `abort` instead when something after `open` failed. `node` is there once it is open."""

    node: Node
    joins = False
    """Whether other brokers may send it their clients as soon as it is there."""

    def open(self) -> None:
        """Take what nobody else may have. Raises DataDirError."""

    async def start(self, endpoints: list[Endpoint]) -> None:
        """Bring the node up. Raises StoreError, BlobError, OSError."""
        await self.node.start(endpoints)

    async def stop(self) -> None:
        """Let the node finish, and leave everything in order."""
        await self.node.stop()

    async def abort(self) -> None:
        """The start failed half-way."""
        await self.node.abort()

    def on_fenced(self, end: Callable[[], None]) -> None:
        """Call `end` when this broker must serve no more, because another one has its node id."""

    def told(self) -> dict[str, str]:
        """What a person wants to know of it, for the banner."""
        raise NotImplementedError


class DirectoryHome(Home):
    """A data directory that is this broker's alone."""

    def __init__(self, options: Options, data: Path) -> None:
        self.data = DataDir(data)
        self.node: EmbeddedNode = EmbeddedNode(options, data)

    def open(self) -> None:
        refuse_migrated(self.data.path)
        self.data.open()
        self.node.power_kept, self.node.by_workers = self.data.power_kept, self.data.by_workers

    async def start(self, endpoints: list[Endpoint]) -> None:
        loop = asyncio.get_running_loop()
        self.node.unclean = not await loop.run_in_executor(None, at_rest.check_and_remove_sum, self.data.path)
        await self.node.start(endpoints)
        self.data.recovered()

    async def stop(self) -> None:
        await self.node.stop()
        try:
            await asyncio.get_running_loop().run_in_executor(None, at_rest.write_sum, self.data.path)
        except OSError as error:  # a full disk: the next start does without
            log.warning("event=no_checksum_of_metadata error=%s", error)
        self.data.close()

    async def abort(self) -> None:
        await self.node.abort()
        self.data.close()

    def told(self) -> dict[str, str]:
        return {
            "data": str(self.data.path),
            "durable": "acks=all is synced to disk before it is acknowledged; acks=1 survives the broker, not the machine",
        }


class EphemeralHome(Home):
    """A temporary directory that goes with the broker; nothing is synced."""

    def __init__(self, options: Options) -> None:
        self.data = DataDir(ephemeral.make())
        self.node: EmbeddedNode = EmbeddedNode(options, self.data.path, syncs=False)

    def open(self) -> None:
        self.data.open()

    async def stop(self) -> None:
        await self.node.stop()
        self._remove()

    async def abort(self) -> None:
        await self.node.abort()
        self._remove()

    def _remove(self) -> None:
        ephemeral.remove(self.data.path)
        self.data.close()

    def told(self) -> dict[str, str]:
        return {
            "data": f"{self.data.path} (goes with the broker)",
            "durable": "nothing: this broker is --ephemeral",
        }


class SharedHome(Home):
    """A metadata store and a blob store that any number of brokers share; the broker keeps nothing itself."""

    joins = True

    def __init__(self, options: Options) -> None:
        from moldau.broker.shared import SharedNode

        self.node: SharedNode = SharedNode(options)

    def on_fenced(self, end: Callable[[], None]) -> None:
        self.node.fenced = end

    def told(self) -> dict[str, str]:
        return {
            "node": f"{self.node.broker.node_id} of cluster {self.node.broker.cluster.cluster_id}",
            "metadata": self.node.metadata_told,
            "blobs": self.node.blobs_told,
            "durable": "what is acknowledged is in both stores",
        }


class WorkerHome(Home):
    """A data directory that its parent has, one of whose workers this broker is."""

    def __init__(self, options: Options, data: Path, *, syncs: bool) -> None:
        from moldau.broker.worker import WorkerNode

        self.node: WorkerNode = WorkerNode(options, data, syncs=syncs)

    def on_fenced(self, end: Callable[[], None]) -> None:
        self.node.fenced = end

    def told(self) -> dict[str, str]:
        return {"data": self.node.blobs_told}


def home_of(options: Options, data: Path | None) -> Home:
    """The home that the options ask for; `data` None is an ephemeral one."""
    if options.metadata_url != EMBEDDED:
        return SharedHome(options)
    return DirectoryHome(options, data) if data is not None else EphemeralHome(options)
