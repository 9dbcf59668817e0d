"""The configuration as it is now, and its changes: the store first, then what the broker goes by.

Topic overrides live in the topic's row; those of brokers, groups and client-metrics are entities (kind, name). What a client asks is
decided by the pure code in `moldau.broker.config`; here it is stored and put into force.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError, TopicMissing
from moldau.protocol import error_codes

from .config import describe, dynamic, loggers
from .config.effective import BrokerConfig
from .config.errors import InvalidConfig
from .config.group import GroupSettings, check_bounds, group_settings
from .config.settings import Settings
from .config.topic import TopicConfigs
from .topics import name_error

if TYPE_CHECKING:
    from moldau.metadata.ports import ClusterStore, ConfigChange, TopicStore

    from .catalog import Catalog

log = logging.getLogger(__name__)

KINDS = {dynamic.BROKER: "broker", dynamic.GROUP: "group", dynamic.CLIENT_METRICS: "client-metrics"}
"""Entity kinds of the store by ConfigResource type."""


class Configs:
    """See the module's text."""

    def __init__(self, settings: Settings, node_id: int, store: ClusterStore, topic_store: TopicStore) -> None:
        self.node_id = node_id
        self.bound: dict[str, str] = {}
        """Addresses that were asked for with port 0, as they are, by key."""
        self._settings = settings
        self._store = store
        self._topic_store = topic_store
        self._entities: dict[tuple[str, str], dict[str, str]] = {}
        self.broker = BrokerConfig(settings)
        self.topics = TopicConfigs(self.broker)
        self.catalog: Catalog
        self._groups: dict[str, GroupSettings] = {}
        """What was asked for, by the name of the group; "" stands for all that have nothing of their own."""

    def take(self, entities: Iterable[tuple[str, str, dict[str, str]]]) -> None:
        """All entities that there are now: (kind, name, configs)."""
        before = self._of_brokers()
        self._entities = {(kind, name): configs for kind, name, configs in entities}
        if self._of_brokers() != before:
            self._refresh()
        self._groups.clear()

    def _of_brokers(self) -> dict[str, dict[str, str]]:
        return {name: configs for (kind, name), configs in self._entities.items() if kind == "broker"}

    def _refresh(self) -> None:
        """The configs of brokers have changed, and with them the defaults of topics."""
        own = self._entities.get(("broker", str(self.node_id)))
        self.broker = BrokerConfig(self._settings, self._entities.get(("broker", "")), own)
        self.topics = TopicConfigs(self.broker)
        for topic in self.catalog.by_id.values():
            topic.set_configs(topic.configs, self.topics)

    def of_group(self, name: str) -> GroupSettings:
        """The values that count for a group, by the keys of groups."""
        settings = self._groups.get(name)
        if settings is None:
            own = self._entities.get(("group", name))
            if own is None and name:
                return self.of_group("")
            settings = self._groups[name] = group_settings(own or {}, self.broker)
        return settings

    def names(self, kind: str) -> list[str]:
        """Entities of that kind that have configs."""
        return sorted(name for each, name in self._entities if each == kind)

    def described(self, resource_type: int, name: str, keys: Collection[str] | None) -> list[describe.Described]:
        """What DescribeConfigs answers for a resource. Raises InvalidConfig."""
        if resource_type == dynamic.TOPIC:
            problem = name_error(name)
            if problem is not None:
                raise InvalidConfig(f"Topic name is invalid: {problem}", error_codes.INVALID_TOPIC_EXCEPTION)
            topic = self.catalog.by_name.get(name)
            if topic is None:
                raise InvalidConfig(f"there is no topic {name!r}", error_codes.UNKNOWN_TOPIC_OR_PARTITION)
            return describe.describe_topic(topic.configs, self.broker, keys)
        if resource_type == dynamic.BROKER:
            if not name:
                return describe.describe_cluster_default(self.broker, keys)
            dynamic.check_node_id(name, self.node_id)
            return describe.describe_broker(self.broker, keys, self.bound)
        if resource_type == dynamic.BROKER_LOGGER:
            dynamic.check_node_id(name, self.node_id)
            return describe.describe_loggers(loggers.levels_now(logger_levels()), keys)
        if resource_type == dynamic.GROUP:
            return describe.describe_group(self._entities.get(("group", name), {}), self.broker, keys)
        raise InvalidConfig(f"resource type {resource_type} is not served", error_codes.INVALID_REQUEST)

    async def alter(self, resource_type: int, name: str, change: ConfigChange, *, validate_only: bool) -> None:
        """Decide on what is stored, store, put into force. Raises InvalidConfig, whose error code is the answer's."""
        try:
            if resource_type == dynamic.TOPIC:
                await self.catalog.look_for([(name, -1)])
                async with self.catalog.changing:
                    await self._alter_topic(name, change, validate_only)
            elif resource_type in (dynamic.BROKER, dynamic.GROUP):
                if resource_type == dynamic.GROUP:
                    change = self._within_bounds(change)
                async with self.catalog.changing:
                    await self._alter_entity(KINDS[resource_type], name, change, validate_only)
            else:
                raise InvalidConfig(f"resource type {resource_type} is not served", error_codes.INVALID_REQUEST)
        except StoreError as error:
            raise InvalidConfig(str(error), error_codes.KAFKA_STORAGE_ERROR) from error

    def _within_bounds(self, change: ConfigChange) -> ConfigChange:
        """A change of a group's configs that the broker's bounds allow."""

        def checked(current: Mapping[str, str]) -> dict[str, str]:
            changed = change(current)
            check_bounds(changed, self.broker)
            return changed

        return checked

    async def _alter_topic(self, name: str, change: ConfigChange, validate_only: bool) -> None:
        topic = self.catalog.by_name.get(name)
        if topic is None:
            raise InvalidConfig(f"there is no topic {name!r}", error_codes.UNKNOWN_TOPIC_OR_PARTITION)
        if validate_only:
            change(topic.configs)
            return
        try:
            altered = await self._topic_store.alter_topic_configs(topic.topic_id, change)
        except TopicMissing as error:
            # another broker deleted it; it may have made a new one of that name
            if not await self.catalog.looked() or self.catalog.by_name.get(name) in (topic, None):
                raise InvalidConfig(str(error), error_codes.UNKNOWN_TOPIC_OR_PARTITION) from error
            await self._alter_topic(name, change, validate_only)
            return
        topic.set_configs(altered.configs, self.topics)
        self.catalog.made(altered.version)

    async def _alter_entity(self, kind: str, name: str, change: ConfigChange, validate_only: bool) -> None:
        if validate_only:
            change(self._entities.get((kind, name), {}))
            return
        altered = await self._store.alter_entity(kind, name, change)
        if altered.configs:
            self._entities[kind, name] = altered.configs
        else:
            self._entities.pop((kind, name), None)
        if kind == "broker":
            self._refresh()
        self._groups.clear()
        self.catalog.made(altered.version)


def logger_levels() -> dict[str, int]:
    """Every logger of this package, and the root, with its effective level."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("moldau")]
    return {
        "root": logging.root.getEffectiveLevel(),
        **{name: logging.getLogger(name).level or logging.getLogger(name).getEffectiveLevel() for name in names},
    }
