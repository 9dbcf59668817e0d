"""Pages of the HTTP port that are about a thing with a name."""

from __future__ import annotations

import asyncio
import http.client

import pytest
from support.aio import run

from moldau.server.http import HttpServer


async def plain() -> tuple[int, str, bytes]:
    return 200, "text/plain", b"plain"


async def named(name: str) -> tuple[int, str, bytes]:
    return 200, "text/plain", f"<{name}>".encode()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/plain", 200, "plain"),
        ("/things/a", 200, "<a>"),
        ("/things/a%2Fb%20%C3%A9%25?x=/y", 200, "<a/b é%>"),
        ("/things/a+b", 200, "<a+b>"),
        ("/things/%FF", 400, "%FF is not UTF-8 with %XX in it\n"),
        ("/things/", 404, "there is no /things/; there are /plain, /things/NAME\n"),
        ("/things", 404, "there is no /things; there are /plain, /things/NAME\n"),
        ("/things/a/b", 404, "there is no /things/a/b; there are /plain, /things/NAME\n"),
    ],
)
def test_names(path: str, status: int, body: str) -> None:
    assert run(asked(path)) == (status, body)


async def asked(path: str) -> tuple[int, str]:
    server = HttpServer({"/plain": plain}, {"/things": named})
    where = await server.listen("127.0.0.1", 0)

    def get() -> tuple[int, str]:
        link = http.client.HTTPConnection(*where, timeout=5)
        link.request("GET", path)
        answer = link.getresponse()
        found = answer.status, answer.read().decode()
        link.close()
        return found

    try:
        return await asyncio.to_thread(get)
    finally:
        await server.close()
