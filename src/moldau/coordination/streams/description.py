"""Descriptions of topologies (KIP-1331): for people who ask what an application looks like.

In Kafka a plug-in keeps them; here they are records of the group. One member at a time is asked, until one has sent it.
"""

from __future__ import annotations

from moldau.coordination.decision import NEVER, Decision
from moldau.protocol.error_codes import (
    INVALID_REQUEST,
    NONE,
    STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED,
    UNKNOWN_MEMBER_ID,
)

from .events import StreamsHeartbeat, StreamsReply, TopologyDescription
from .group import StreamsGroup
from .member import StreamsMember

BYTES_MAX = 256 * 1024
"""A larger description is refused, and not asked for again."""
ASK_AGAIN_MS = 60_000
"""How long a member that was asked has time, before another one is."""


def asks(group: StreamsGroup, event: StreamsHeartbeat, member: StreamsMember, now: int) -> bool:
    """Whether this member shall describe the topology; nobody else is asked for a while then."""
    topology = group.topology
    if (
        topology is None
        or not event.describes
        or member.topology_epoch != topology.epoch
        or now < group.ask_description_at
    ):
        return False
    if group.description is not None and group.description[0] == topology.epoch:
        return False
    group.ask_description_at = now + ASK_AGAIN_MS
    return True


def take(group: StreamsGroup, event: TopologyDescription, out: Decision) -> None:
    reply = StreamsReply(NONE)
    if event.member_id not in group.members:
        text = f"Member {event.member_id} is not a member of group {group.group_id}."
        reply = StreamsReply(UNKNOWN_MEMBER_ID, text)
    elif group.topology is None or event.topology_epoch != group.topology.epoch:
        text = (
            f"The description is of topology epoch {event.topology_epoch}, which is not that of group {group.group_id}."
        )
        reply = StreamsReply(INVALID_REQUEST, text)
    elif len(event.description) > BYTES_MAX:
        group.ask_description_at = NEVER
        text = f"The description has {len(event.description)} bytes, at most {BYTES_MAX} are kept."
        reply = StreamsReply(STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED, text)
    else:
        out.records.append(group.description_record(event.topology_epoch, event.description))
    out.reply(event.ticket, reply)
