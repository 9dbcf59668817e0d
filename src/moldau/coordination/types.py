"""The types of groups that this release knows. The kinds of their records (`GroupRecord.kind`) are theirs for ever:

1         classic
2 - 9     consumer
10 - 19   share
20 - 29   streams
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .group_type import GroupType
    from .surroundings import Surroundings


_MODERN: dict[str, tuple[range, str]] = {
    "consumer": (range(2, 10), "moldau.coordination.consumer.type:ConsumerType"),
    "share": (range(10, 20), "moldau.coordination.share.type:ShareType"),
    "streams": (range(20, 30), "moldau.coordination.streams.type:StreamsType"),
}
"""All but the classic one, which needs nothing of what is around it. They are imported when the first of their groups or requests comes: a
broker without such groups starts without them.
"""


MODERN_NAMES = tuple(_MODERN)


def modern_class(name: str) -> type[GroupType]:
    """Imported now, if it was not yet."""
    module, _, attribute = _MODERN[name][1].partition(":")
    found: type[GroupType] = getattr(import_module(module), attribute)
    return found


def modern_type(name: str, around: Surroundings) -> GroupType:
    made: GroupType = modern_class(name)(around)  # type: ignore[call-arg]
    return made


def type_of_kind(kind: int) -> str | None:
    """Whose records are of that kind."""
    return next((name for name, (kinds, _) in _MODERN.items() if kind in kinds), None)
