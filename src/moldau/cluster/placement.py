"""Which brokers a partition is shown on: rendezvous hashing (Thaler and Ravishankar, 1998).

Each broker has a score for each key; the broker with the highest score comes first. When a broker comes or goes only the keys it
wins or loses move, and every broker computes the same order from the same members, without talking.
"""

from __future__ import annotations

from collections.abc import Iterable

_MASK = (1 << 64) - 1


def _mix(value: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def score(key: int, node_id: int) -> int:
    """How much a broker is wanted for a key; 64 bits."""
    return _mix((key * 0x9E3779B97F4A7C15 + (node_id + 1) * 0xD1B54A32D192ED03) & _MASK)


def order(key: int, node_ids: Iterable[int]) -> list[int]:
    """The brokers by falling score."""
    return sorted(node_ids, key=lambda node_id: (-score(key, node_id), node_id))


def spread(first: int, others: list[int], racks: dict[int, str | None], count: int) -> list[int]:
    """`first` and the next of `others`, those of racks not yet taken before the rest: `count` at most."""
    taken, seen, rest = [first], {racks.get(first)}, []
    for node_id in others:
        rack = racks.get(node_id)
        if rack is None or rack in seen:
            rest.append(node_id)
        else:
            seen.add(rack)
            taken.append(node_id)
    return (taken + rest)[:count]
