"""A classic group becomes a consumer group, or back, while its members go on (`group.consumer.migration.policy`)."""

from __future__ import annotations

from moldau.coordination.decision import Decision

from .plan import Plan


def may_downgrade(plan: Plan) -> bool:
    """Only members of the classic protocol would be left, and it is allowed."""
    return False


def downgrade(plan: Plan, now: int, out: Decision) -> None:
    """End the consumer group, begin a classic one."""
