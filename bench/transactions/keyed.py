"""python -m bench.transactions.keyed BOOTSTRAP TOPIC RECORDS KEYS: keyed records of 100 B for the cleaner, into partition 0, as fast as they are taken.

Keys of 12 bytes in random order, the same for every broker; batches of 16 KB, five requests in flight. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from crc32c import crc32c

from bench.rawload import run
from bench.rawwire import Connection, Failed, connect, finished, leaders, produce_request, varint

KEY_BYTES, VALUE_BYTES, PER_BATCH, IN_FLIGHT = 12, 88, 140, 5


def batches(records: int, keys: int) -> Iterator[bytes]:
    """As many as it takes."""
    rng = random.Random(7)
    names = [b"key-%08d" % number for number in range(keys)]
    value = varint(VALUE_BYTES) + b"v" * VALUE_BYTES + b"\0"
    heads = []
    for number in range(PER_BATCH):
        head = b"\0\0" + varint(number) + varint(KEY_BYTES)
        heads.append(varint(len(head) + KEY_BYTES + len(value)) + head)
    values = [value] * PER_BATCH
    for _ in range(-(-records // PER_BATCH)):
        body = b"".join(chain.from_iterable(zip(heads, rng.choices(names, k=PER_BATCH), values, strict=True)))
        now = int(time.time() * 1000)
        tail = struct.pack(">hiqqqhii", 0, PER_BATCH - 1, now, now, -1, -1, -1, PER_BATCH) + body
        rest = struct.pack(">ibI", -1, 2, crc32c(tail)) + tail
        yield struct.pack(">qi", 0, len(rest)) + rest


class Filling:
    """Sends what `requests` gives, five at a time."""

    def __init__(self, connection: Connection, requests: Iterator[bytes], error_at: int) -> None:
        self._connection, self._requests, self._error_at = connection, requests, error_at
        self.sent = self.answered = 0
        self._over = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.on_frame = self._on_frame
        for _ in range(IN_FLIGHT):
            self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._over = True
        else:
            self._connection.transport.write(request)
            self.sent += 1

    def _on_frame(self, view: memoryview) -> None:
        (error,) = struct.unpack_from(">h", view, self._error_at)
        if error:
            raise Failed(f"Produce: error code {error}")
        self.answered += 1
        if not self._over:
            self._send()
        if self._over and self.answered == self.sent and not self.done.done():
            self.done.set_result(None)


async def fill(bootstrap: str, topic: str, records: int, keys: int) -> dict[str, Any]:
    name = topic.encode()
    (address,) = await leaders(bootstrap, name, 1)
    connection = await connect(address)
    began = time.perf_counter()
    requests = (produce_request(name, 0, batch, -1) for batch in batches(records, keys))
    filling = Filling(connection, requests, 4 + 4 + 2 + len(name) + 4 + 4)
    await finished([filling.done], [connection])
    return {"records": filling.answered * PER_BATCH, "seconds": time.perf_counter() - began}


def main(arguments: Sequence[str]) -> None:
    bootstrap, topic, records, keys = arguments
    try:
        print(json.dumps(run(fill(bootstrap, topic, int(records), int(keys)))), flush=True)
    except Failed as e:
        sys.exit(f"keyed: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
