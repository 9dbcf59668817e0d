"""Topics as the broker treats them: names, creation, deletion, growth. Errors are Kafka's codes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError, TopicExists, TopicMissing
from moldau.protocol import error_codes
from moldau.protocol.uuid import random

from .config.errors import InvalidConfig
from .config.topic import validate_topic_configs

if TYPE_CHECKING:
    from moldau.metadata.rows import Assigned

    from .broker import Broker
    from .catalog import Topic

log = logging.getLogger(__name__)

NAME_MAX = 249
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")
INTERNAL = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
"""Kafka keeps its coordinators' state in these; here they do not exist, and nobody may create them."""
PARTITIONS_MAX = 100_000


class TopicError(Exception):
    """A refused operation on a topic."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message


def is_internal(name: str) -> bool:
    """Whether Kafka keeps the name for itself."""
    return name in INTERNAL


def name_error(name: str) -> str | None:
    """What is wrong with a topic name, as Kafka's Topic.validate sees it; None if nothing."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"{name!r} is not allowed"
    if len(name) > NAME_MAX:
        return f"the length of the name, {len(name)}, is above {NAME_MAX}"
    if not _LEGAL.fullmatch(name):
        return f"{name!r} contains characters other than ASCII alphanumerics, '.', '_' and '-'"
    return None


