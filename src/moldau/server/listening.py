"""Sockets of a listener: every address that its host means, all on one port.

A client that is told `localhost` may try ::1 first (librdkafka does), so a host that is a name is bound on all addresses it resolves
to, of both families. A family that the machine does not have is left out, as long as one address is left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence

log = logging.getLogger(__name__)

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""Family and socket address."""

_TRIES = 8
"""How often another free port is looked for, when the one that was free on one address is taken on the next."""
_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


async def bind_all(host: str, port: int) -> list[socket.socket]:
    """Bound sockets, not listening yet; all have the same port, a free one for 0. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses: list[Address] = []
    for family, _, _, _, address in found:
        if family in (socket.AF_INET, socket.AF_INET6) and (family, address) not in addresses:
            addresses.append((family, address))  # type: ignore[arg-type]
    for left in reversed(range(_TRIES)):
        try:
            return bind_addresses(addresses, port)
        except OSError as error:
            if port or not left or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("the last try raises")


def bind_addresses(addresses: Sequence[Address], port: int) -> list[socket.socket]:
    """A socket for each; for port 0 the first one's port serves all. Raises OSError when none can be had, or one is in use."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                link = _bind(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY or len(addresses) == 1:
                    raise
                log.info("event=address_left_out address=%s error=%s", address[0], error.strerror)
                missing = error
                continue
            sockets.append(link)
            port = port or link.getsockname()[1]
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, "the host has no address of this machine")
    except BaseException:
        for link in sockets:
            link.close()
        raise
    return sockets


def _bind(family: int, address: tuple[object, ...]) -> socket.socket:
    link = socket.socket(family, socket.SOCK_STREAM)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        link.setblocking(False)
        link.bind(address)
    except BaseException:
        link.close()
        raise
    return link
