"""As `consumer_playbook`, for share groups."""

from __future__ import annotations

from typing import Any

from consumer_playbook import ConsumerPlaybook, written
from playbook import GROUP

from moldau.coordination.share.events import ShareHeartbeat, ShareReply
from moldau.protocol import error_codes


class Sharing(ConsumerPlaybook):
    """`share("a", 0, "t")` is a heartbeat; without topics it says nothing of them."""

    def __init__(self, settings: dict[str, Any] | None = None, **topics: int) -> None:
        settings = {
            "group.share.max.size": 1000,
            "group.share.assignors": ("simple",),
            "share.session.timeout.ms": 45_000,
            "share.heartbeat.interval.ms": 5_000,
            "share.assignment.interval.ms": 0,
            "share.assignor.offload.enable": True,
            **(settings or {}),
        }
        super().__init__(settings, None, **topics)

    def share(self, name: str, epoch: int, *topics: str) -> Sharing:
        self.hand_in("", name, ShareHeartbeat(GROUP, name, epoch, None, topics or None, name, "/h"))
        return self

    def told(self, reply: Any) -> str:
        if not isinstance(reply, ShareReply):
            return super().told(reply)
        if reply.error_code:
            return error_codes.name(reply.error_code)
        assigned = "" if reply.assignment is None else f" {written(reply.assignment)}"
        return f"epoch {reply.member_epoch}{assigned}"
