"""UpdateFeatures 0-2 (KIP-584, KIP-778, KIP-1022): raise or lower the finalized level of a feature.

`transaction.version` may go up and down. All or nothing, as in Kafka: one refused feature refuses the request. A safe downgrade of `metadata.version` is refused because nobody can
say that it loses nothing; an unsafe one too, as in Kafka. Level 0 is no level of `metadata.version`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import features
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3


async def handle(broker: Broker, request: Request) -> UpdateFeaturesResponse:
    message: UpdateFeaturesRequest = request.message
    names = [update.feature for update in message.feature_updates]
    problems: dict[str, tuple[int, str]] = {}
    for update in message.feature_updates:
        problem = _problem(broker, update, request.version)
        if names.count(update.feature) > 1:
            problem = error_codes.INVALID_REQUEST, "the feature stands twice in the request"
        if problem is not None:
            problems[update.feature] = problem
    if problems:
        return _refused(request.version, names, problems)
    if not message.validate_only:
        try:
            for update in message.feature_updates:
                level = features.stored(update.max_version_level)
                await broker.cluster_store.set_feature(update.feature, level)
                broker.cluster.features[update.feature] = level
        except StoreError as error:
            return UpdateFeaturesResponse(error_code=error_codes.FEATURE_UPDATE_FAILED, error_message=str(error))
    results = [UpdatableFeatureResult(feature=name) for name in names] if request.version < 2 else []
    return UpdateFeaturesResponse(results=results)


def _problem(broker: Broker, update: FeatureUpdateKey, version: int) -> tuple[int, str] | None:
    supported = features.SUPPORTED.get(update.feature)
    if supported is None:
        return error_codes.INVALID_UPDATE_VERSION, f"this release knows no feature {update.feature!r}"
    low, high = supported
    level = update.max_version_level
    if not low <= level <= high:
        return error_codes.INVALID_UPDATE_VERSION, f"level {level} came, supported are {low} to {high}"
    current = features.finalized(broker.cluster.features).get(update.feature, 0)
    kind = update.upgrade_type if version >= 1 else (SAFE_DOWNGRADE if update.allow_downgrade else UPGRADE)
    if kind not in (UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE):
        return error_codes.INVALID_UPDATE_VERSION, f"upgrade type {kind} came, expected 1, 2 or 3"
    if level < current:
        if kind == UPGRADE:
            return error_codes.INVALID_UPDATE_VERSION, f"{level} is below {current}, and a downgrade was not asked for"
        if update.feature == features.METADATA:
            return error_codes.INVALID_UPDATE_VERSION, f"a downgrade from {current} to {level} might lose metadata"
    if level > current and kind != UPGRADE:
        return error_codes.INVALID_UPDATE_VERSION, f"{level} is above {current}, but a downgrade was asked for"
    return None


def _refused(version: int, names: list[str], problems: dict[str, tuple[int, str]]) -> UpdateFeaturesResponse:
    if version >= 2:
        code, text = next(iter(problems.values()))
        return UpdateFeaturesResponse(error_code=code, error_message=text)
    other = (error_codes.FEATURE_UPDATE_FAILED, "another feature of the request was refused")
    results = []
    for name in names:
        code, text = problems.get(name, other)
        results.append(UpdatableFeatureResult(feature=name, error_code=code, error_message=text))
    return UpdateFeaturesResponse(results=results)
