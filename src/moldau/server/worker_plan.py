"""Which ports and ids the workers of one host have: those of the settings, and the next ones. Pure."""

from __future__ import annotations

from typing import Final

from moldau.broker.config.errors import ConfigError
from moldau.broker.config.listeners import Listener
from moldau.broker.config.settings import DEFAULT, Settings
from moldau.broker.options import ANY_NODE_ID, Options
from moldau.host_port import host_port

WORKERS_MAX: Final = 64
_HTTP: Final = "moldau.http.listener"


class WorkerPlan:
    """Of `count` workers; the first has number 1, and the ports that the settings name."""

    def __init__(self, settings: Settings, options: Options, count: int) -> None:
        """Raises ConfigError."""
        self.count = count
        self._settings = settings
        self._listeners = settings.listeners
        self._first_id = options.node_id
        self._http = (options.http_host, options.http_port)
        problems = _overlaps(self._ranges())
        if self._first_id != ANY_NODE_ID and self._first_id + count - 1 > 0x7FFFFFFF:
            problems.append(f"node.id: there are no {count} ids from {self._first_id} on")
        if problems:
            raise ConfigError(problems)

    def _ranges(self) -> list[tuple[str, int, int]]:
        """(what, first port, last port)."""
        fixed = [(str(each), each.port) for each in self._listeners.bound if each.port]
        if self._http[0] and self._http[1]:
            fixed.append((_HTTP, self._http[1]))
        return [(what, port, port + self.count - 1) for what, port in fixed]

    def node_id(self, number: int) -> int:
        """Of a worker; ANY_NODE_ID where it takes a free one."""
        return self._first_id if self._first_id == ANY_NODE_ID else self._first_id + number - 1

    def http(self, number: int) -> str:
        """HOST:PORT of its /metrics, empty for none."""
        host, port = self._http
        if not host:
            return ""
        return host_port(host, port + number - 1 if port else 0)

    def listeners(self, number: int, firsts: dict[str, int]) -> list[Listener]:
        """What it binds; `firsts` has the first ports of listeners whose port was to be a free one."""
        return [_moved(each, number, firsts.get(each.name, each.port)) for each in self._listeners.bound]

    def flags(self, number: int, firsts: dict[str, int], node_id: int) -> dict[str, str]:
        """The keys that a worker has otherwise than the settings say."""
        flags = {
            "listeners": ",".join(map(str, [*self.listeners(number, firsts), *self._listeners.set_aside])),
            _HTTP: self.http(number),
        }
        told = self._listeners.advertised
        if told:
            flags["advertised.listeners"] = ",".join(
                str(_moved(each, number, each.port)) if each.port else str(each) for each in told.values()
            )
        if node_id != ANY_NODE_ID:
            flags["node.id"] = str(node_id)
            if self._settings.entry("broker.id").source != DEFAULT:
                flags["broker.id"] = str(node_id)
        return flags


def _moved(listener: Listener, number: int, first: int) -> Listener:
    return Listener(listener.name, listener.host, first + number - 1, listener.protocol)


def _overlaps(ranges: list[tuple[str, int, int]]) -> list[str]:
    """Of two listeners with one port each is of another family: the settings were looked at."""
    problems = [
        f"{what}: --workers needs the ports {first} to {last}, and there are none above 65535"
        for what, first, last in ranges
        if last > 65535
    ]
    for at, (what, first, last) in enumerate(ranges):
        for other, first_other, last_other in ranges[:at]:
            if first <= last_other and first_other <= last and not (first == first_other and what != _HTTP):
                problems.append(
                    f"{what}: --workers gives it the ports {first} to {last}, and {other} those from {first_other} to {last_other};"
                    " leave room between them"
                )
    return problems
