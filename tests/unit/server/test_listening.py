"""One port on every address that a host means."""

from __future__ import annotations

import errno
import socket

import pytest
from support.aio import run

from moldau.server.listening import bind_addresses, bind_all

V4, V6 = (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0, 0, 0))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as link:
            link.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def ports(sockets: list[socket.socket]) -> set[int]:
    found = {link.getsockname()[1] for link in sockets}
    for link in sockets:
        link.close()
    return found


@ipv6
def test_both_families_share_a_free_port() -> None:
    sockets = bind_addresses([V4, V6], 0)
    assert [link.family for link in sockets] == [socket.AF_INET, socket.AF_INET6]
    assert len(ports(sockets)) == 1


@ipv6
def test_an_ipv6_address() -> None:
    async def body() -> None:
        sockets = await bind_all("::1", 0)
        assert [link.getsockname()[0] for link in sockets] == ["::1"]
        ports(sockets)

    run(body())


def test_localhost_is_every_address_it_resolves_to() -> None:
    async def body() -> None:
        wanted = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        sockets = await bind_all("localhost", 0)
        bound = {link.getsockname()[0] for link in sockets}
        assert "127.0.0.1" in bound
        assert bound == wanted or (not has_ipv6() and bound == wanted - {"::1"})
        assert len(ports(sockets)) == 1

    run(body())


def test_a_family_that_is_not_there_is_left_out() -> None:
    nowhere = (socket.AF_INET, ("192.0.2.1", 0))  # TEST-NET-1: no machine has it
    assert len(ports(bind_addresses([nowhere, V4], 0))) == 1
    with pytest.raises(OSError, match=r".") as caught:
        bind_addresses([nowhere], 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_port_in_use_is_an_error_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r".") as caught:
        bind_addresses([V4], taken.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
