"""IncrementalAlterConfigs 0-1 (KIP-339): SET, DELETE, APPEND and SUBTRACT on the overrides of topics, brokers, loggers, groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from moldau.broker.config import dynamic, loggers
from moldau.broker.config.errors import InvalidConfig
from moldau.broker.configs import logger_levels
from moldau.protocol import error_codes
from moldau.protocol.messages.incremental_alter_configs import (
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> IncrementalAlterConfigsResponse:
    message: IncrementalAlterConfigsRequest = request.message
    twice = dynamic.repeated_resources([(each.resource_type, each.resource_name) for each in message.resources])
    responses = []
    for resource in message.resources:
        code, text = error_codes.NONE, None
        try:
            if (resource.resource_type, resource.resource_name) in twice:
                raise InvalidConfig("the resource stands twice in the request", error_codes.INVALID_REQUEST)
            await _alter(broker, resource, message.validate_only)
        except InvalidConfig as error:
            code, text = error.error_code, error.message
        responses.append(
            AlterConfigsResourceResponse(
                error_code=code,
                error_message=text,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return IncrementalAlterConfigsResponse(responses=responses)


async def _alter(broker: Broker, resource: AlterConfigsResource, validate_only: bool) -> None:
    """Raises InvalidConfig."""
    operations = [(each.name, each.config_operation, each.value) for each in resource.configs]
    if resource.resource_type == dynamic.BROKER_LOGGER:
        dynamic.check_node_id(resource.resource_name, broker.node_id)
        levels = loggers.alter_levels(logger_levels(), operations)
        if not validate_only:
            for name, level in levels.items():
                logging.getLogger(None if name == "root" else name).setLevel(logging.NOTSET if level is None else level)
        return

    def change(current: Mapping[str, str]) -> dict[str, str]:
        return dynamic.alter_incrementally(
            resource.resource_type, resource.resource_name, current, operations, broker.node_id
        )

    await broker.configs.alter(resource.resource_type, resource.resource_name, change, validate_only=validate_only)
