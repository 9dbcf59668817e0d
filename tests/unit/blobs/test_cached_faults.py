"""The block cache before an object store on bad days: many readers, one request, the right bytes or one error for all."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import run
from support.fault_proxy import REFUSED_BEFORE, UNAVAILABLE, Action, FaultProxy, cut_reply, slow
from support.s3_servers import CREDENTIALS, running

from moldau.blobs import retry
from moldau.blobs.block_cache import COLD_REQUESTS, BlockCache
from moldau.blobs.object_url import ObjectUrl
from moldau.blobs.objects import Objects
from moldau.blobs.ports import BlobError, BlobMissing

pytestmark = pytest.mark.slow

DATA = bytes(range(256)) * 8192


def test_readers_share_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.002)

    async def main() -> None:
        with FaultProxy(running("versitygw").port) as proxy:
            url = ObjectUrl(running("versitygw").url(proxy.endpoint, deadline_ms="500", timeout_ms="300"))
            store = Objects(url, url.connect(CREDENTIALS))
            it = BlockCache(store, 16 << 20)
            await it.put(1, [DATA])
            for action in (UNAVAILABLE, REFUSED_BEFORE, cut_reply(70_000), slow(0.05)):
                proxy.seen.clear()
                proxy.next(action, method="GET")
                reads = await asyncio.gather(*(it.read(1, 1000, 5000) for _ in range(20)))
                assert reads == [DATA[1000:6000]] * 20
                assert proxy.count("GET") == (1 if action.delay else 2)
                it.area.drop(1)
            proxy.always = UNAVAILABLE
            proxy.seen.clear()
            failed = await asyncio.gather(*(it.read(1, 0, 9) for _ in range(20)), return_exceptions=True)
            assert {type(each) for each in failed} == {BlobError}
            assert proxy.count("GET") < 20
            proxy.always = Action()
            assert await it.read(1, 0, 9) == DATA[:9]
            await it.delete(1)
            with pytest.raises(BlobMissing):
                await it.read(1, 0, 9)
            await it.close()

    run(main())


def test_a_slow_store_slows_scans_by_themselves() -> None:
    async def main() -> None:
        with FaultProxy(running("versitygw").port) as proxy:
            url = ObjectUrl(running("versitygw").url(proxy.endpoint))
            it = BlockCache(Objects(url, url.connect(CREDENTIALS)), 64 << 20)
            for blob_id in range(12):
                await it.put(blob_id, [b"%d" % blob_id * 100])
            proxy.next(*([slow(0.4)] * COLD_REQUESTS), method="GET")
            scans = [asyncio.ensure_future(it.cold.read(blob_id, 0, 50)) for blob_id in range(10)]
            await asyncio.sleep(0.1)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await it.read(11, 0, 4) == b"1111"
            assert loop.time() - began < 0.2, "it waits for no scan"
            assert not any(scan.done() for scan in scans)
            assert [bytes(each) for each in await asyncio.gather(*scans)] == [
                (b"%d" % blob_id * 100)[:50] for blob_id in range(10)
            ]
            await it.close()

    run(main())
