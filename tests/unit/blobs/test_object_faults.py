"""An object store on bad days, through a proxy between the client and a real server: every answer is right in the end, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.aio import run
from support.fault_proxy import (
    BROKEN,
    CONFLICT,
    FAILED_AFTER,
    LOST_REPLY,
    REFUSED_BEFORE,
    UNAVAILABLE,
    Action,
    FaultProxy,
    cut_reply,
    silent,
    slow,
)
from support.object_servers import CREDENTIALS, running

from moldau.blobs import hedge, retry
from moldau.blobs.object_url import ObjectUrl
from moldau.blobs.objects import Objects
from moldau.blobs.ports import BlobError, BlobMissing

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.002)


def through(body: Callable[[Objects, FaultProxy], Awaitable[None]], store: str = "versitygw", **options: str) -> None:
    server = running(store)

    async def main() -> None:
        with FaultProxy(server.port) as proxy:
            url = ObjectUrl(server.url(proxy.endpoint, **options))
            it = Objects(url, url.connect(CREDENTIALS))
            try:
                await body(it, proxy)
            finally:
                await it.close()

    run(main())


STORES = ("versitygw", "azurite", "fake-gcs-server")
"""One of each kind."""
DELETE = {"versitygw": "POST", "azurite": "POST", "fake-gcs-server": "DELETE"}
"""S3 and Azure are sent a batch."""

PASSING = {
    "503": UNAVAILABLE,
    "500": BROKEN,
    "a cut before the request is done": REFUSED_BEFORE,
    "a cut after it is done": LOST_REPLY,
    "done, and said it failed": FAILED_AFTER,
    "half an answer": cut_reply(30),
    "no answer": silent(0.4),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("action", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_mended(action: Action, store: str) -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(action, action, method="PUT")
        assert await it.put(1, [b"0123456789" * 100]) == 1000
        assert (it.retries, proxy.count("PUT")) == (2, 3)
        proxy.next(action, method="GET")
        assert await it.read(1, 10, 5) == b"01234"
        proxy.next(action, method="GET")
        assert await it.sizes() == {1: 1000}
        proxy.next(action, method=DELETE[store])
        await it.delete(1)
        with pytest.raises(BlobMissing):
            await it.read(1, 0, 1)
        assert it.retries == 5

    through(body, store, timeout_ms="200")


@pytest.mark.parametrize("store", STORES)
def test_a_put_whose_reply_was_lost_writes_nothing_twice(store: str) -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(LOST_REPLY, method="PUT")
        assert await it.put(1, [b"abc"]) == 3
        assert [method for method, _ in proxy.seen] == ["PUT", "PUT", "HEAD"]

    through(body, store)


def test_a_request_that_met_another_one_is_made_again() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(CONFLICT, method="PUT")
        await it.open()  # a 409 to what is not conditional does not say that the object is there
        assert (it.retries, proxy.count("PUT")) == (1, 2)
        proxy.next(CONFLICT, CONFLICT, method="PUT")
        assert await it.put(1, [b"abc"]) == 3  # asked for each time: it was not there
        assert [method for method, _ in proxy.seen][-5:] == ["PUT", "HEAD", "PUT", "HEAD", "PUT"]
        assert await it.read(1, 0, 3) == b"abc"

    through(body)


def test_a_store_where_another_one_is_always_in_the_way_is_an_error() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(*[CONFLICT] * 100, method="PUT")
        with pytest.raises(BlobError, match=r"cannot put blob 0{15}1 of 3 bytes"):
            await it.put(1, [b"abc"])
        assert proxy.count("PUT") <= retry.SAVED_MAX + 1

    through(body)


def test_a_store_that_stays_away_is_an_error_in_time() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.always = UNAVAILABLE
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(BlobError, match=r"cannot put blob 0{15}1 of 3 bytes \(tried \d+ times\): SlowDown"):
            await it.put(1, [b"abc"])
        assert loop.time() - began < 2
        proxy.always = silent(5)
        began = loop.time()
        with pytest.raises(BlobError):
            await it.read(1, 0, 3)
        assert loop.time() - began < 2

    through(body, timeout_ms="300", deadline_ms="800")


def test_nobody_listens(free_port: int) -> None:
    async def main() -> None:
        url = ObjectUrl(f"s3://b/p?endpoint=http://127.0.0.1:{free_port}&deadline_ms=300")
        it = Objects(url, url.connect(CREDENTIALS))
        with pytest.raises(BlobError, match="cannot use s3://b/p"):
            await it.open()
        assert it.retries > 1

    run(main())


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_retries_of_a_store_in_trouble_are_bounded() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.always = UNAVAILABLE

        async def one(n: int) -> None:
            with pytest.raises(BlobError):
                await it.put(n, [b"abc"])

        await asyncio.gather(*(one(n) for n in range(50)))
        assert it.retries == retry.SAVED_MAX
        assert proxy.count("PUT") == 50 + retry.SAVED_MAX
        proxy.always = Action()
        await asyncio.gather(*(it.put(n, [b"abc"]) for n in range(100, 110)))
        assert 0.9 < it._budget.saved < 1.1, "ten successes earn a retry"

    through(body)


def test_a_refusal_is_not_asked_again() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(Action(forward=False, status=403, code="AccessDenied"))
        with pytest.raises(BlobError, match="AccessDenied"):
            await it.put(1, [b"abc"])
        assert (it.retries, len(proxy.seen)) == (0, 1)

    through(body)


def test_a_store_without_conditional_puts() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.next(Action(forward=False, status=501, code="NotImplemented"))
        assert await it.put(1, [b"abc"]) == 3
        assert await it.put(1, [b"abc"]) == 3
        assert await it.read(1, 0, 3) == b"abc"

    through(body)


class TestHedges:
    def test_a_late_read_is_asked_again_and_the_first_answer_counts(self) -> None:
        async def body(it: Objects, proxy: FaultProxy) -> None:
            await it.put(1, [b"0123456789"])
            for _ in range(hedge.KNOWN_MIN + 4):
                await it.read(1, 0, 10)
            loop = asyncio.get_running_loop()
            proxy.seen.clear()
            proxy.next(slow(2), method="GET")
            began = loop.time()
            assert await it.read(1, 2, 3) == b"234"
            assert loop.time() - began < 1
            assert (it.hedged, proxy.count("GET")) == (1, 2)

        through(body)

    def test_the_second_may_fail(self) -> None:
        async def body(it: Objects, proxy: FaultProxy) -> None:
            await it.put(1, [b"0123456789"])
            for _ in range(hedge.KNOWN_MIN + 4):
                await it.read(1, 0, 10)
            proxy.next(slow(0.3), UNAVAILABLE, method="GET")
            assert await it.read(1, 2, 3) == b"234"
            assert (it.hedged, it.retries) == (1, 0)

        through(body)

    def test_when_all_are_late_few_are_asked_again(self) -> None:
        async def body(it: Objects, proxy: FaultProxy) -> None:
            await it.put(1, [b"0123456789"])
            for _ in range(hedge.KNOWN_MIN + 4):
                await it.read(1, 0, 10)
            proxy.seen.clear()
            proxy.always = slow(0.05)
            await asyncio.gather(*(it.read(1, 0, 10) for _ in range(100)))
            assert 1 <= it.hedged <= 100 * hedge.SHARE + 3
            assert proxy.count("GET") == 100 + it.hedged

        through(body)


def test_a_read_that_is_given_up_leaves_nothing_behind() -> None:
    async def body(it: Objects, proxy: FaultProxy) -> None:
        proxy.always = slow(3)
        task: asyncio.Task[Any] = asyncio.ensure_future(it.read(1, 0, 10))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    through(body)
