"""Waiting for many things that ask a store: together, so that their questions travel together, but not all of thousands at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 256


async def gather(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results in their order. `work` is taken as it comes, `AT_ONCE` at a time. Raises what the first one raises that fails."""
    results: list[T] = []
    rest = iter(work)
    while portion := list(islice(rest, AT_ONCE)):
        results += [await portion[0]] if len(portion) == 1 else await asyncio.gather(*portion)
    return results
