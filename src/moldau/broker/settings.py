"""Settings from flags, environment and server.properties, as far as the broker acts on them.

Precedence: `--data`, `--set`, environment (`MOLDAU_NUM_PARTITIONS`), file, default. An unknown key is an error that names the nearest.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .options import Options

_RESERVED = ("MOLDAU_BOOTSTRAP", "MOLDAU_CONTEXT", "MOLDAU_FAULTS")
_RESERVED_PREFIXES = ("MOLDAU_CONFORMANCE", "MOLDAU_PEER", "MOLDAU_KAFKA_CLIENTS")


class SettingsError(Exception):
    """What came, what was expected, what to do."""


def _boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.strip().lower() == "true"


def _positive(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError("a whole number above 0")
    return int(text)


def _not_negative(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError("a whole number, 0 or more")
    return int(text)


_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "auto.create.topics.enable": ("auto_create_topics", _boolean),
    "broker.rack": ("rack", str),
    "connections.max.idle.ms": ("idle_max_ms", _positive),
    "log.retention.check.interval.ms": ("retention_check_ms", _positive),
    "max.connections": ("connections_max", _not_negative),
    "max.incremental.fetch.session.cache.slots": ("fetch_session_slots", _not_negative),
    "moldau.flush.max.bytes": ("flush_max_bytes", _positive),
    "moldau.inline.max.bytes": ("inline_max_bytes", _not_negative),
    "moldau.tail.cache.bytes": ("tail_cache_bytes", _not_negative),
    "node.id": ("node_id", _not_negative),
    "num.partitions": ("num_partitions", _positive),
    "queued.max.request.bytes": ("pending_max_bytes", _positive),
    "socket.request.max.bytes": ("request_max_bytes", _positive),
}
_OTHERS = ("advertised.listeners", "listeners", "log.dirs")


class Settings:
    """What a broker is started with."""

    def __init__(self, options: Options, data: Path, host: str, port: int, advertised: tuple[str, int] | None) -> None:
        self.options = options
        self.data = data
        self.host = host
        self.port = port
        self.advertised = advertised


def load(file: Path | None, sets: Sequence[str], environment: Mapping[str, str], data: Path | None) -> Settings:
    """Raises SettingsError."""
    values: dict[str, str] = {}
    if file is not None:
        for line in file.read_text("utf-8").splitlines():
            line = line.strip()
            if line and not line.startswith(("#", "!")):
                key, separator, value = line.partition("=")
                if not separator:
                    raise SettingsError(f"{file}: {line!r} came, expected key=value")
                values[_known(key.strip(), str(file))] = value.strip()
    for name, value in environment.items():
        if name.startswith("MOLDAU_") and name not in _RESERVED and not name.startswith(_RESERVED_PREFIXES):
            key = name.removeprefix("MOLDAU_").lower().replace("_", ".")
            key = key if key in _OPTIONS or key in _OTHERS else f"moldau.{key}"
            values[_known(key, f"environment variable {name}")] = value
    for each in sets:
        key, separator, value = each.partition("=")
        if not separator:
            raise SettingsError(f"--set {each!r} came, expected --set key=value")
        values[_known(key.strip(), "--set")] = value.strip()
    options = Options()
    for key, (attribute, parse) in _OPTIONS.items():
        if key in values:
            try:
                setattr(options, attribute, parse(values[key]))
            except ValueError as error:
                raise SettingsError(f"{key}: {values[key]!r} came, expected {error}") from error
    host, port = _endpoint("listeners", values.get("listeners", "PLAINTEXT://127.0.0.1:9092"))
    advertised = None
    if "advertised.listeners" in values:
        advertised = _endpoint("advertised.listeners", values["advertised.listeners"])
    folder = data or Path(values["log.dirs"] if "log.dirs" in values else default_data_dir(environment))
    return Settings(options, folder, host, port, advertised)


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """The platform's state folder for moldau."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "moldau"
    state = environment.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "moldau"


def _known(key: str, source: str) -> str:
    every = [*_OPTIONS, *_OTHERS]
    if key in every:
        return key
    near = difflib.get_close_matches(key, every, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SettingsError(f"{source}: there is no setting {key!r}.{hint}")


def _endpoint(key: str, text: str) -> tuple[str, int]:
    protocol, separator, rest = text.partition("://")
    host, colon, port = rest.rpartition(":")
    if not separator or not colon or not port.isdigit() or int(port) > 65535 or "," in text:
        raise SettingsError(f"{key}: {text!r} came, expected one listener PLAINTEXT://HOST:PORT")
    if protocol != "PLAINTEXT":
        raise SettingsError(f"{key}: protocol {protocol!r} came; this release serves PLAINTEXT only")
    return host.strip("[]") or "0.0.0.0", int(port)
