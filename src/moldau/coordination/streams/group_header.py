"""What a streams group knows beside its members and its topology."""

from __future__ import annotations

from typing import NamedTuple


class GroupHeader(NamedTuple):
    """`group_epoch` rises whenever tasks may have to be dealt anew; `assignment_epoch` is the one that the targets are of."""

    group_epoch: int = 1
    assignment_epoch: int = 1
    assigned_at: int = 0
    """When targets were computed; 0 never."""
    metadata_hash: int = 0
    """Of the topics that the topology needs, as they were when tasks were dealt."""
    validated_epoch: int = 0
    """The epoch of the topology whose topics were all there; -1 none."""
    settings: tuple[tuple[str, str], ...] = ()
    """What the assignor was told."""
