"""Ports for servers that come back where they were: below those that the system gives to outgoing connections, any of which would be in the way of a restart."""

from __future__ import annotations

import socket
from random import SystemRandom

LOWEST, HIGHEST = 12_000, 32_000
_draw = SystemRandom()
"""Not `random`: its seed is that of the test, and so the same in processes that test beside each other."""
_given: set[int] = set()


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens on now, and that was not given before."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many in a row."""
    for _ in range(1000):
        first = _draw.randrange(LOWEST, HIGHEST - count)
        wanted = range(first, first + count)
        if _given.isdisjoint(wanted) and all(map(_is_free, wanted)):
            _given.update(wanted)
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
