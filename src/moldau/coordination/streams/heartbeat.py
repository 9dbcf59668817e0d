"""A member joins or goes on (Kafka's GroupMetadataManager.streamsGroupHeartbeat).

Five steps: the member as it says it is; the topology; the topics that the topology needs; the targets, when the group's epoch has risen
above that of the last ones; and one step of this member towards its target.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from moldau.coordination.decision import Decision
from moldau.protocol.error_codes import INVALID_REQUEST, NONE, STREAMS_INVALID_TOPOLOGY

from . import admission, description
from .configure import ConfiguredTopology
from .draft import Draft
from .endpoints import EndpointPartitions, partitions_behind
from .events import JOINING, Refused, StreamsHeartbeat, StreamsReply
from .group import StreamsGroup
from .member import StreamsMember
from .reconcile import step
from .settings import Settings
from .status import ASSIGNMENT_DELAYED, MISSING_CLIENT_TAGS, SHUTDOWN_APPLICATION, STALE_TOPOLOGY, Status
from .tasks import Assignment, TaskId
from .topology import InvalidTopology, Topology

log = logging.getLogger(__name__)


def heartbeat(group: StreamsGroup, event: StreamsHeartbeat, now: int, out: Decision) -> None:
    try:
        reply = _heartbeat(group, event, now, out)
    except Refused as refused:
        reply = StreamsReply(refused.error_code, refused.message)
    except InvalidTopology as invalid:
        reply = StreamsReply(STREAMS_INVALID_TOPOLOGY, str(invalid))
    if reply.error_code != NONE:
        out.records.clear()
        log.debug("group=%s member=%s refused reason='%s'", group.group_id, event.member_id, reply.error_message)
    out.reply(event.ticket, reply)


def _heartbeat(group: StreamsGroup, event: StreamsHeartbeat, now: int, out: Decision) -> StreamsReply:
    settings = group.settings
    draft = Draft(group)
    before, is_new = admission.find(draft, event, group.max_size)
    member = before.copy()
    member.take(event)
    changed = is_new or member.metadata() != before.metadata()
    if changed or draft.replaced is not None:
        draft.put(member)
    status: list[Status] = []

    draft.topology = topology = _topology(group, event)
    if group.topology is not None and member.topology_epoch < topology.epoch:
        detail = f"The member's topology epoch {member.topology_epoch} is behind the group's topology epoch {topology.epoch}."
        status.append(Status(STALE_TOPOLOGY, detail))
    configured, metadata_hash = group.look(topology)
    if configured.is_ready:
        _check_tasks(configured, event.owned)

    header = group.header
    validated = topology.epoch if configured.is_ready else -1
    facts = (metadata_hash, validated, settings.of_assignor())
    if changed or facts != (header.metadata_hash, header.validated_epoch, header.settings):
        epoch = header.group_epoch + 1
        draft.header = header._replace(
            group_epoch=epoch, metadata_hash=facts[0], validated_epoch=facts[1], settings=facts[2]
        )
        log.info(
            "group=%s epoch=%d member=%s topology_ready=%s",
            group.group_id,
            epoch,
            member.member_id,
            configured.is_ready,
        )

    _report(group, event, configured)
    if group.waits_for_members(now):
        status.append(Status(ASSIGNMENT_DELAYED, "Assignment delayed due to the configured initial rebalance delay."))
        wanted = Assignment()
    else:
        _deal(draft, configured, settings, now, status)
        member = draft.get(member.member_id)
        wanted = member.target
    epoch = draft.header.assignment_epoch
    if not member.is_reconciled_to(epoch):
        reached = step(member.step, epoch, wanted, event.owned, member.process_id, group.owners)
        if reached != member.step:
            member = member.copy()
            member.walk(reached)
            draft.put(member)
    draft.write(out)

    known = group.members.get(member.member_id)
    if known is not None:
        group.touch(known, now)
    if event.shutdown_application and group.shutdown_by is None:
        group.shutdown_by = member.member_id
        log.info("group=%s member=%s asked for the application to stop", group.group_id, member.member_id)
    status += _more_status(group, member, configured, settings)
    reply = _reply(group, event, before, member, configured, settings, status)
    reply.asks_for_description = description.asks(group, event, member, now)
    return reply


def _topology(group: StreamsGroup, event: StreamsHeartbeat) -> Topology:
    """The topology that counts. A group keeps the one that its first member brought; who brings an older one is told that it is stale."""
    known, brought = group.topology, event.topology
    if brought is None:
        if known is None:
            raise Refused(INVALID_REQUEST, f"Group {group.group_id} has no topology. The member must rejoin with one.")
        return known
    if known is None:
        return brought
    if known.epoch <= brought.epoch and known != brought:
        raise Refused(INVALID_REQUEST, "Topology updates are not supported yet.")
    return known


def _check_tasks(configured: ConfiguredTopology, owned: Assignment | None) -> None:
    parts = configured.subtopologies or {}
    for name, partition in sorted(owned.active | owned.standby | owned.warmup) if owned else ():
        part = parts.get(name)
        if part is None:
            raise Refused(INVALID_REQUEST, f"Subtopology {name} does not exist in the topology.")
        if not 0 <= partition < part.tasks:
            raise Refused(
                INVALID_REQUEST,
                f"Task {partition} for subtopology {name} is invalid. Number of tasks for this subtopology: {part.tasks}",
            )


def _report(group: StreamsGroup, event: StreamsHeartbeat, configured: ConfiguredTopology) -> None:
    """How far the member's tasks are, for the next time that tasks are dealt. What is no task is not kept."""
    if event.offsets is not None:
        group.reported[event.member_id] = _of_tasks(event.offsets, configured)
    if event.end_offsets is not None:
        group.reported_ends[event.member_id] = _of_tasks(event.end_offsets, configured)


