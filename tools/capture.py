"""Records what a client and a broker say to each other: golden frames for the protocol tests.

    python -m tools.capture --client librdkafka --listen 19105 --broker 127.0.0.1:19100 --out tests/golden/client_frames.json

relays every connection and, when it is stopped (Ctrl-C or SIGTERM), merges what it saw into the file: per client, API,
version and direction the first frame that is not larger than `--limit`. The broker must advertise the relay's address, or
clients leave for the broker itself. A frame is kept without its four bytes of length. The clients to record are driven by
tools/golden/drive_clients.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import struct
from pathlib import Path

Frames = dict[tuple[str, int, int, str], bytes]


class Relay:
    """One listening port in front of one broker."""

    def __init__(self, client: str, broker: tuple[str, int], limit: int) -> None:
        self._client = client
        self._broker = broker
        self._limit = limit
        self.frames: Frames = {}

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(*self._broker)
        asked: dict[int, tuple[int, int]] = {}  # API key and version by correlation id
        # Cancelled when the relay stops while a client is still connected.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await asyncio.gather(
                self._requests(reader, broker_writer, asked), self._responses(broker_reader, writer, asked)
            )
        for side in (writer, broker_writer):
            side.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, tuple[int, int]]
    ) -> None:
        while frame := await _relay_frame(reader, writer):
            key, version, correlation_id = struct.unpack_from(">hhi", frame)
            asked[correlation_id] = (key, version)
            self._keep(key, version, "request", frame)

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, tuple[int, int]]
    ) -> None:
        while frame := await _relay_frame(reader, writer):
            (correlation_id,) = struct.unpack_from(">i", frame)
            self._keep(*asked.pop(correlation_id), "response", frame)

    def _keep(self, key: int, version: int, kind: str, frame: bytes) -> None:
        """The first frame of each sort; of fetches and their answers the longest, because most are empty."""
        name = (self._client, key, version, kind)
        earlier = self.frames.get(name)
        if len(frame) <= self._limit and (earlier is None or (key == 1 and len(frame) > len(earlier))):
            self.frames[name] = frame


async def _relay_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Passes one frame on; empty at the end of the stream, which is passed on too."""
    head = await reader.read(4)
    if not head:
        writer.close()
        return b""
    head += await reader.readexactly(4 - len(head))
    frame = await reader.readexactly(int.from_bytes(head, "big"))
    writer.write(head + frame)
    await writer.drain()
    return frame


def load(path: Path) -> Frames:
    """Frames of a file that `save` wrote."""
    entries = json.loads(path.read_text()) if path.exists() else []
    return {(e["client"], e["key"], e["version"], e["kind"]): bytes.fromhex(e["hex"]) for e in entries}


def save(path: Path, frames: Frames) -> None:
    """One frame a line, sorted."""
    lines = [
        json.dumps({"client": client, "key": key, "version": version, "kind": kind, "hex": frame.hex()})
        for (client, key, version, kind), frame in sorted(frames.items())
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


async def run(relay: Relay, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(relay.connection, "127.0.0.1", port)
    print(f"relaying 127.0.0.1:{port}", flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.capture", description=__doc__)
    parser.add_argument("--client", required=True, help="name under which the frames are kept")
    parser.add_argument("--listen", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--broker", required=True, help="host:port")
    parser.add_argument("--out", type=Path, required=True, help="file to merge the frames into")
    parser.add_argument("--limit", type=int, default=1200, help="largest frame that is kept, in bytes")
    options = parser.parse_args()
    host, _, port = options.broker.rpartition(":")
    relay = Relay(options.client, (host, int(port)), options.limit)
    asyncio.run(run(relay, options.listen))
    earlier = {name: frame for name, frame in load(options.out).items() if name[0] != options.client}
    save(options.out, earlier | relay.frames)
    print(f"{len(relay.frames)} frames of {options.client}")


if __name__ == "__main__":
    main()
