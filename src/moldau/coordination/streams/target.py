"""Tasks are dealt anew: a target for every member."""

from __future__ import annotations

from collections.abc import Mapping

from .assignor import MemberSpec, assign
from .configure import ConfiguredTopology
from .member import StreamsMember
from .settings import Settings
from .tasks import Assignment, TaskId


def deal(
    members: Mapping[str, StreamsMember],
    configured: ConfiguredTopology,
    settings: Settings,
    reported: Mapping[str, Mapping[TaskId, int]],
) -> list[StreamsMember]:
    """A draft of each member whose target is another one now. While topics are missing nobody has tasks."""
    if configured.is_ready:
        specs = {
            member_id: MemberSpec(member.process_id, member.target, member.client_tags, reported.get(member_id))
            for member_id, member in members.items()
        }
        targets = assign(
            specs,
            configured.tasks(stateful=True),
            configured.tasks(stateful=False),
            standby_replicas=settings.standby_replicas,
            rack_aware_tags=settings.rack_aware_tags,
        )
    else:
        targets = {member_id: Assignment() for member_id in members}
    drafts = []
    for member_id, target in targets.items():
        member = members[member_id]
        if member.target != target:
            draft = member.copy()
            draft.target = target
            drafts.append(draft)
    return drafts
