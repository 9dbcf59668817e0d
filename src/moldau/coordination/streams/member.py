"""A member of a streams group: one thread of the application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moldau.coordination.decision import NEVER

from .endpoints import Endpoint
from .events import LEAVING_FOR_A_WHILE, StreamsHeartbeat
from .reconcile import STABLE, UNREVOKED_TASKS, Step
from .tasks import Assignment, Held


class StreamsMember:
    """What is known of a member. All but the last group of attributes survives a restart."""

    __slots__ = (
        "assigned",
        "client_host",
        "client_id",
        "client_tags",
        "endpoint",
        "instance_id",
        "member_epoch",
        "member_id",
        "previous_epoch",
        "process_id",
        "rack_id",
        "rebalance_deadline",
        "rebalance_timeout_ms",
        "revoking",
        "session_deadline",
        "state",
        "target",
        "topology_epoch",
    )

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        self.instance_id: str | None = None
        self.rack_id: str | None = None
        self.client_id = ""
        self.client_host = ""
        self.process_id = ""
        self.endpoint: Endpoint | None = None
        self.client_tags: Mapping[str, str] = {}
        self.rebalance_timeout_ms = -1
        self.topology_epoch = -1

        self.member_epoch = 0
        self.previous_epoch = 0
        self.state = STABLE
        self.assigned = Held()
        self.revoking = Held()
        """Tasks it was told to give up and has not yet."""
        self.target = Assignment()

        self.session_deadline = NEVER
        self.rebalance_deadline = NEVER

    def metadata(self) -> tuple[Any, ...]:
        """What the member says of itself; when it changes, tasks may have to be dealt anew."""
        return (
            self.instance_id,
            self.rack_id,
            self.client_id,
            self.client_host,
            self.process_id,
            self.endpoint,
            self.client_tags,
            self.rebalance_timeout_ms,
            self.topology_epoch,
        )

    def durable(self) -> tuple[Any, ...]:
        return (*self.metadata(), *self.progress(), self.target)

    def progress(self) -> tuple[Any, ...]:
        return self.member_epoch, self.previous_epoch, self.state, self.assigned, self.revoking

    def copy(self, member_id: str | None = None) -> StreamsMember:
        """A draft of what the member becomes. Values are shared and never changed."""
        draft = StreamsMember(member_id or self.member_id)
        for name in self.__slots__:
            if name != "member_id":
                setattr(draft, name, getattr(self, name))
        return draft

    def take(self, event: StreamsHeartbeat) -> None:
        """What the heartbeat says of the member."""
        self.client_id, self.client_host = event.client_id, event.client_host
        if event.instance_id is not None:
            self.instance_id = event.instance_id
        if event.rack_id is not None:
            self.rack_id = event.rack_id
        if event.rebalance_timeout_ms != -1:
            self.rebalance_timeout_ms = event.rebalance_timeout_ms
        if event.topology is not None:
            self.topology_epoch = event.topology.epoch
        if event.process_id is not None:
            self.process_id = event.process_id
        if event.endpoint is not None:
            self.endpoint = event.endpoint
        if event.client_tags is not None:
            self.client_tags = dict(event.client_tags)

    @property
    def step(self) -> Step:
        return Step(self.state, self.member_epoch, self.assigned, self.revoking)

    def walk(self, step: Step) -> None:
        self.previous_epoch = self.member_epoch
        self.member_epoch = step.member_epoch
        self.state, self.assigned, self.revoking = step.state, step.assigned, step.revoking

    def is_reconciled_to(self, assignment_epoch: int) -> bool:
        return self.state == STABLE and self.member_epoch == assignment_epoch

    @property
    def is_away(self) -> bool:
        """A static member that will be back."""
        return self.member_epoch == LEAVING_FOR_A_WHILE

    def carry_over(self, old: StreamsMember | None, now: int, session_timeout_ms: int) -> None:
        """Take over from `old` what lives in memory only. A member that was not known before has a whole session before it."""
        if old is None:
            self.session_deadline = now + session_timeout_ms
        else:
            self.session_deadline = old.session_deadline
        if self.state != UNREVOKED_TASKS:
            self.rebalance_deadline = NEVER
        elif old is not None and old.state == UNREVOKED_TASKS and old.member_epoch == self.member_epoch:
            self.rebalance_deadline = old.rebalance_deadline
        else:
            self.rebalance_deadline = now + max(self.rebalance_timeout_ms, 0)

    def __repr__(self) -> str:
        return f"StreamsMember({self.member_id!r}, epoch={self.member_epoch}, {self.state})"
