"""A bare connection to a broker: frames out, frames in, nothing clever."""

from __future__ import annotations

import socket
import struct
from typing import Any

from moldau.protocol import api_keys
from moldau.protocol.message import Message
from moldau.protocol.registry import request_class, response_class


class Wire:
    """One connection. `ask` waits for the answer."""

    def __init__(self, bootstrap: str, timeout: float = 20.0) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.link = socket.create_connection((host.strip("[]"), int(port)), timeout)
        self._correlation = 0

    def frame(self, request: Message, version: int) -> bytes:
        """The request as it goes over the wire, its length first."""
        self._correlation += 1
        flexible = version >= api_keys.FLEXIBLE_FROM[request.API_KEY]
        header = struct.pack(">hhih", request.API_KEY, version, self._correlation, 4) + b"wire" + b"\0" * flexible
        body = header + request.encode(version)
        return struct.pack(">i", len(body)) + body

    def receive(self, count: int) -> bytes:
        """Exactly so many bytes. Raises EOFError when the broker closes."""
        parts = b""
        while len(parts) < count:
            part = self.link.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return parts

    def ask(self, request: Message, version: int) -> Any:
        """The decoded answer."""
        self.link.sendall(self.frame(request, version))
        payload = self.receive(struct.unpack(">i", self.receive(4))[0])
        key = request.API_KEY
        assert struct.unpack_from(">i", payload)[0] == self._correlation
        at = 5 if version >= api_keys.FLEXIBLE_FROM[key] and key != api_keys.API_VERSIONS else 4
        return response_class(key).decode(payload, version, at)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()


def request(api_key: int, **fields: Any) -> Message:
    """A request of that API."""
    return request_class(api_key)(**fields)
