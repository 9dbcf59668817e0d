"""Where a standby makes the copies of a task more diverse by client tags (`rack.aware.assignment.tags`, KIP-708).

The tag keys are in order of weight. A place is wanted whose value of the first key no holder of the task has; among several,
the one with more new values of the later keys. When there is none left the first key is given up, and the next one leads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .process import Process


class TagPicker:
    """For each task: `start`, then `candidates` and `used` in turns until there is no candidate."""

    __slots__ = ("_keys", "_leading", "_pool", "_processes", "_used")

    def __init__(self, keys: Sequence[str], processes: list[Process]) -> None:
        self._keys = keys
        self._processes = processes
        self._pool = processes
        self._leading = 0
        self._used: list[set[str]] = [set() for _ in keys]

    def start(self, owner: Process) -> None:
        """A task whose active copy is at `owner`."""
        self._leading = 0
        self._pool = self._processes
        self._used = [set() for _ in self._keys]
        self.used(owner)

    def used(self, holder: Process) -> None:
        for key, values in zip(self._keys, self._used, strict=True):
            if (value := holder.client_tags.get(key)) is not None:
                values.add(value)

    def candidates(self, eligible: Callable[[Process], bool]) -> list[Process]:
        """The most diverse of the eligible processes, equally good ones; empty when none would make the task more diverse."""
        while self._leading < len(self._keys):
            pool = [process for process in self._pool if self._is_new(process, self._leading) and eligible(process)]
            if pool:
                self._pool = pool
                best = max(self._diversity(process) for process in pool)
                return [process for process in pool if self._diversity(process) == best]
            self._leading += 1
            self._pool = self._processes
        return []

    def _is_new(self, process: Process, key: int) -> bool:
        value = process.client_tags.get(self._keys[key])
        return value is not None and value not in self._used[key]

    def _diversity(self, process: Process) -> list[bool]:
        return [self._is_new(process, key) for key in range(self._leading + 1, len(self._keys))]
