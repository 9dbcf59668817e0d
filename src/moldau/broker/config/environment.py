"""Environment variables as settings: MOLDAU_LOG_RETENTION_MS is `log.retention.ms`, MOLDAU_HTTP_LISTENER `moldau.http.listener`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from .key import ConfigKey

PREFIX: Final = "MOLDAU_"

RESERVED: Final = frozenset(
    {
        "MOLDAU_BIN",
        "MOLDAU_BOOTSTRAP",
        "MOLDAU_COMPLETE",
        "MOLDAU_CONFIG",
        "MOLDAU_CONTEXT",
        "MOLDAU_CP",
        "MOLDAU_KAFKA_CLIENTS_JAR",
        "MOLDAU_TRACEBACK",
    }
)
"""Names with another meaning: of the command line, of tests and of tools. They never are settings."""

RESERVED_PREFIXES: Final = ("MOLDAU_BENCH", "MOLDAU_CONFORMANCE", "MOLDAU_FAULT", "MOLDAU_PEER", "MOLDAU_TEST")


def variable(key: str) -> str:
    """The name of a key's environment variable."""
    return PREFIX + key.removeprefix("moldau.").upper().replace(".", "_")


def settings_in(env: Mapping[str, str], keys: Mapping[str, ConfigKey]) -> Iterator[tuple[str, str, str]]:
    """(key, value, variable) of every variable that is meant as a setting; the key may be one that does not exist."""
    for name in sorted(name for name in env if name.startswith(PREFIX)):
        if name in RESERVED or name.startswith(RESERVED_PREFIXES):
            continue
        key = name.removeprefix(PREFIX).lower().replace("_", ".")
        own = f"moldau.{key}"
        yield (own if own in keys else key), env[name], name


def default_data_dir(env: Mapping[str, str], platform: str = sys.platform) -> str:
    """The platform's state folder for moldau: what `log.dirs` is when nobody says."""
    home = env.get("HOME") or str(Path.home())
    if platform == "darwin":
        return f"{home}/Library/Application Support/moldau"
    return f"{env.get('XDG_STATE_HOME') or home + '/.local/state'}/moldau"
