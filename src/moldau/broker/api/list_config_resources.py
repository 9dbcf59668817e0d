"""ListConfigResources 0-1 (KIP-1142): which resources have configs. Version 0 lists client-metrics only, of which there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.config import dynamic
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


_EVERY = (dynamic.TOPIC, dynamic.BROKER, dynamic.BROKER_LOGGER, dynamic.CLIENT_METRICS, dynamic.GROUP)


async def handle(broker: Broker, request: Request) -> ListConfigResourcesResponse:
    message: ListConfigResourcesRequest = request.message
    types = message.resource_types if request.version >= 1 else [dynamic.CLIENT_METRICS]
    wanted = set(types) or set(_EVERY)
    if not wanted <= set(_EVERY):
        return ListConfigResourcesResponse(error_code=error_codes.UNSUPPORTED_VERSION)
    try:
        await broker.catalog.fresh()
    except StoreError:
        return ListConfigResourcesResponse(error_code=error_codes.KAFKA_STORAGE_ERROR)
    node = str(broker.node_id)
    names: dict[int, list[str]] = {
        dynamic.TOPIC: sorted(broker.catalog.by_name),
        dynamic.BROKER: [node],
        dynamic.BROKER_LOGGER: [node],
        dynamic.CLIENT_METRICS: [],
        dynamic.GROUP: broker.configs.names("group"),
    }
    return ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(resource_name=name, resource_type=resource_type)
            for resource_type in _EVERY
            if resource_type in wanted
            for name in names[resource_type]
        ]
    )
