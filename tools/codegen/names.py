"""Kafka's names as Python spells them."""

from __future__ import annotations

import keyword
import re

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """`TopicId` and `topicId` become `topic_id`; a Python keyword gets a trailing underscore."""
    text = _BOUNDARY.sub("_", name).lower()
    return f"{text}_" if keyword.iskeyword(text) else text


def constant(name: str) -> str:
    """`OffsetForLeaderEpoch` becomes `OFFSET_FOR_LEADER_EPOCH`."""
    return snake(name).upper()
