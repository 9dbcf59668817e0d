"""Which of several hosts of PostgreSQL is connected to, and how soon."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from support.aio import run

from moldau.metadata.postgres import connecting
from moldau.metadata.postgres.address import Address
from moldau.metadata.postgres.connecting import Connector


class Connection:
    def __init__(self, host: str) -> None:
        self.host = host
        self.terminated = False

    def terminate(self) -> None:
        self.terminated = True


class Hosts:
    """What each host does: an error to raise, or seconds until it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **does: Any) -> None:
        self.does = does
        self.asked: list[str] = []
        self.made: list[Connection] = []
        monkeypatch.setattr(asyncpg, "connect", self._connect)
        monkeypatch.setattr(connecting, "SILENT_SECONDS", 0.01)
        self.connector = Connector(Address(f"postgresql://u:p@{','.join(does)}/db"))

    async def _connect(self, **arguments: Any) -> Connection:
        host = arguments["dsn"].partition("@")[2].partition("/")[0]
        self.asked.append(host)
        does = self.does[host]
        if isinstance(does, Exception):
            raise does
        await asyncio.sleep(does)
        self.made.append(Connection(host))
        return self.made[-1]

    def connect(self) -> str:
        async def main() -> str:
            host: str = (await self.connector.connect(5, 4000)).host
            await asyncio.sleep(0)
            return host

        return run(main())


STANDBY = asyncpg.TargetServerAttributeNotMatched("it is a standby")
SILENT = 100


def test_each_host_has_a_url_of_its_own() -> None:
    assert Address("postgresql://u:p@a,b:6432,[::1]:5/db?sslmode=disable").hosts == [
        "postgresql://u:p@a/db?sslmode=disable",
        "postgresql://u:p@b:6432/db?sslmode=disable",
        "postgresql://u:p@[::1]:5/db?sslmode=disable",
    ]
    for one in ("postgresql://a/db", "postgresql:///db?host=a,b&port=1,2", "postgresql://a,b/db?port=1,2"):
        assert Address(one).hosts == [Address(one).url]
    with pytest.raises(ValueError, match="IPv6"):
        Address("postgresql://a,[::1/db")
    assert Address("postgresql://u:secret@a,[::1]:5/db").told == "postgresql://u@a,[::1]:5/db"


def test_the_primary_is_found_and_asked_first_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch, a=STANDBY, b=ConnectionRefusedError("away"), c=0)
    assert hosts.connect() == "c"
    assert hosts.asked == ["a", "b", "c"]
    assert hosts.connect() == "c"
    assert hosts.asked[3:] == ["c"]
    hosts.does = {"a": 0, "b": STANDBY, "c": OSError("away")}
    assert hosts.connect() == "a"


def test_a_silent_host_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch, a=SILENT, b=SILENT, c=0)
    assert hosts.connect() == "c"


def test_who_answers_too_late_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch, a=0.02, b=0.01)
    hosts.connect()
    assert [connection.terminated for connection in hosts.made] in ([False], [False, True], [True, False])


def test_the_error_that_says_most_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        Hosts(monkeypatch, a=STANDBY, b=asyncpg.InvalidPasswordError("wrong"), c=OSError("away")).connect()
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        Hosts(monkeypatch, a=STANDBY, b=OSError("away")).connect()


def test_a_fault_of_ours_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        Hosts(monkeypatch, a=ZeroDivisionError(), b=0).connect()
