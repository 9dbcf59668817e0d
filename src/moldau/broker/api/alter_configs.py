"""AlterConfigs 0-2 (KIP-133): all overrides of a resource are replaced. Newer clients use IncrementalAlterConfigs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from moldau.broker.config import dynamic
from moldau.broker.config.errors import InvalidConfig
from moldau.protocol import error_codes
from moldau.protocol.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> AlterConfigsResponse:
    message: AlterConfigsRequest = request.message
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
    return AlterConfigsResponse(responses=responses)


async def _alter(broker: Broker, resource: AlterConfigsResource, validate_only: bool) -> None:
    """Raises InvalidConfig."""
    configs = [(each.name, each.value) for each in resource.configs]

    def change(current: Mapping[str, str]) -> dict[str, str]:
        return dynamic.replace(resource.resource_type, resource.resource_name, current, configs, broker.node_id)

    await broker.configs.alter(resource.resource_type, resource.resource_name, change, validate_only=validate_only)
