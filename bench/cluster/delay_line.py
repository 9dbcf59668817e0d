"""python -m bench.cluster.delay_line PORT DELAY_MS: a proxy that is far away.

What clients send reaches 127.0.0.1:PORT so many milliseconds later, in order and however much of it is under way; answers pass at once. So each
request takes that much longer, as with an object store that needs the time. Prints its own port, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

_CHUNK = 256 << 10


async def _later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)  # 64 MiB at most

    async def feed() -> None:
        while data := await reader.read(_CHUNK):
            await line.put((loop.time() + delay, data))
        await line.put((0.0, b""))

    feeding = asyncio.ensure_future(feed())
    try:
        while True:
            due, data = await line.get()
            if not data:
                return
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
    finally:
        feeding.cancel()


async def _at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def main(port: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_writer = None
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            ways = [
                asyncio.ensure_future(_later(reader, up_writer, delay)),
                asyncio.ensure_future(_at_once(up_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            if up_writer is not None:
                up_writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