def _of_tasks(offsets: Mapping[TaskId, int], configured: ConfiguredTopology) -> dict[TaskId, int]:
    counts = {name: part.tasks for name, part in (configured.subtopologies or {}).items()}
    return {task: offset for task, offset in offsets.items() if 0 <= task[1] < counts.get(task[0], 0)}


def _deal(draft: Draft, configured: ConfiguredTopology, settings: Settings, now: int, status: list[Status]) -> None:
    header = draft.header
    if header.assignment_epoch >= header.group_epoch:
        return
    interval = settings.assignment_interval_ms
    if header.assigned_at and interval and now < header.assigned_at + interval:
        status.append(Status(ASSIGNMENT_DELAYED, "Assignment delayed due to the configured assignment interval."))
        return
    draft.deal(configured, settings, now)


def _more_status(
    group: StreamsGroup, member: StreamsMember, configured: ConfiguredTopology, settings: Settings
) -> list[Status]:
    found = []
    if configured.status is not None:
        found.append(configured.status)
    if group.shutdown_by is not None:
        detail = f"Streams group member {group.shutdown_by} encountered a fatal error and requested a shutdown for the entire application."
        found.append(Status(SHUTDOWN_APPLICATION, detail))
    if absent := [tag for tag in settings.rack_aware_tags if tag not in member.client_tags]:
        detail = f"The member has no value for the client tags {', '.join(absent)} of rack.aware.assignment.tags."
        found.append(Status(MISSING_CLIENT_TAGS, detail))
    return found


def _reply(
    group: StreamsGroup,
    event: StreamsHeartbeat,
    before: StreamsMember,
    member: StreamsMember,
    configured: ConfiguredTopology,
    settings: Settings,
    status: list[Status],
) -> StreamsReply:
    assignment = None
    if event.member_epoch == JOINING or member.assigned != before.assigned or _has_missed(event, member):
        held = member.assigned
        assignment = Assignment(frozenset(held.active), held.standby, held.warmup)
        if member.endpoint is not None:
            group.endpoint_epoch += 1
    endpoints = None
    if group.endpoint_epoch != event.endpoint_epoch:
        endpoints = _endpoints(group, member, configured)
    return StreamsReply(
        NONE,
        member_id=member.member_id,
        member_epoch=member.member_epoch,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        task_offset_interval_ms=settings.task_offset_interval_ms,
        status=status,
        assignment=assignment,
        endpoint_epoch=group.endpoint_epoch if group.persisted else 0,
        endpoints=endpoints,
        missing=configured.missing,
    )


def _has_missed(event: StreamsHeartbeat, member: StreamsMember) -> bool:
    """Whether an answer with tasks may have been lost: clients send everything anew after a failure, and name what they run."""
    owned = event.owned
    if owned is None:
        return False
    held = member.assigned
    return event.rebalance_timeout_ms != -1 or not (
        held.active.keys() <= owned.active and held.standby <= owned.standby and held.warmup <= owned.warmup
    )


def _endpoints(group: StreamsGroup, member: StreamsMember, configured: ConfiguredTopology) -> list[EndpointPartitions]:
    others = [other for other in group.members.values() if other.member_id != member.member_id]
    return [
        partitions_behind(each.endpoint, each.assigned, configured.subtopologies or {}, group.partition_count)
        for each in (*others, member)
        if each.endpoint is not None
    ]
