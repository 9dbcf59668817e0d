"""Blobs as objects in a bucket: the shared blob store of brokers on any hosts.

Key of a blob: `PREFIX/LL/IIIIIIIIIIIIIIII.blob`, the id in 16 hex digits and its lowest byte in front. Ids count up, so that byte spreads what
is written at one time over 256 prefixes; object stores divide their load by ranges of keys.

A put is conditional (create only) up to `SINGLE_MAX` bytes: when a put that seemed to fail had succeeded, its retry finds the object there,
with the size it should have, and is answered as done; and no late retry can ever overwrite. Larger blobs go in parts, several at a time; what
an aborted upload leaves is the business of the bucket's lifecycle rules. On their way in bytes are kept whole by TLS; over http:// to another host
S3 checks a SHA-256 of them, which the signature covers (`unsigned_payload`). On their way out the reader checks the checksum of every batch anyway.

Requests that fail for a passing reason are sent again out of one budget (`moldau.blobs.retry`) until the call's deadline; reads that are late are
asked a second time (`moldau.blobs.hedge`). The library, which runs in threads of its own, sends each request once.

Sketch: S3 answers a put of a few MiB in 30 to 150 ms and the first byte of a read in 10 to 30 ms; here a put costs 0.3 ms of CPU a MiB, with
a SHA-256 0.9, and a read 0.6 to 0.8 (docs/internals/object-store.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from moldau.histogram import Histogram

from .hedge import Hedges
from .object_errors import EXISTS, MISSING, TRANSIENT, UNSUPPORTED, Fault, sort
from .object_url import ObjectUrl
from .ports import BlobError, BlobMissing, Buffer
from .ranges import coalesce
from .retry import RetryBudget, wait_seconds

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

log = logging.getLogger(__name__)

SINGLE_MAX: Final = 16 << 20
"""Up to this size a blob is put by one request."""
PART_BYTES: Final = 8 << 20
PARTS_AT_ONCE: Final = 4
GAP_BYTES: Final = 128 << 10
"""Ranges that lie this near are read by one request: a request costs what half a MiB costs."""
READ_BYTES_MAX: Final = 8 << 20
READS_AT_ONCE: Final = 4
"""Of one `read_many`."""
_LIST_PAGE: Final = 1000
_NAME = re.compile(r"^([0-9a-f]{2})/([0-9a-f]{14}\1)\.blob$")


def key_of(blob_id: int) -> str:
    """The object's key below the prefix."""
    return f"{blob_id & 0xFF:02x}/{blob_id:016x}.blob"


