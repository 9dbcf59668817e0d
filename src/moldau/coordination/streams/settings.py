"""The settings of one streams group: its own, else the broker's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Settings:
    """A view of the keys of groups, under their names without `streams.`"""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @property
    def session_timeout_ms(self) -> int:
        return int(self._values["streams.session.timeout.ms"])

    @property
    def heartbeat_interval_ms(self) -> int:
        return int(self._values["streams.heartbeat.interval.ms"])

    @property
    def initial_rebalance_delay_ms(self) -> int:
        return int(self._values["streams.initial.rebalance.delay.ms"])

    @property
    def assignment_interval_ms(self) -> int:
        return int(self._values["streams.assignment.interval.ms"])

    @property
    def standby_replicas(self) -> int:
        return int(self._values["streams.num.standby.replicas"])

    @property
    def task_offset_interval_ms(self) -> int:
        return int(self._values["streams.task.offset.interval.ms"])

    @property
    def rack_aware_tags(self) -> tuple[str, ...]:
        return tuple(self._values["streams.rack.aware.assignment.tags"])

    def of_assignor(self) -> tuple[tuple[str, str], ...]:
        """What tasks are dealt by, as it is kept with a group: when it changes, tasks are dealt anew."""
        return (
            ("num.standby.replicas", str(self.standby_replicas)),
            ("rack.aware.assignment.tags", ",".join(self.rack_aware_tags)),
        )
