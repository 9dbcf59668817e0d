"""Brokers as processes, with the stores they share and the links between them, for tests that break all of it.

    with Cluster(brokers=3, blobs="minio") as cluster:
        Producer({"bootstrap.servers": cluster.bootstrap})
        cluster.kill(2); cluster.start(2); cluster.pause(1); cluster.postgres_crash(); cluster.metadata_link(3).cut()
        cluster.heal()

`Single` has the same interface for one broker on its embedded stores; what it lacks is absent from `can`. On an error that leaves the `with` block
the end of every broker's log is added to it. Everything blocks; the interface may be used by one thread at a time.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from .fault_proxy import PASS, UNAVAILABLE, FaultProxy, slow
from .links import Link, Links
from .node import START_SECONDS, Node
from .object_servers import CREDENTIALS, running
from .ports import free_port
from .postgres import Postgres
from .talker import Gone, Talker

BROKER_FAULTS = frozenset({"kill", "pause", "restart"})
"""What every kind of cluster can suffer. The names are those of `histories.faults`."""


class Brokers:
    """What `Single` and `Cluster` have in common. Node ids are 1, 2, ... and keep their ports."""

    can: frozenset[str] = BROKER_FAULTS

    def __init__(self, brokers: int, settings: dict[str, str]) -> None:
        self.folder: Path
        self.settings = {"group.initial.rebalance.delay.ms": "200", **settings}
        self.nodes: dict[int, Node] = {}
        self._count = brokers

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="moldau-cluster-"))
        try:
            self._open()
            for _ in range(self._count):
                self.add(wait=False)
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.logs())
        self.close()

    def close(self) -> None:
        """Everything ends and is deleted."""
        for node in self.nodes.values():
            node.kill()
        try:
            self._shut()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        """Stores and links."""

    def _shut(self) -> None:
        """Stores and links."""

    def _node(self, node_id: int) -> Node:
        raise NotImplementedError

    @property
    def bootstrap(self) -> str:
        """All addresses."""
        return ",".join(node.address for node in self.nodes.values())

    def address(self, node_id: int) -> str:
        return self.nodes[node_id].address

    def logs(self, characters: int = 3000) -> str:
        """The end of every broker's log."""
        return "\n".join(f"== broker {n} ==\n{node.said(characters)}" for n, node in self.nodes.items())

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Every broker that has a process answers, and names all of them in its metadata."""
        for node in self.nodes.values():
            if node.running:
                node.wait_ready(seconds)
        alive = {n for n, node in self.nodes.items() if node.running and not node.paused}
        deadline = time.monotonic() + seconds
        for n in alive:
            while (seen := self._sees(n)) != alive:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"broker {n} sees the brokers {seen}, alive are {alive}\n{self.logs()}")
                time.sleep(0.05)

    def _sees(self, node_id: int) -> set[int]:
        try:
            with Talker(self.address(node_id), 5.0) as wire:
                return wire.brokers()
        except (Gone, OSError):
            return set()

    # -- brokers ------------------------------------------------------------------------------------------------------

    def add(self, *, wait: bool = True) -> int:
        """One broker more; its node id."""
        node_id = len(self.nodes) + 1
        self.nodes[node_id] = self._node(node_id)
        self.nodes[node_id].launch()
        if wait:
            self.nodes[node_id].wait_ready()
        return node_id

    def start(self, node_id: int) -> None:
        """After `kill` or `stop`; ready when it returns. No-op when it runs."""
        if not self.nodes[node_id].running:
            self.nodes[node_id].start()

    def stop(self, node_id: int) -> None:
        """SIGTERM, and wait."""
        self.nodes[node_id].stop()

    def restart(self, node_id: int) -> None:
        self.stop(node_id)
        self.start(node_id)

    def kill(self, node_id: int) -> None:
        """kill -9."""
        self.nodes[node_id].kill()

    def kill_all(self) -> None:
        for node in self.nodes.values():
            node.kill()

    def pause(self, node_id: int) -> None:
        """SIGSTOP."""
        self.nodes[node_id].pause()

    def resume(self, node_id: int) -> None:
        """SIGCONT. No-op when it is not paused."""
        self.nodes[node_id].resume()

    def heal(self) -> None:
        """Whatever was broken is mended: stores run, links pass, every broker runs and is ready."""
        for node in self.nodes.values():
            node.resume()
        began = [node for node in self.nodes.values() if node.running]
        for node in self.nodes.values():
            if not node.running:
                node.launch()
        try:
            self.wait_ready()
        except RuntimeError:
            ended = [node for node in began if not node.running]  # it was starting while its stores were away
            if not ended:
                raise
            for node in ended:
                node.launch()
            self.wait_ready()


class Single(Brokers):
    """One broker on its embedded stores."""

    def __init__(self, **settings: str) -> None:
        super().__init__(1, settings)

    def _node(self, node_id: int) -> Node:
        assert node_id == 1, "embedded stores serve one broker"
        port = free_port()
        sets = {"listeners": f"PLAINTEXT://127.0.0.1:{port}", "moldau.http.listener": "", **self.settings}
        return Node(
            node_id, port, ["--data", str(self.folder / "data"), *_sets(sets)], self.folder / f"broker-{node_id}.log"
        )


class Cluster(Brokers):
    """Brokers that share PostgreSQL and a blob store: a folder ("file"), or a bucket on one of `object_servers.NAMES`.

    Each broker reaches PostgreSQL, and the bucket, through a proxy of its own, and is reached by the other brokers through one. Little rides in commits and
    little stays in memory, so that the blob store is used.
    """

    def __init__(self, brokers: int = 3, blobs: str = "file", postgres: int = 16, **settings: str) -> None:
        small = {"moldau.inline.max.bytes": "2000", "moldau.tail.cache.bytes": "65536"}
        super().__init__(brokers, {**small, **settings})
        self.blobs = blobs
        faults = {
            "pg-restart",
            "pg-crash",
            "link-cut",
            "link-stall",
            "link-slow",
            "link-reply",
            "peer-cut",
            "peer-stall",
        }
        self.can = BROKER_FAULTS | faults | (set() if blobs == "file" else {"blob-503", "blob-slow"})
        self._version = postgres
        self._links: Links
        self._metadata: dict[int, Link] = {}
        self._peers: dict[int, Link] = {}
        self._objects: dict[int, FaultProxy] = {}
        self._url = ""
        self._database = ""
        self.postgres: Postgres
        self._stack = ExitStack()

    def _open_postgres(self) -> None:
        self.postgres = Postgres(self._version)
        self._stack.callback(self.postgres.remove)
        self.postgres.start()
        self._database = self.postgres.database()

    def _metadata_url(self, node_id: int) -> str:
        link = self._metadata[node_id] = self._links.to(self.postgres.port, f"metadata {node_id}")
        return self.postgres.url(self._database, link.port)

    def _open(self) -> None:
        self._open_postgres()
        self._links = self._stack.enter_context(Links())
        if self.blobs == "file":
            (self.folder / "blobs").mkdir()
            self._url = f"file://{self.folder / 'blobs'}"
        else:
            self._url = running(self.blobs).url()

    def _shut(self) -> None:
        self._stack.close()

    def _node(self, node_id: int) -> Node:
        blobs = self._url
        if self.blobs != "file":
            server = running(self.blobs)
            proxy = self._objects[node_id] = self._stack.enter_context(FaultProxy(server.port))
            blobs = blobs.replace(f"%3A{server.port}", f"%3A{proxy.port}")
        port, inner = free_port(), free_port()
        peers = self._peers[node_id] = self._links.to(inner, f"peers of {node_id}")
        sets = {
            "node.id": str(node_id),
            # the first one is for other brokers
            "listeners": f"BROKERS://127.0.0.1:{inner},PLAINTEXT://127.0.0.1:{port}",
            "advertised.listeners": f"BROKERS://127.0.0.1:{peers.port},PLAINTEXT://127.0.0.1:{port}",
            "listener.security.protocol.map": "BROKERS:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "moldau.http.listener": "",
            **self.settings,
        }
        stores = ["--metadata", self._metadata_url(node_id), "--blobs", blobs]
        return Node(node_id, port, [*stores, *_sets(sets)], self.folder / f"broker-{node_id}.log", CREDENTIALS)

    def metadata_link(self, node_id: int) -> Link:
        """Between that broker and PostgreSQL."""
        return self._metadata[node_id]

    def peer_link(self, node_id: int) -> Link:
        """From the other brokers to that one."""
        return self._peers[node_id]

    def object_proxy(self, node_id: int) -> FaultProxy:
        """Between that broker and the bucket. Set `always`, and to PASS again; `heal` does so too."""
        return self._objects[node_id]

    def blobs_unavailable(self, node_id: int) -> None:
        """503 to all that this broker asks of the bucket."""
        self._objects[node_id].always = UNAVAILABLE

    def blobs_slow(self, node_id: int, seconds: float) -> None:
        """Every request of this broker to the bucket takes that much longer."""
        self._objects[node_id].always = slow(seconds)

    def blobs_mended(self, node_id: int) -> None:
        self._objects[node_id].always = PASS

    def postgres_stop(self) -> None:
        """Cleanly; connections are cut."""
        self.postgres.stop()

    def postgres_crash(self) -> None:
        """As a crash would: it recovers from its log when it starts again."""
        self.postgres.stop(signal.SIGQUIT)

    def postgres_start(self) -> None:
        """After `postgres_stop` or `postgres_crash`. No-op when it runs."""
        if not self.postgres.running:
            self.postgres.start()

    def heal(self) -> None:
        self.postgres_start()
        self._links.mend()
        for node_id in self._objects:
            self.blobs_mended(node_id)
        super().heal()


def _sets(settings: dict[str, str]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
