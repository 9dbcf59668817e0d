"""`listeners`, `advertised.listeners` and `listener.security.protocol.map`, as Kafka reads them (SocketServerConfigs).

Names are compared in upper case. A listener that `controller.listener.names` claims is set aside: there is no controller
quorum here, and stock server.properties files name one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from moldau.host_port import host_port, is_loopback

from .errors import ConfigError

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SERVED_PROTOCOLS: Final = ("PLAINTEXT",)


class Listener:
    """One address. `host` is empty for every interface; an IPv6 address has no brackets here."""

    __slots__ = ("host", "name", "port", "protocol")

    def __init__(self, name: str, host: str, port: int, protocol: str) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.protocol = protocol

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return is_loopback(self.host)

    @property
    def is_any(self) -> bool:
        """Whether it is every interface."""
        return self.host in ("", "0.0.0.0", "::")

    def __str__(self) -> str:
        return f"{self.name}://{host_port(self.host, self.port)}"

    def __repr__(self) -> str:
        return f"Listener({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listener) and (str(self), self.protocol) == (str(other), other.protocol)

    def __hash__(self) -> int:
        return hash((str(self), self.protocol))


class Listeners:
    """What to bind, and what to tell clients, by listener name. `set_aside` are the controllers'."""

    __slots__ = ("advertised", "bound", "set_aside")

    def __init__(
        self,
        bound: Sequence[Listener] = (),
        advertised: Sequence[Listener] = (),
        set_aside: Sequence[Listener] = (),
    ) -> None:
        self.bound = list(bound)
        self.advertised = {listener.name: listener for listener in advertised}
        self.set_aside = list(set_aside)

    @classmethod
    def on(cls, host: str, port: int) -> Listeners:
        """One plain listener."""
        return cls([Listener("PLAINTEXT", host, port, "PLAINTEXT")])

    @property
    def exposed(self) -> list[Listener]:
        """Those that other machines can reach while nobody is asked who they are: worth a loud warning."""
        return [each for each in self.bound if not each.is_loopback and each.protocol in ("PLAINTEXT", "SSL")]

    @classmethod
    def parse(
        cls,
        listeners: Sequence[str],
        advertised: Sequence[str],
        protocol_map: str,
        controller_names: Sequence[str] = (),
    ) -> Listeners:
        """Raises ConfigError."""
        problems: list[str] = []
        protocols = _protocols(protocol_map, problems)
        controllers = {name.upper() for name in controller_names}
        every = _parse("listeners", listeners, protocols, problems)
        bound = [listener for listener in every if listener.name not in controllers]
        set_aside = [listener for listener in every if listener.name in controllers]
        told = [
            listener
            for listener in _parse("advertised.listeners", advertised, protocols, problems)
            if listener.name not in controllers
        ]
        if not bound and not problems:
            problems.append("listeners: expected at least one listener for clients, as PLAINTEXT://HOST:PORT")
        _no_repeats("listeners", every, problems, ports=True)
        _no_repeats("advertised.listeners", told, problems, ports=False)
        names = {listener.name for listener in bound}
        problems += [
            f"listeners: {listener} speaks {listener.protocol}, which comes with a later release;"
            f" expected {' or '.join(SERVED_PROTOCOLS)}"
            for listener in bound
            if listener.protocol not in SERVED_PROTOCOLS
        ]
        for listener in told:
            if listener.name not in names:
                problems.append(f"advertised.listeners: {listener} has no listener of that name in listeners")
            if listener.host in ("0.0.0.0", "::"):
                problems.append(
                    f"advertised.listeners: {listener} came, expected an address that clients can connect to"
                )
        told_names = {listener.name for listener in told}
        problems += [
            f"advertised.listeners: {listener} in listeners is no address that clients can connect to;"
            f" expected {listener.name}://HOST:PORT in advertised.listeners"
            for listener in bound
            if listener.host and listener.is_any and listener.name not in told_names
        ]
        if problems:
            raise ConfigError(problems)
        return cls(bound, told, set_aside)


def _protocols(text: str, problems: list[str]) -> dict[str, str]:
    """NAME:PROTOCOL pairs."""
    protocols: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, colon, protocol = (part.strip() for part in pair.rpartition(":"))
        name, protocol = name.upper(), protocol.upper()
        if not colon or not name or protocol not in PROTOCOLS:
            problems.append(
                f"listener.security.protocol.map: {pair} came, expected NAME:PROTOCOL with one of {', '.join(PROTOCOLS)}"
            )
        elif name in protocols:
            problems.append(f"listener.security.protocol.map: {name} is there twice")
        else:
            protocols[name] = protocol
    return protocols


def _parse(key: str, texts: Sequence[str], protocols: dict[str, str], problems: list[str]) -> list[Listener]:
    found: list[Listener] = []
    for text in texts:
        name, separator, address = text.partition("://")
        name = name.upper()
        host, colon, port = address.rpartition(":")
        in_brackets = host.startswith("[") and host.endswith("]")
        if not (
            separator
            and colon
            and name.isascii()
            and name.replace("_", "").replace("-", "").isalnum()
            and (in_brackets or not any(each in ":/[]" for each in host))
            and port.isascii()
            and port.isdigit()
            and len(port) <= 5
            and int(port) <= 65535
        ):
            problems.append(f"{key}: {text} came, expected NAME://HOST:PORT with a port from 0 to 65535")
        elif name not in protocols:
            problems.append(f"{key}: listener.security.protocol.map does not name {name}")
        else:
            found.append(Listener(name, host[1:-1] if in_brackets else host, int(port), protocols[name]))
    return found


def _no_repeats(key: str, listeners: Sequence[Listener], problems: list[str], *, ports: bool) -> None:
    """Each name once; each port once, but an IPv4 and an IPv6 address may share one."""
    for at, listener in enumerate(listeners):
        for other in listeners[:at]:
            if listener.name == other.name:
                problems.append(f"{key}: {listener.name} is there twice")
            elif ports and listener.port != 0 and listener.port == other.port and not _two_families(listener, other):
                problems.append(f"{key}: {listener} and {other} have the same port")


def _two_families(one: Listener, other: Listener) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(one.host).version != ipaddress.ip_address(other.host).version
    except ValueError:
        return False
