"""python -m bench.transactions.rawtxn BOOTSTRAP TOPIC PARTITIONS ROUNDS: how long EndTxn takes, as a client of plain sockets sees it.

One producer, one connection, one transaction after the other: the partitions join (AddPartitionsToTxn), one request writes a record into each of them, and
EndTxn commits. Prints one line of JSON: ``p50_ms``, ``p99_ms`` from EndTxn to its answer, ``complete_p50_ms``, ``complete_p99_ms`` from EndTxn until the
partitions of the next transaction were taken (asked again at once, and then every half millisecond).

Spoken versions: the newest before the compact encoding: InitProducerId 1, AddPartitionsToTxn 1, Produce 7, EndTxn 1, FindCoordinator 1.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from crc32c import crc32c

from bench.rawload import run, tail_of
from bench.rawwire import PRODUCE, Connection, Failed, all_ends, call, connect, frame, leaders, string, varint

FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN = 10, 22, 24, 26
COORDINATOR_LOADING, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS = 14, 15, 16, 51
_AGAIN_SECONDS = 0.0005
_WARM_ROUNDS = 50
_PATIENCE = 20_000
_ID_AND_EPOCH = struct.Struct(">qh")


def one_record(producer_id: int, epoch: int, sequence: int, size: int = 100) -> bytes:
    """A transactional batch of one record."""
    body = b"\0\0\0\x01" + varint(size) + b"x" * size + b"\0"
    records = varint(len(body)) + body
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", 0x10, 0, now, now, producer_id, epoch, sequence, 1) + records
    rest = struct.pack(">ibI", -1, 2, crc32c(tail)) + tail
    return struct.pack(">qi", 0, len(rest)) + rest


class TxnClient:
    """A transactional producer on one connection. Every method raises Failed for an error that is not waited for."""

    def __init__(self, connection: Connection, transactional_id: bytes, topic: bytes, partitions: int) -> None:
        self._connection = connection
        self._id = string(transactional_id)
        self._topic = string(topic)
        self._partitions = partitions
        self._producer = b""
        self._ids = (-1, -1)
        self._sequence = 0

    async def open(self) -> None:
        """The coordinator is there, and knows the producer."""
        body = self._id + struct.pack(">i", 60_000)
        for _ in range(200):
            answer = await call(self._connection, frame(FIND_COORDINATOR, 1, self._id + b"\x01"))
            (error,) = struct.unpack_from(">h", answer, 8)
            if not error:
                answer = await call(self._connection, frame(INIT_PRODUCER_ID, 1, body))
                error, *ids = struct.unpack_from(">hqh", answer, 8)
                if not error:
                    self._ids = (ids[0], ids[1])
                    self._producer = _ID_AND_EPOCH.pack(*self._ids)
                    return
            if error not in (
                COORDINATOR_LOADING,
                COORDINATOR_NOT_AVAILABLE,
                NOT_COORDINATOR,
                CONCURRENT_TRANSACTIONS,
            ):
                raise Failed(f"InitProducerId: error code {error}")
            await asyncio.sleep(0.1)
        raise Failed("InitProducerId: no coordinator came")

    async def join(self) -> None:
        """All partitions take part; waits for the transaction before to be complete."""
        places = struct.pack(f">i{self._partitions}i", self._partitions, *range(self._partitions))
        request = frame(
            ADD_PARTITIONS_TO_TXN, 1, self._id + self._producer + struct.pack(">i", 1) + self._topic + places
        )
        for _ in range(_PATIENCE):
            answer = await call(self._connection, request)
            at = 4 + 4 + 4 + len(self._topic) + 4
            errors = {error for _, error in struct.iter_unpack(">ih", answer[at:])}
            if errors == {0}:
                return
            if not errors <= {CONCURRENT_TRANSACTIONS, NOT_COORDINATOR, COORDINATOR_LOADING}:
                raise Failed(f"AddPartitionsToTxn: error codes {sorted(errors)}")
            await asyncio.sleep(_AGAIN_SECONDS)
        raise Failed("AddPartitionsToTxn: the transaction before is never complete")

    async def write(self) -> None:
        """A record into each partition."""
        batch = one_record(*self._ids, self._sequence)
        self._sequence += 1
        body = self._id + struct.pack(">hii", -1, 30_000, 1) + self._topic + struct.pack(">i", self._partitions)
        body += b"".join([struct.pack(">ii", each, len(batch)) + batch for each in range(self._partitions)])
        answer = await call(self._connection, frame(PRODUCE, 7, body))
        at = 4 + 4 + len(self._topic) + 4
        for number in range(self._partitions):
            partition, error = struct.unpack_from(">ih", answer, at + number * 30)
            if error:
                raise Failed(f"Produce to partition {partition}: error code {error}")

    async def end(self) -> None:
        """The transaction is committed, or (Apache Kafka) will be."""
        answer = await call(self._connection, frame(END_TXN, 1, self._id + self._producer + b"\x01"))
        (error,) = struct.unpack_from(">h", answer, 8)
        if error:
            raise Failed(f"EndTxn: error code {error}")


async def measure(bootstrap: str, topic: str, partitions: int, rounds: int) -> dict[str, Any]:
    await all_ends(await leaders(bootstrap, topic.encode(), partitions), topic.encode())  # until all can be written
    client = TxnClient(await connect(bootstrap), uuid.uuid4().hex.encode(), topic.encode(), partitions)
    await client.open()
    ends: list[float] = []
    complete: list[float] = []
    await client.join()
    began = time.perf_counter()
    for number in range(-_WARM_ROUNDS, rounds):
        if number == 0:
            print("ready", flush=True)
            began = time.perf_counter()
        await client.write()
        asked = time.perf_counter()
        await client.end()
        answered = time.perf_counter()
        await client.join()
        if number >= 0:
            ends.append(answered - asked)
            complete.append(time.perf_counter() - asked)
    seconds = time.perf_counter() - began
    print("over", flush=True)
    await client.end()
    return {"transactions": rounds, "seconds": seconds, **tail_of(ends), **tail_of(complete, "complete_")}


def main(arguments: Sequence[str]) -> None:
    bootstrap, topic, partitions, rounds = arguments
    try:
        print(json.dumps(run(measure(bootstrap, topic, int(partitions), int(rounds)))), flush=True)
    except Failed as e:
        sys.exit(f"rawtxn: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