class Objects:
    """See `moldau.blobs.ports.BlobStore`. Everything here runs on the loop's thread."""

    def __init__(self, url: ObjectUrl, store: ObjectStore | None = None) -> None:
        """Raises BadUrl. Nothing is sent; `open` finds out whether the store can be used."""
        import obstore

        self.url = url
        self._lib: Any = obstore
        self._store = store if store is not None else url.connect()
        self._conditional = url.conditional_put
        self._budget = RetryBudget()
        self._hedges = Hedges()
        self._closed = False
        self.retries = 0
        self.hedged = 0
        self.bytes_put = 0
        self.bytes_read = 0
        self.put_seconds = Histogram()
        self.read_seconds = Histogram()

    async def open(self) -> None:
        """Try all that will be needed on an object of its own. Raises BlobError."""
        key = f"probe/{os.urandom(8).hex()}"
        what = f"cannot use {self.url}"
        await self._call(f"{what}: put", lambda: self._lib.put_async(self._store, key, b"moldau"))
        data = await self._call(f"{what}: read", lambda: self._lib.get_range_async(self._store, key, start=0, length=6))
        if bytes(data) != b"moldau":
            raise BlobError(f"{what}: it gave back {bytes(data)[:20]!r} for what was just put")
        await self._call(f"{what}: delete", lambda: self._lib.delete_async(self._store, key))

    # -- put ----------------------------------------------------------------------------------------------------------

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        what = f"cannot put blob {blob_id:016x} of {len(data)} bytes"
        started = self._now()
        while not await self._made(blob_id, data, what):
            pass
        self.put_seconds.observe(int((self._now() - started) * 1e9))
        self.bytes_put += len(data)
        return len(data)

    async def _made(self, blob_id: int, data: Buffer, what: str) -> bool:
        """Whether it is there now; if not, another request was in the way (409), and it is worth asking again. Raises BlobError."""
        try:
            await self._call(what, lambda: self._put(key_of(blob_id), data), creates=self._conditional)
        except _Exists:
            try:
                await self._same(blob_id, len(data), what)
            except BlobMissing:
                if not self._budget.spend():
                    raise
                self.retries += 1
                await asyncio.sleep(wait_seconds(1))
                return False
        return True

    def _put(self, key: str, data: Buffer) -> Awaitable[Any]:
        if len(data) > SINGLE_MAX:
            return self._lib.put_async(  # type: ignore[no-any-return]
                self._store, key, data, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        mode = "create" if self._conditional else "overwrite"
        return self._lib.put_async(self._store, key, data, mode=mode, use_multipart=False)  # type: ignore[no-any-return]

    async def _same(self, blob_id: int, size: int, what: str) -> None:
        """It is there already: by an earlier try of ours, or else ids have gone wrong."""
        meta = await self._call(what, lambda: self._lib.head_async(self._store, key_of(blob_id)))
        if meta["size"] != size:
            raise BlobError(f"{what}: another one of {meta['size']} bytes is there")

    # -- reads --------------------------------------------------------------------------------------------------------

    def read_now(self, blob_id: int, position: int, length: int) -> bytes | bytearray | None:
        return None

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        return False

    async def read(self, blob_id: int, position: int, length: int) -> Buffer:
        data = await self.read_some(blob_id, position, length)
        if len(data) < length:
            end = position + len(data)
            raise BlobMissing(f"blob {blob_id:016x} ends at {end}; asked for {length} bytes at {position}")
        return data

    async def read_some(self, blob_id: int, position: int, length: int) -> Buffer:
        if not length:
            return b""
        key = key_of(blob_id)
        started = self._now()
        data = await self._call(
            f"cannot read {length} bytes at {position} of blob {blob_id:016x}",
            lambda: self._hedged(
                length, lambda: self._lib.get_range_async(self._store, key, start=position, length=length)
            ),
        )
        self.read_seconds.observe(int((self._now() - started) * 1e9))
        self.bytes_read += len(data)
        return memoryview(data)

    async def read_many(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        found: list[Buffer] = [b""] * len(ranges)
        at_once = asyncio.Semaphore(READS_AT_ONCE)

        async def one(position: int, length: int, members: list[int]) -> None:
            async with at_once:
                data = memoryview(await self.read(blob_id, position, length))
            for member in members:
                start = ranges[member][0] - position
                found[member] = data[start : start + ranges[member][1]]

        try:
            async with asyncio.TaskGroup() as group:
                for position, length, members in coalesce(ranges, GAP_BYTES, READ_BYTES_MAX):
                    group.create_task(one(position, length, members))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return found

    async def _hedged(self, length: int, request: Callable[[], Awaitable[T]]) -> T:
        """The first answer of one request, or of two if the first is late."""
        began = self._now()
        first = asyncio.ensure_future(request())
        running = {first}
        try:
            await asyncio.wait(running, timeout=self._hedges.delay(length))
            if not first.done() and self._hedges.spend():
                self.hedged += 1
                running.add(asyncio.ensure_future(request()))
            while True:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    if not running or task.exception() is None:
                        result = task.result()
                        self._hedges.took(length, self._now() - began)
                        return result
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(lambda loser: loser.cancelled() or loser.exception())

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def delete(self, blob_id: int) -> None:
        key = key_of(blob_id)
        try:
            await self._call(f"cannot delete blob {blob_id:016x}", lambda: self._lib.delete_async(self._store, key))
        except BlobMissing:
            pass

    async def sizes(self) -> dict[int, int]:
        return await self._call(f"cannot list {self.url}", self._sizes)

    async def _sizes(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        async for page in self._lib.list(self._store, chunk_size=_LIST_PAGE):
            for meta in page:
                name = _NAME.match(meta["path"])
                if name is not None:  # else it is not ours
                    sizes[int(name.group(2), 16)] = meta["size"]
        return sizes

    async def close(self) -> None:
        self._closed = True

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _call(self, what: str, request: Callable[[], Awaitable[T]], creates: bool = False) -> T:
        """The answer, after as many tries as it takes, budget and deadline allow. Raises BlobError.

        `creates`: a conditional put, which raises _Exists when the object is there. To another request the same answer (409) says that it met
        another one, as where two brokers make the same folder in a store that keeps files.
        """
        deadline = self._now() + self.url.deadline_seconds
        attempt = 0
        while not self._closed:
            attempt += 1
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await request()
            except Exception as error:
                fault = _fault(error)
            else:
                self._budget.earn()
                return answer
            if fault.kind == EXISTS:
                if creates:
                    raise _Exists
                fault = Fault(TRANSIENT, "it met another request (409)")
            if fault.kind == UNSUPPORTED and self._conditional:
                log.warning("event=conditional_put_unsupported store=%s action=overwrite", self.url)
                self._conditional = False
                continue
            wait = wait_seconds(attempt)
            if fault.kind != TRANSIENT or self._now() + wait >= deadline or not self._budget.spend():
                if fault.kind != MISSING:
                    log.warning("event=object_request_failed attempts=%d error='%s: %s'", attempt, what, fault.text)
                raise fault.error(f"{what} (tried {attempt} times)" if attempt > 1 else what)
            self.retries += 1
            await asyncio.sleep(wait)
        raise BlobError(f"{what}: the blob store is closed")


class _Exists(Exception):
    """A conditional put found the object there."""


def _fault(error: Exception) -> Fault:
    if isinstance(error, TimeoutError):
        return Fault(TRANSIENT, "no answer in time")
    return sort(error)
