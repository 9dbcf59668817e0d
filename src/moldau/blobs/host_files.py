"""Blobs in the folder of a data directory that the workers of one host share.

As `moldau.blobs.shared_files`; and `DIR/hold` (`moldau.blobs.hold`) is looked at before each deletion, so that `moldau backup` can copy the folder
while workers serve. Without `syncs` (data that go with the broker) nothing is ever synced.
"""

from __future__ import annotations

from pathlib import Path

from .hold import Deletions
from .shared_files import SharedFiles


class HostFiles(SharedFiles):
    """See `moldau.blobs.ports.BlobStore`. Made by `open`."""

    def __init__(self, folder: Path, *, syncs: bool = True) -> None:
        super().__init__(folder)
        self._may_sync = syncs
        self._deletions = Deletions(folder)

    def _delete(self, blob_id: int) -> None:
        with self._deletions.allowed():
            super()._delete(blob_id)
