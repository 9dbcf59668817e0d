"""ApiVersions 0-5 (KIP-511, KIP-584, KIP-1242): what this broker serves, and its features.

The response header is never flexible. A version above the maximum is answered by the dispatcher in version 0 form. Version 5 may
name the cluster and node the client means to reach: a mismatch is REBOOTSTRAP_REQUIRED.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moldau.broker import features, served
from moldau.protocol import error_codes
from moldau.protocol.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


async def handle(broker: Broker, request: Request) -> ApiVersionsResponse:
    message: ApiVersionsRequest = request.message
    if request.version >= 3:
        name, version = message.client_software_name, message.client_software_version
        if not _SOFTWARE.fullmatch(name) or not _SOFTWARE.fullmatch(version):
            return ApiVersionsResponse(error_code=error_codes.INVALID_REQUEST)
        request.peer.software_name, request.peer.software_version = name, version
    error = error_codes.NONE
    if request.version >= 5:
        wrong_cluster = message.cluster_id is not None and message.cluster_id != broker.cluster.cluster_id
        wrong_node = message.node_id >= 0 and message.node_id != broker.node_id
        if wrong_cluster or wrong_node:
            error = error_codes.REBOOTSTRAP_REQUIRED
    finalized = features.finalized(broker.cluster.features)
    return ApiVersionsResponse(
        error_code=error,
        api_keys=[
            ApiVersion(api_key=key, min_version=low, max_version=high) for key, (low, high) in served.VERSIONS.items()
        ],
        supported_features=[
            SupportedFeatureKey(name=name, min_version=low, max_version=high)
            for name, (low, high) in features.SUPPORTED.items()
            if low > 0 or request.version >= 4
        ],
        finalized_features_epoch=broker.catalog.version,  # clients take levels only from a higher one than they know
        finalized_features=[
            FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
            for name, level in finalized.items()
        ],
    )
