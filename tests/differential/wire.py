"""A tiny blocking Kafka client: one request, one decoded answer, or the news that the broker hung up."""

from __future__ import annotations

import socket
import struct
from typing import Final

from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.registry import response_class

CLIENT_ID: Final = "differential"


class Closed:
    """The broker closed the connection instead of answering."""

    def __repr__(self) -> str:
        return "closed"


CLOSED: Final = Closed()


class Wire:
    """One connection. Requests may be pipelined; `receive` gives the answers in order."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0
        self._waiting: list[tuple[int, int, int]] = []

    def close(self) -> None:
        self._socket.close()

    def send(self, api_key: int, version: int, body: Message | bytes, *, answered_as: int | None = None) -> None:
        """`body`: a message, or bytes that need not be one. `answered_as`: the version that the answer has, if not this."""
        self._correlation_id += 1
        header = RequestHeader(
            request_api_key=api_key,
            request_api_version=version,
            correlation_id=self._correlation_id,
            client_id=CLIENT_ID,
        )
        try:
            raw = header.encode(request_header_version(api_key, version))
        except Exception:  # an API that nobody knows: any header will do
            raw = header.encode(1)
        raw += body.encode(version) if isinstance(body, Message) else body
        self.send_frame(raw)
        self._waiting.append((api_key, version if answered_as is None else answered_as, self._correlation_id))

    def send_frame(self, raw: bytes, size: int | None = None) -> None:
        """`size`: what the frame claims, when that is a lie."""
        try:
            self._socket.sendall(struct.pack(">i", len(raw) if size is None else size) + raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the next receive tells

    def unanswered(self) -> None:
        """What was sent last gets no answer."""
        self._waiting.pop()

    def receive(self) -> Message | Closed:
        api_key, version, correlation_id = self._waiting.pop(0)
        raw = self.receive_frame()
        if isinstance(raw, Closed):
            return raw
        header, at = ResponseHeader.decode_at(raw, response_header_version(api_key, version), 0)
        assert header.correlation_id == correlation_id, "answers out of order"
        message, end = response_class(api_key).decode_at(raw, version, at)
        assert end == len(raw), f"{len(raw) - end} bytes after the answer to {api_key} version {version}"
        return message

    def receive_frame(self) -> bytes | Closed:
        head = self._exactly(4)
        if isinstance(head, Closed):
            return head
        return self._exactly(struct.unpack(">i", head)[0])

    def _exactly(self, size: int) -> bytes | Closed:
        parts = bytearray()
        while len(parts) < size:
            try:
                chunk = self._socket.recv(size - len(parts))
            except ConnectionResetError:
                return CLOSED
            if not chunk:
                return CLOSED
            parts += chunk
        return bytes(parts)
