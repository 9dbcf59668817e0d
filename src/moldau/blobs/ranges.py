"""Which requests answer many ranges of one blob: neighbours together, as long as little is read in vain. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def coalesce(ranges: Sequence[tuple[int, int]], gap_bytes: int, length_max: int) -> list[tuple[int, int, list[int]]]:
    """(position, length, indexes into `ranges`) of each request.

    `ranges` are (position, length) in any order; empty ones are in no request. Ranges with at most `gap_bytes` between them share one, up to
    `length_max`; a single range may be longer.
    """
    found: list[tuple[int, int, list[int]]] = []
    for index in sorted((index for index, each in enumerate(ranges) if each[1]), key=lambda index: ranges[index]):
        position, length = ranges[index]
        if found:
            start, so_far, members = found[-1]
            end = max(start + so_far, position + length)
            near = position <= start + so_far + gap_bytes and end - start <= length_max
            if near or end == start + so_far:
                members.append(index)
                found[-1] = (start, end - start, members)
                continue
        found.append((position, length, [index]))
    return found
