"""Requests that the Kafka client behind the other commands does not have, over a plaintext connection of their own."""

import socket
import struct
from typing import TYPE_CHECKING, Any

from moldau.cli.errors import CliError
from moldau.protocol.errors import ProtocolError
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.registry import response_class

if TYPE_CHECKING:
    from moldau.cli.client import Cluster

_BYTES_MAX = 1 << 24


def is_plaintext(cluster: "Cluster") -> bool:
    """Whether such a connection may be had."""
    return str(cluster.properties.get("security.protocol", "plaintext")).lower() == "plaintext"


class Wire:
    """To one broker. Raises CliError; a broker that does not know a request hangs up."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._where = f"{host}:{port}"
        self._correlation_id = 0
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise CliError(f"no broker answers at {self._where}: {error}") from None

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, api_key: int, version: int, body: Message) -> Any:
        """The decoded answer."""
        self._correlation_id += 1
        header = RequestHeader(
            request_api_key=api_key,
            request_api_version=version,
            correlation_id=self._correlation_id,
            client_id="moldau-cli",
        )
        raw = header.encode(request_header_version(api_key, version)) + body.encode(version)
        try:
            self._socket.sendall(struct.pack(">i", len(raw)) + raw)
            size = struct.unpack(">i", self._exactly(4))[0]
            if not 0 < size <= _BYTES_MAX:
                raise CliError(f"what answers at {self._where} does not speak the Kafka protocol")
            answer = self._exactly(size)
            at = ResponseHeader.decode_at(answer, response_header_version(api_key, version), 0)[1]
            return response_class(api_key).decode_at(answer, version, at)[0]
        except (OSError, ProtocolError) as error:
            raise CliError(f"{self._where}: {error}") from None

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionError("the broker hung up: it may be older than this request")
            parts += part
        return bytes(parts)
