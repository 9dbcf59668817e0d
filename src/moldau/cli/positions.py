"""Where to begin and where to stop: the texts of ``--from`` and ``--until``, and what they mean in a partition.

======================  ==================================================================================
``beginning``, ``end``  the first record there is; after the last one
``1234``                that offset
``-10``                 ten records before the end
``+10``                 ten records after the beginning
``@TIME``               the first record at or after TIME: seconds or milliseconds since 1970, an ISO 8601
                        date or time (local unless it names a zone), ``now``, or ``-5m`` (that long ago)
======================  ==================================================================================

Pure: the time of day comes as an argument.
"""

import re
from datetime import datetime
from enum import Enum
from typing import Final

# Below this a number is seconds since 1970 (until the year 5138), from here milliseconds (from March 1973).
_FIRST_MS: Final = 100_000_000_000
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_LOOKS_LIKE_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Kind(Enum):
    """What `Position.value` counts."""

    BEGINNING = "records after the beginning"
    END = "records before the end"
    OFFSET = "an offset"
    TIME = "milliseconds since 1970"


class Position:
    """A place in any partition, not yet an offset."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: Kind, value: int = 0) -> None:
        self.kind = kind
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and (self.kind, self.value) == (other.kind, other.value)

    def __hash__(self) -> int:
        return hash((self.kind, self.value))

    def __repr__(self) -> str:
        return f"Position({self.kind.name}, {self.value})"

    def offset(self, beginning: int, end: int, at_time: int | None = None) -> int:
        """The offset in a partition that holds offsets from `beginning` up to, not including, `end`.

        `at_time` is the first offset at or after the time of a TIME position, None where there is none. A place
        outside of what the partition holds moves to its nearer edge, except an offset beyond the end, which stays:
        it can still come.
        """
        if self.kind is Kind.BEGINNING:
            return min(beginning + self.value, max(end, beginning))
        if self.kind is Kind.END:
            return max(end - self.value, beginning)
        if self.kind is Kind.OFFSET:
            return max(self.value, beginning)
        return end if at_time is None or at_time < 0 else at_time


def parse_position(text: str, now_ms: int) -> Position:
    """The position that `text` describes; ValueError with a sentence for people where it describes none."""
    stripped = text.strip()
    name = stripped.casefold()
    if name in ("beginning", "earliest", "start"):
        return Position(Kind.BEGINNING)
    if name in ("end", "latest"):
        return Position(Kind.END)
    if re.fullmatch(r"\d+", stripped):
        return Position(Kind.OFFSET, int(stripped))
    if re.fullmatch(r"-\d+", stripped):
        return Position(Kind.END, int(stripped[1:]))
    if re.fullmatch(r"\+\d+", stripped):
        return Position(Kind.BEGINNING, int(stripped[1:]))
    if stripped.startswith("@"):
        return Position(Kind.TIME, parse_time(stripped[1:], now_ms))
    if _LOOKS_LIKE_DATE.match(stripped):
        return Position(Kind.TIME, parse_time(stripped, now_ms))
    raise ValueError(f"{text!r} is no position: give beginning, end, an offset, -N, +N, or @TIME")


def parse_time(text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of a moment as people write it; ValueError with a sentence where it is none."""
    stripped = text.strip()
    if stripped.casefold() == "now":
        return now_ms
    if stripped.startswith("-"):
        return now_ms - parse_duration(stripped[1:])
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        number = float(stripped)
        return int(stripped) if number >= _FIRST_MS and "." not in stripped else round(number * 1000)
    try:
        moment = datetime.fromisoformat(stripped)
        if moment.tzinfo is None:
            moment = moment.astimezone()
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: give seconds or milliseconds since 1970, an ISO time such as "
            "2026-03-01T12:00:00Z, 'now', or -5m for five minutes ago"
        ) from None


def parse_duration(text: str) -> int:
    """Milliseconds of ``90s``, ``1h30m``, ``2d``; ValueError with a sentence where it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: give a number and ms, s, m, h, d or w, such as 1h30m")
    return round(sum(float(number) * _UNIT_MS[unit] for number, unit in parts))
