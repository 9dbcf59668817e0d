"""The rows of share-partitions: how far a share group is in a partition, and who may say so."""

from __future__ import annotations

from typing import NamedTuple


class ShareKey(NamedTuple):
    """What names a share-partition."""

    group: str
    topic_id: bytes
    partition: int


class ShareRow(NamedTuple):
    """A share-partition. `owner_epoch` rises with each broker that takes it over, and with each change by an administrator: who writes under
    an older one is refused. `state_epoch` rises with changes by an administrator. `state` is packed (`moldau.coordination.share.packed`);
    `final_count` says how many offsets from `start_offset` on are done with.
    """

    group: str
    topic_id: bytes
    partition: int
    owner_epoch: int
    state_epoch: int
    leader_epoch: int
    start_offset: int
    final_count: int
    state: bytes

    @property
    def key(self) -> ShareKey:
        return ShareKey(self.group, self.topic_id, self.partition)
