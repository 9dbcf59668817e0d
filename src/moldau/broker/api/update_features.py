"""UpdateFeatures 0-2 (KIP-584, KIP-778, KIP-1022): raise or lower the finalized level of a feature.

Levels change in step: in one transaction that looks at what every live broker serves; one that cannot serve the level is named in the refusal, INVALID_UPDATE_VERSION
as in Kafka. The others follow with the metadata version. All or nothing, as in Kafka: one refused feature refuses the request.

A safe downgrade of `metadata.version` is refused because nobody can say that it loses nothing; an unsafe one too, as in Kafka. Level 0 is no level of `metadata.version`.
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
    from moldau.metadata.rows import BrokerRow

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3
Problems = dict[str, tuple[int, str]]
"""Feature to error code and text."""


class _Refused(Exception):
    """With the problems of the request."""


async def handle(broker: Broker, request: Request) -> UpdateFeaturesResponse:
    message: UpdateFeaturesRequest = request.message
    names = [update.feature for update in message.feature_updates]

    def change(stored: dict[str, int], brokers: list[BrokerRow]) -> dict[str, int]:
        problems = _problems(message.feature_updates, request.version, stored, brokers)
        if problems or message.validate_only:
            raise _Refused(problems)
        return stored | {each.feature: features.stored(each.max_version_level) for each in message.feature_updates}

    try:
        async with broker.catalog.changing:
            altered = await broker.cluster_store.alter_features(change)
            broker.cluster.features = altered.levels
            broker.catalog.made(altered.version)
    except _Refused as refused:
        problems: Problems = refused.args[0]
        if problems:
            return _refused(request.version, names, problems)
    except StoreError as error:
        return UpdateFeaturesResponse(error_code=error_codes.FEATURE_UPDATE_FAILED, error_message=str(error))
    results = [UpdatableFeatureResult(feature=name) for name in names] if request.version < 2 else []
    return UpdateFeaturesResponse(results=results)


def _problems(
    updates: list[FeatureUpdateKey], version: int, stored: dict[str, int], brokers: list[BrokerRow]
) -> Problems:
    names = [update.feature for update in updates]
    problems: Problems = {}
    for update in updates:
        current = features.finalized(stored).get(update.feature, 0)
        problem = _problem(update, version, current)
        if names.count(update.feature) > 1:
            problem = error_codes.INVALID_REQUEST, "the feature stands twice in the request"
        if problem is None:
            why = features.first_unable(brokers, update.feature, update.max_version_level)
            problem = None if why is None else (error_codes.INVALID_UPDATE_VERSION, why)
        if problem is not None:
            problems[update.feature] = problem
    return problems


def _problem(update: FeatureUpdateKey, version: int, current: int) -> tuple[int, str] | None:
    """What is wrong with it, whoever lives."""
    supported = features.SUPPORTED.get(update.feature)
    if supported is None:
        return error_codes.INVALID_UPDATE_VERSION, f"this release knows no feature {update.feature!r}"
    low, high = supported
    level = update.max_version_level
    if not low <= level <= high:
        return error_codes.INVALID_UPDATE_VERSION, f"level {level} came, supported are {low} to {high}"
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
