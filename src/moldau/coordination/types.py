"""The types of groups that this release knows. The kinds of their records (`GroupRecord.kind`) are theirs for ever:

1         classic
2 - 9     consumer
10 - 19   share
20 - 29   streams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .group_type import GroupType
    from .surroundings import Surroundings


def modern_types(around: Surroundings) -> list[GroupType]:
    """All but the classic one, which needs nothing of what is around it."""
    from .consumer.type import ConsumerType
    from .share.type import ShareType
    from .streams.type import StreamsType

    return [ConsumerType(around), ShareType(around), StreamsType(around)]
