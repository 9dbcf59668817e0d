"""What the commits of one member have in common, when they differ in nothing but offsets and time."""

from __future__ import annotations

from moldau.metadata.commit_notes import CommitLayout

from .events import OffsetCommit
from .offsets import commit_rows
from .value import Value


class CommitForm(Value):
    """`event` is one of the commits, by which all of them are judged; `layout` is how they are written."""

    __slots__ = ("event", "layout")

    def __init__(self, event: OffsetCommit, layout: CommitLayout) -> None:
        self.event = event
        self.layout = layout

    @classmethod
    def of(cls, event: OffsetCommit) -> CommitForm | None:
        """None for what has more to differ in: metadata, or a retention of its own."""
        if event.retention_ms >= 0 or event.transactional or any(metadata for *_, metadata in event.offsets):
            return None
        rows, _ = commit_rows(event, 0)
        return cls(event, CommitLayout(rows))
