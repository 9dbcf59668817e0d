"""DescribeConfigs 1-4 (KIP-133; synonyms KIP-226, documentation KIP-569): topics, brokers, loggers, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.config.describe import Described
from moldau.broker.config.errors import InvalidConfig
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DescribeConfigsResponse:
    message: DescribeConfigsRequest = request.message
    stale = False
    try:
        await broker.catalog.fresh()
    except StoreError:
        stale = True
    documented = request.version >= 3 and message.include_documentation
    return DescribeConfigsResponse(
        results=[
            _resource(broker, resource, request.version, message.include_synonyms, documented, stale)
            for resource in message.resources
        ]
    )


def _resource(
    broker: Broker, resource: DescribeConfigsResource, version: int, synonyms: bool, documented: bool, stale: bool
) -> DescribeConfigsResult:
    try:
        entries = broker.configs.described(resource.resource_type, resource.resource_name, resource.configuration_keys)
    except InvalidConfig as error:
        unknown = error.error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION
        return DescribeConfigsResult(
            error_code=error_codes.KAFKA_STORAGE_ERROR if stale and unknown else error.error_code,
            error_message=error.message,
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
            configs=[],
        )
    return DescribeConfigsResult(
        error_message="",
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=[_entry(entry, version, synonyms, documented) for entry in entries],
    )


def _entry(entry: Described, version: int, synonyms: bool, documented: bool) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=entry.name,
        value=entry.value,
        read_only=entry.read_only,
        config_source=entry.source,
        is_sensitive=entry.is_sensitive,
        synonyms=[
            DescribeConfigsSynonym(name=name, value=value, source=source) for name, value, source in entry.synonyms
        ]
        if synonyms
        else [],
        config_type=entry.config_type if version >= 3 else 0,
        documentation=entry.documentation if documented else None,
    )