def check_name(name: str) -> None:
    """Raises TopicError."""
    problem = name_error(name)
    if problem is not None:
        raise TopicError(error_codes.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {problem}")


def check_replication_factor(broker: Broker, factor: int) -> None:
    """Raises TopicError. Every replica is shown on a broker of its own."""
    if factor <= 0:
        raise TopicError(
            error_codes.INVALID_REPLICATION_FACTOR, f"a replication factor of at least 1 is expected, {factor} came"
        )
    live = len(broker.members.live)
    if factor > live:
        raise TopicError(
            error_codes.INVALID_REPLICATION_FACTOR,
            f"replication factor {factor} asked for, the cluster has {live} live broker{'s' if live > 1 else ''}",
        )


def check_replicas(broker: Broker, replicas: list[int], factor: int | None) -> None:
    """One partition's manual assignment, as Kafka's ReplicationControlManager checks it; `factor` None: of any size. Raises TopicError."""
    if not replicas:
        text = "a partition is assigned to no broker"
    elif min(replicas) < 0:
        text = f"a partition is assigned to broker {min(replicas)}; ids are at least 0"
    elif len(set(replicas)) < len(replicas):
        twice = next(node_id for node_id in sorted(replicas) if replicas.count(node_id) > 1)
        text = f"a partition is assigned to broker {twice} twice"
    elif unknown := sorted(set(replicas) - set(broker.members.node_ids)):
        text = f"a partition is assigned to broker {unknown[0]}, which is not registered"
    elif factor is not None and len(replicas) != factor:
        text = f"a partition is assigned to {len(replicas)} brokers, the ones before it to {factor}"
    else:
        return
    raise TopicError(error_codes.INVALID_REPLICA_ASSIGNMENT, text)


async def create(
    broker: Broker,
    name: str,
    partitions: int,
    configs: Mapping[str, str | None],
    *,
    replication_factor: int,
    validate_only: bool,
    assigned: Assigned | None = None,
) -> Topic | None:
    """A new topic, or None when it was only validated. Raises TopicError."""
    check_name(name)
    if is_internal(name):
        raise TopicError(error_codes.INVALID_TOPIC_EXCEPTION, f"Topic {name!r} is internal and cannot be created")
    if partitions < 1:
        raise TopicError(error_codes.INVALID_PARTITIONS, f"Number of partitions must be above 0, {partitions} came")
    if partitions > PARTITIONS_MAX:
        raise TopicError(
            error_codes.POLICY_VIOLATION, f"{partitions} partitions asked for, at most {PARTITIONS_MAX} are allowed"
        )
    try:
        validate_topic_configs(configs)
    except InvalidConfig as error:
        raise TopicError(error.error_code, error.message) from error
    taken = {key: value for key, value in configs.items() if value is not None}
    if broker.catalog.shared and (name in broker.catalog.by_name or _collision(broker, name) is not None):
        await _fresh(broker)  # before it is refused
    async with broker.catalog.changing:
        if name in broker.catalog.by_name:
            raise TopicError(error_codes.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        collision = _collision(broker, name)
        if collision is not None:
            raise TopicError(
                error_codes.INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topic: {collision}"
            )
        if validate_only:
            return None
        topic_id = random()
        try:
            row = await broker.topic_store.create_topic(
                topic_id, name, partitions, taken, broker.clock(), replication_factor, assigned
            )
        except TopicExists as error:
            broker.catalog.suspect()
            raise TopicError(error_codes.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.") from error
        except StoreError as error:
            made = broker.catalog.by_id.get(topic_id) if await broker.catalog.looked() else None
            if made is None:
                raise _refused(error) from error
            broker.catalog.made(made.version)
            return made
        topic = broker.catalog.put(row)
        broker.catalog.made(row.version)
        return topic


async def assign(broker: Broker, topic: Topic, assigned: Assigned) -> None:
    """Partitions go to other brokers: at once, since the stores keep the records. Raises TopicError."""
    async with broker.catalog.changing:
        try:
            row = await broker.topic_store.assign_partitions(topic.topic_id, assigned)
        except TopicMissing as error:
            await broker.catalog.looked()
            raise TopicError(error_codes.UNKNOWN_TOPIC_OR_PARTITION, str(error)) from error
        except StoreError as error:
            kept = broker.catalog.assigned
            ids = {topic.partition_ids[index]: to for index, to in assigned.items()}
            if not await broker.catalog.looked() or any(kept.get(each) != to for each, to in ids.items()):
                raise _refused(error) from error
            broker.catalog.made(topic.version)
            return
        broker.catalog.put(row)
        broker.catalog.made(row.version)


async def _fresh(broker: Broker) -> None:
    """Raises TopicError."""
    try:
        await broker.catalog.fresh()
    except StoreError as error:
        raise _refused(error) from error


def _refused(error: StoreError) -> TopicError:
    return TopicError(error_codes.KAFKA_STORAGE_ERROR, str(error))


async def named(broker: Broker, name: str) -> Topic:
    """The topic, which another broker may have made a moment ago. Raises TopicError."""
    if not broker.catalog.knows(name):
        await _fresh(broker)
    topic = broker.catalog.by_name.get(name)
    if topic is None:
        raise TopicError(error_codes.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name!r}")
    return topic


async def of_id(broker: Broker, topic_id: bytes) -> Topic:
    """As `named`. Raises TopicError."""
    if not broker.catalog.knows(topic_id):
        await _fresh(broker)
    topic = broker.catalog.by_id.get(topic_id)
    if topic is None:
        raise TopicError(error_codes.UNKNOWN_TOPIC_ID, "no topic has this id")
    return topic


def _collision(broker: Broker, name: str) -> str | None:
    """Kafka's metrics cannot tell '.' from '_', so it refuses names that differ in nothing else."""
    if "." not in name and "_" not in name:
        return None
    plain = name.replace(".", "_")
    for other in broker.catalog.by_name:
        if ("." in other or "_" in other) and other != name and other.replace(".", "_") == plain:
            return other
    return None


async def auto_create(broker: Broker, name: str) -> int:
    """Create a topic because a client asked for its metadata; returns an error code or NONE."""
    factor = broker.options.default_replication_factor
    try:
        check_replication_factor(broker, factor)
        await create(broker, name, broker.num_partitions, {}, replication_factor=factor, validate_only=False)
    except TopicError as error:
        if error.error_code != error_codes.TOPIC_ALREADY_EXISTS:
            return error.error_code
    return error_codes.NONE


async def delete(broker: Broker, topic: Topic) -> None:
    """Name and id are free at once; rows and bytes go later. Raises TopicError."""
    async with broker.catalog.changing:
        try:
            version = await broker.topic_store.delete_topic(topic.topic_id, broker.clock())
        except TopicMissing as error:
            await broker.catalog.looked()
            raise TopicError(error_codes.UNKNOWN_TOPIC_OR_PARTITION, str(error)) from error
        except StoreError as error:
            if not await broker.catalog.looked() or topic.topic_id in broker.catalog.by_id:
                raise _refused(error) from error
            version = broker.catalog.version
        broker.catalog.remove(topic)
        broker.catalog.made(version)
    try:
        await broker.groups.forget_topics([topic.topic_id])
        await broker.shares.forget_topics([topic.topic_id])
    except (
        StoreError
    ) as error:  # the topic is gone all the same; its offsets, under an id that never comes back, expire
        log.warning("event=offsets_kept topic=%s topic_id=%s error=%s", topic.name, topic.topic_id.hex(), error)


async def grow(broker: Broker, topic: Topic, total: int, assigned: Assigned | None = None) -> None:
    """More partitions. Raises TopicError."""
    async with broker.catalog.changing:
        try:
            row = await broker.topic_store.add_partitions(topic.topic_id, total, assigned)
        except TopicMissing as error:
            await broker.catalog.looked()
            raise TopicError(error_codes.UNKNOWN_TOPIC_OR_PARTITION, str(error)) from error
        except StoreError as error:
            if not await broker.catalog.looked() or len(topic.partition_ids) < total:
                raise _refused(error) from error
            broker.catalog.made(topic.version)
            return
        broker.catalog.put(row)
        broker.catalog.made(row.version)
