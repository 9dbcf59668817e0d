"""`moldau.metadata.url` for PostgreSQL: libpq's form, and what every connection of ours sets."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

SCHEMES = ("postgresql://", "postgres://")

LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 4_000
"""What a statement may take on the server; the client waits a second longer."""
SCAN_TIMEOUT_MS = 60_000
IDLE_IN_TRANSACTION_MS = 5_000
"""A broker that was paused inside a transaction loses it, and with it the locks that others wait for."""
CONNECT_TIMEOUT_SECONDS = 5.0

_OURS = {"connect_timeout"}


class Address:
    """The URL, and the arguments of a connection. Everything that libpq's URLs may say goes to the driver: hosts, TLS, passwords, settings."""

    def __init__(self, url: str) -> None:
        """Raises ValueError."""
        parts = _split(url)
        if not url.startswith(SCHEMES):
            raise ValueError(f"expected postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE, got {hidden(url)!r}")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        given = dict(pairs)
        self.connect_timeout = float(given.get("connect_timeout", CONNECT_TIMEOUT_SECONDS))
        query = urlencode([(name, value) for name, value in pairs if name not in _OURS], quote_via=quote)
        self.url = urlunsplit(parts._replace(query=query))
        self._given = given
        user, at, names = parts.netloc.rpartition("@")
        each = [names] if "port" in given or "host" in given else names.split(",")
        self.hosts = [urlunsplit(parts._replace(netloc=f"{user}{at}{name}", query=query)) for name in each]
        """The URL of each host by itself, in their order."""
        for host in self.hosts:
            urlsplit(host)  # raises for what is none

    @property
    def told(self) -> str:
        """Without what must not be shown."""
        return hidden(self.url)

    def arguments(self, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> dict[str, Any]:
        """For `asyncpg.connect`. What the URL says itself is not overridden."""
        settings = {
            "application_name": "moldau",
            "default_transaction_isolation": "read committed",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
            "statement_timeout": str(statement_timeout_ms),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
            "client_connection_check_interval": "1000",
        }
        arguments: dict[str, Any] = {
            "dsn": self.url,
            "server_settings": {name: value for name, value in settings.items() if name not in self._given},
            "command_timeout": statement_timeout_ms / 1000 + 1,
            "max_cached_statement_lifetime": 0,
            "statement_cache_size": 256,
        }
        if "target_session_attrs" not in self._given:
            arguments["target_session_attrs"] = "primary"
        return arguments


def hidden(url: str) -> str:
    """The URL without its password, for logs."""
    parts = _split(url)
    host = parts.netloc.rpartition("@")
    user = host[0].partition(":")[0]
    query = [(name, "***" if "password" in name else value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(netloc=f"{user}{host[1]}{host[2]}", query=urlencode(query)))


def _split(url: str) -> SplitResult:
    """As `urlsplit`, which from Python 3.13 on takes no list of hosts with an IPv6 address in it."""
    scheme, separator, rest = url.partition("://")
    end = min([at for at in (rest.find(mark) for mark in "/?#") if at >= 0], default=len(rest))
    return urlsplit(f"{scheme}{separator}{rest[end:]}")._replace(netloc=rest[:end])
