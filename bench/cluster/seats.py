"""The two clusters side by side: three brokers of ours with their stores, and three of Apache Kafka with their controller.

A seat counts the CPU of everything that serves: brokers, PostgreSQL, the object store; and of Kafka the brokers and the controller.
Kafka's controller is a process of its own, so that a killed broker is only a broker; there is one, as there is one PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.cluster.stores import BlobEngine, Database
from bench.cluster.topics import ClusterTopics
from conformance.common.brokers import (
    CONFORMANCE,
    BrokerError,
    cpu_seconds,
    free_ports,
    metadata_answered,
    resident_bytes,
    tail,
)
from conformance.common.brokers import Moldau as _Program

BROKERS = 3
START_SECONDS = 90.0


class Node:
    """One server process. `command` starts it; `port` answers Metadata when it serves, 0 for one that does not."""

    def __init__(self, node_id: int, command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> None:
        self.node_id = node_id
        self.command = command
        self.port = port
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._spent = 0.0  # by processes of this node that ended
        self._began = 0.0
        self.start_seconds = 0.0

    def launch(self) -> None:
        """Begin; `wait` for it."""
        self._began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers. Raises BrokerError."""
        assert self._process is not None
        while self.port and not metadata_answered(self.port):
            if self._process.poll() is not None:
                raise BrokerError(f"node {self.node_id} ended with {self._process.returncode}:\n{tail(self._log)}")
            if time.perf_counter() - self._began > START_SECONDS:
                raise BrokerError(f"node {self.node_id} gave no metadata:\n{tail(self._log)}")
            time.sleep(0.005)
        self.start_seconds = time.perf_counter() - self._began

    def start(self) -> Self:
        self.launch()
        self.wait()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cpu_seconds(self) -> float:
        return self._spent + (cpu_seconds(self._process.pid) if self._process is not None else 0.0)

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def end(self, how: signal.Signals = signal.SIGTERM, grace: float = 60.0) -> None:
        """SIGTERM, and SIGKILL after a while; or at once."""
        process, self._process = self._process, None
        if process is None:
            return
        self._spent += cpu_seconds(process.pid)
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Cluster:
    """A seat. `nodes` are the brokers, by their place from 0."""

    name = ""
    replication = 1

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-cluster-"))
        self.nodes: list[Node] = []
        self.topics: ClusterTopics

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        for node in self.nodes:
            node.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_seconds(self) -> float:
        return sum(node.cpu_seconds() for node in self.nodes)

    def alive(self) -> bool:
        return all(node.alive for node in self.nodes)

    def mode(self, storage: str) -> dict[str, str]:
        """Configs of a topic whose records are `express` or `standard`."""
        return {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        self.topics = ClusterTopics(self.bootstrap, self.replication)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class MoldauCluster(Cluster):
    """Brokers of this checkout on one PostgreSQL and one blob store, each fresh if it is not given.

    `endpoint` is where a bucket is found, if not at its own port.
    """

    name = "moldau"

    def __init__(
        self,
        database: Database,
        blobs: BlobEngine,
        *,
        endpoint: str | None = None,
        stores: tuple[str, str] = ("", ""),
        settings: Mapping[str, str] | None = None,
        brokers: int = BROKERS,
    ) -> None:
        super().__init__()
        self.database = database
        self.blobs = blobs
        self.settings = dict(settings or {})
        self.schema = stores[0] or database.fresh()
        self.blobs_url = stores[1] or blobs.url(endpoint)
        self._first = brokers

    def start(self) -> None:
        for _ in range(self._first):
            self.nodes.append(self.node(len(self.nodes) + 1))
            self.nodes[-1].launch()
        for node in self.nodes:
            node.wait()
        time.sleep(
            1.5
        )  # a broker serves what is another's for a second after it was named; then clients are sent there

    def node(self, node_id: int) -> Node:
        """One more, not started."""
        port, http = free_ports(2)
        settings = {
            "node.id": str(node_id),
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "moldau.http.listener": f"127.0.0.1:{http}",
            **self.settings,
        }
        command = [
            *_Program.program(),
            "serve",
            "--metadata",
            self.database.url(self.schema),
            "--blobs",
            self.blobs_url,
        ]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        return Node(node_id, command, port, self.folder / f"{node_id}.log", self.blobs.environment)

    @property
    def stores(self) -> tuple[str, str]:
        """For a cluster that goes on with them."""
        return self.schema, self.blobs_url

    def sql(self, statement: str) -> str:
        """What PostgreSQL says in the cluster's database."""
        return self.database.sql(statement, self.schema)

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + self.database.cpu_seconds() + self.blobs.cpu_seconds()

    def mode(self, storage: str) -> dict[str, str]:
        return {"moldau.storage": storage}


class KafkaCluster(Cluster):
    """Three brokers of Apache Kafka and one controller. Three replicas, two of which must have a record before it is acknowledged."""

    name = "kafka"
    replication = 3

    def __init__(self, heap: str = "1g", settings: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.heap = heap
        self.settings = dict(settings or {})
        self._controller: Node | None = None

    def start(self) -> None:
        ports = free_ports(BROKERS + 1)
        classpath = subprocess.check_output([str(CONFORMANCE / "kafka-peer/classpath")], text=True).strip()
        self._java = [
            "java",
            "-cp",
            classpath,
            f"-Dlog4j2.configurationFile={CONFORMANCE}/kafka-peer/log4j2.properties",
        ]
        cluster_id = subprocess.check_output([*self._java, "kafka.tools.StorageTool", "random-uuid"], text=True).strip()
        nodes = [self._node(k + 1, ports[k], ports[-1], cluster_id) for k in range(BROKERS)]
        self._controller = self._node(100, 0, ports[-1], cluster_id)
        self.nodes = nodes
        self._controller.launch()
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait()

    def _node(self, node_id: int, port: int, controller_port: int, cluster_id: str) -> Node:
        folder = self.folder / str(node_id)
        folder.mkdir()
        role = "broker" if port else "controller"
        listener = f"PLAINTEXT://127.0.0.1:{port}" if port else f"CONTROLLER://127.0.0.1:{controller_port}"
        settings = {
            "process.roles": role,
            "node.id": str(node_id),
            "controller.quorum.voters": f"100@127.0.0.1:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": listener,
            "advertised.listeners": listener if port else "",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "group.initial.rebalance.delay.ms": "0",
            "log.segment.delete.delay.ms": "1000",
            **self.settings,
        }
        properties = folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items() if value))
        done = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(
                f"Apache Kafka's storage could not be formatted:\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
            )
        heap = self.heap if port else "256m"
        machine = [f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        command = [*self._java, *machine, f"-Dkafka.logs.dir={folder}", "kafka.Kafka", str(properties)]
        return Node(node_id, command, port, folder / "server.log", {})

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + (self._controller.cpu_seconds() if self._controller is not None else 0.0)

    def alive(self) -> bool:
        return super().alive() and self._controller is not None and self._controller.alive

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.end(signal.SIGKILL)
        super().stop()
