"""What cluster is wanted: pure, but for a look at the ports."""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .errors import DevError

OURS: Final = frozenset(
    {
        "advertised.listeners",
        "broker.id",
        "broker.rack",
        "listeners",
        "log.dir",
        "log.dirs",
        "moldau.blobs.url",
        "moldau.http.listener",
        "moldau.metadata.url",
        "node.id",
    }
)
"""Settings that differ from broker to broker, or say where the stores are."""
HOST: Final = "127.0.0.1"
PORT_MAX: Final = 65535


@dataclass(frozen=True)
class Plan:
    """Brokers 1 to `brokers` on consecutive ports from `port`, their metrics from `http_port`; None of a store is the cluster's own."""

    brokers: int = 3
    port: int = 9092
    http_port: int = 9644
    data: Path | None = None
    metadata_url: str | None = None
    blobs_url: str | None = None
    racks: tuple[str, ...] = ()
    sets: tuple[str, ...] = field(default=())

    def check(self) -> None:
        """Raises DevError."""
        if (self.metadata_url is None) != (self.blobs_url is None) and self.data is None:
            given, other = ("blobs", "metadata") if self.metadata_url is None else ("metadata", "blobs")
            raise DevError(
                f"--{given} keeps what it holds, so the other store must be kept too: give --data DIR, or --{other} URL"
            )
        for each in self.sets:
            key = each.partition("=")[0].strip()
            if key in OURS:
                raise DevError(f"--set {key}: 'moldau dev' sets it itself, for each broker")
        for first, option in ((self.port, "port"), (self.http_port, "http-port")):
            if first + self.brokers - 1 > PORT_MAX:
                raise DevError(f"--{option} {first}: there are not {self.brokers} ports from there")
        taken = set(self.ports) & set(self.http_ports)
        if taken:
            raise DevError(f"port {min(taken)} would be needed twice: choose another --port or --http-port")

    @property
    def ports(self) -> range:
        return range(self.port, self.port + self.brokers)

    @property
    def http_ports(self) -> range:
        return range(self.http_port, self.http_port + self.brokers)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def hint(self, verb: str, node: str = "") -> str:
        """The command of another terminal."""
        return f"moldau dev{f' --port {self.port}' if self.port != Plan.port else ''} {verb} {node}".strip()

    def command(self, node_id: int) -> list[str]:
        """That of a broker; the stores come by the environment, where passwords are not seen by others."""
        sets = [
            "moldau.log.level=warning",  # of several brokers at once, more than that is noise
            *self.sets,
            f"node.id={node_id}",
            f"listeners=PLAINTEXT://{HOST}:{self.ports[node_id - 1]}",
            f"moldau.http.listener={HOST}:{self.http_ports[node_id - 1]}",
        ]
        if self.racks:
            sets.append(f"broker.rack={self.racks[(node_id - 1) % len(self.racks)]}")
        command = [sys.executable, "-m", "moldau", "serve"]
        for each in sets:
            command += ["--set", each]
        return command

    def check_ports(self) -> None:
        """Raises DevError where one is taken."""
        for ports, option in ((self.ports, "port"), (self.http_ports, "http-port")):
            for port in ports:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind((HOST, port))
                    except OSError as error:
                        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
                        raise DevError(f"port {port} {why}: choose others with --{option} N") from error
