"""What members of consumer, share and streams groups have in common."""

from __future__ import annotations

from struct import Struct
from typing import Any, ClassVar, Self

from moldau.coordination.decision import NEVER
from moldau.coordination.packing import Reader, put_text

JOIN_EPOCH = 0
"""The epoch of who wants to become a member."""
LEAVE_EPOCH = -1
STATIC_LEAVE_EPOCH = -2
"""A static member goes and will be back: its place is kept for the session timeout."""

_NUMBERS = Struct(">iii")


class ModernMember:
    """A member as it is stored; a change makes another one (`but`). Two are equal when what is stored of them is.

    The epochs are those of KIP-848: `member_epoch` is the assignment epoch that the member has come to, `previous_member_epoch` the one
    before, which it may still name when the answer was lost. The deadlines live in memory only; a member that is loaded has new ones.
    A subclass adds its own attributes to `durable`, in the order of its constructor's keywords.
    """

    __slots__ = (
        "client_host",
        "client_id",
        "instance_id",
        "member_epoch",
        "member_id",
        "previous_member_epoch",
        "rack_id",
        "rebalance_deadline",
        "rebalance_timeout_ms",
        "session_deadline",
    )

    durable: ClassVar[tuple[str, ...]] = (
        "member_id",
        "instance_id",
        "rack_id",
        "client_id",
        "client_host",
        "rebalance_timeout_ms",
        "member_epoch",
        "previous_member_epoch",
    )
    """Names of the attributes that are stored, which the constructor takes."""

    def __init__(
        self,
        member_id: str,
        *,
        instance_id: str | None = None,
        rack_id: str | None = None,
        client_id: str = "",
        client_host: str = "",
        rebalance_timeout_ms: int = -1,
        member_epoch: int = JOIN_EPOCH,
        previous_member_epoch: int = -1,
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.rack_id = rack_id
        self.client_id = client_id
        self.client_host = client_host
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.member_epoch = member_epoch
        self.previous_member_epoch = previous_member_epoch
        self.session_deadline = NEVER
        """When the member counts as gone unless it is heard of."""
        self.rebalance_deadline = NEVER
        """When it counts as gone unless it has given up what it was asked to."""

    def but(self, **changes: Any) -> Self:
        """The member with these attributes changed, and no deadlines: `ModernGroup.put` sets them."""
        values = {name: getattr(self, name) for name in self.durable}
        values.update(changes)
        return type(self)(values.pop("member_id"), **values)

    def at_epoch(self, epoch: int, **changes: Any) -> Self:
        """As `but`, in that epoch; the one it had becomes the previous one."""
        if epoch != self.member_epoch:
            changes.update(member_epoch=epoch, previous_member_epoch=self.member_epoch)
        return self.but(**changes)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.durable)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.durable)})"


def put_member(out: bytearray, member: ModernMember) -> None:
    """The common part of a member's record.

    member id string, instance id, rack id nullable strings, client id, client host strings; rebalance timeout (ms), member epoch and
    previous member epoch int32.
    """
    for text in (member.member_id, member.instance_id, member.rack_id, member.client_id, member.client_host):
        put_text(out, text)
    out += _NUMBERS.pack(member.rebalance_timeout_ms, member.member_epoch, member.previous_member_epoch)


def read_member(reader: Reader) -> dict[str, Any]:
    """The keywords for a member's constructor."""
    values: dict[str, Any] = {
        "member_id": reader.string(),
        "instance_id": reader.text(),
        "rack_id": reader.text(),
        "client_id": reader.string(),
        "client_host": reader.string(),
    }
    values["rebalance_timeout_ms"], values["member_epoch"], values["previous_member_epoch"] = reader.unpack(_NUMBERS)
    return values
