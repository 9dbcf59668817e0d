"""Who may connect: `max.connections`, `max.connections.per.ip` and its overrides, for the broker and for each listener.

Counting is pure; the limits are asked for at each connection, because they may change while the broker runs. Further connections are
closed as soon as they are accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

MAX = "max.connections"
PER_HOST = "max.connections.per.ip"
OVERRIDES = "max.connections.per.ip.overrides"

Setting = Callable[[str], Any]
"""The value of a broker key as it is now."""
Resolve = Callable[[str], list[str]]
"""The addresses of a host name. Raises OSError. May block."""


class Admission:
    """`enter` and `leave` come in pairs. `listener_max` are the limits of single listeners, by name.

    `changed` is called with the text of the overrides when they are not those of before; `overrides`, by address, are then for it to
    set, since host names must be resolved.
    """

    def __init__(self, setting: Setting, listener_max: Mapping[str, int], changed: Callable[[str], None]) -> None:
        self._setting = setting
        self._listener_max = listener_max
        self._changed = changed
        self._overrides_text = ""
        self.overrides: dict[str, int] = {}
        self._by_host: Counter[str] = Counter()
        self._by_listener: Counter[str] = Counter()
        self.total = 0
        self.refused = 0

    def enter(self, listener: str, host: str) -> str | None:
        """None, and the connection counts; or the setting that refuses it."""
        key = self._refuses(listener, host)
        if key is not None:
            self.refused += 1
            return key
        self.total += 1
        self._by_host[host] += 1
        self._by_listener[listener] += 1
        return None

    def leave(self, listener: str, host: str) -> None:
        """A connection that had entered is gone."""
        self.total -= 1
        for counter, key in ((self._by_host, host), (self._by_listener, listener)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    def of_listener(self, listener: str) -> int:
        """Its open connections."""
        return self._by_listener[listener]

    def _refuses(self, listener: str, host: str) -> str | None:
        if self.total >= self._setting(MAX):
            return MAX
        if listener in self._listener_max and self._by_listener[listener] >= self._listener_max[listener]:
            return f"listener.name.{listener.lower()}.{MAX}"
        text = self._setting(OVERRIDES)
        if text != self._overrides_text:
            self._overrides_text = text
            self._changed(text)
        limit = self.overrides.get(host)
        if limit is not None:
            return OVERRIDES if self._by_host[host] >= limit else None
        return PER_HOST if self._by_host[host] >= self._setting(PER_HOST) else None


def resolved(text: str, resolve: Resolve) -> dict[str, int]:
    """Limits by address. A name that means nothing limits nobody."""
    limits: dict[str, int] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        host, _, count = pair.rpartition(":")
        try:
            addresses = resolve(host.strip().strip("[]"))
        except OSError:
            addresses = []
        for address in addresses:
            limits[address] = int(count)
    return limits
