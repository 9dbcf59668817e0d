"""The periodic clean-up: which offsets and groups go, and which stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from jumploop import JumpLoop, run
from playbook import subscription

from moldau.coordination import cleanup
from moldau.coordination.config import GroupConfig
from moldau.coordination.coordinator import GroupCoordinator
from moldau.coordination.events import JoinGroup, LeaveGroup, LeavingMember, OffsetCommit, SyncGroup
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.metadata.rows_groups import OffsetRow

DAY = 24 * 3600.0
RETENTION = 7 * DAY
T, U = b"t" * 16, b"u" * 16


class Store(MemoryGroupStore):
    def __init__(self) -> None:
        super().__init__()
        self.broken: Exception | None = None

    async def list_expirable(self, *what: Any) -> list[OffsetRow]:
        if self.broken is not None:
            raise self.broken
        return await super().list_expirable(*what)


class Setting:
    def __init__(self, loop: JumpLoop) -> None:
        self.loop = loop
        self.store = Store()
        self.config = GroupConfig(group_initial_rebalance_delay_ms=0, group_max_session_timeout_ms=2**31 - 1)
        self.it = GroupCoordinator(self.store, self.config, loop.ms, {T: "t", U: "u"}.get)

    async def commit(self, group: str, topic_id: bytes = T, member_id: str = "", **more: Any) -> None:
        generation = 1 if member_id else -1
        event = OffsetCommit(
            group, member_id, generation, [(topic_id, 0, 1, -1, "")], commit_timestamp=self.loop.ms(), **more
        )
        assert await self.it.commit_offsets(event) == [0]

    async def consumer(self, group: str, topic: str = "t", kind: str = "consumer") -> None:
        """A stable group of one member, `m`, that never dies."""
        protocols = (("range", subscription(topic)),)
        await self.it.join(
            JoinGroup(group, "", "m", kind, protocols, session_timeout_ms=2**31 - 1, requires_known_member_id=False)
        )
        await self.it.sync(SyncGroup(group, "m", 1, {"m": b"x"}))

    async def left(self) -> dict[str, str]:
        """Group to the topics of the offsets it still has."""
        found = {}
        for entry in self.it.list_groups():
            rows = await self.store.fetch_offsets(entry.group_id, None)
            found[entry.group_id] = "".join(row.topic_id[:1].decode() for row in rows)
        return found


def serving(body: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        await setting.it.start()
        await body(setting)
        await setting.it.close()

    run(main)


def test_offsets_of_simple_consumers_go_one_by_one_and_then_the_group() -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g", T)
        await asyncio.sleep(DAY)
        await setting.commit("g", U)
        await asyncio.sleep(RETENTION - DAY - 1)
        assert await setting.left() == {"g": "tu"}
        await asyncio.sleep(1200)
        assert await setting.left() == {"g": "u"}
        await asyncio.sleep(DAY)
        assert await setting.left() == {}
        assert await setting.store.load_groups() == []

    serving(body)


def test_offsets_of_an_emptied_group_count_from_when_it_became_empty() -> None:
    async def body(setting: Setting) -> None:
        await setting.consumer("g")
        await setting.commit("g", T, "m")
        await asyncio.sleep(10 * DAY)
        assert await setting.left() == {"g": "t"}
        await setting.it.leave(LeaveGroup("g", [LeavingMember("m")]))
        await asyncio.sleep(RETENTION - 1)
        assert await setting.left() == {"g": "t"}
        await asyncio.sleep(1200)
        assert await setting.left() == {}

    serving(body)


def test_a_stable_group_loses_only_what_nobody_subscribes_to() -> None:
    async def body(setting: Setting) -> None:
        await setting.consumer("g", "t")
        await setting.commit("g", T, "m")
        await setting.commit("g", U, "m")
        await setting.consumer("k", "t", kind="connect")
        await setting.commit("k", T, "m")
        await asyncio.sleep(RETENTION + 1200)
        assert await setting.left() == {"g": "t", "k": "t"}

    serving(body)


def test_own_expire_timestamps_are_obeyed() -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g", T, retention_ms=3_600_000)
        await setting.commit("g", U, retention_ms=30 * 86_400_000)
        await asyncio.sleep(3_600 + 1_200)
        assert await setting.left() == {"g": "u"}
        await asyncio.sleep(20 * DAY)
        assert await setting.left() == {"g": "u"}
        await asyncio.sleep(11 * DAY)
        assert await setting.left() == {}

    serving(body)


def pending(setting: Setting, topic_id: bytes, group: str = "g") -> None:
    """An open transaction has an offset of the group."""
    row = OffsetRow(group, topic_id, 0, 9, -1, "", 1, -1)
    setting.store._state.txn_offsets.setdefault("x", {})[row.key] = row


def test_what_an_open_transaction_is_about_to_change_stays() -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g", T)
        await setting.commit("g", U)
        pending(setting, T)
        await asyncio.sleep(RETENTION + 1200)
        assert await setting.left() == {"g": "t"}
        setting.store._state.txn_offsets.clear()
        await asyncio.sleep(1200)
        assert await setting.left() == {}

    serving(body)


def test_a_group_of_which_an_open_transaction_has_the_first_offset_stays() -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g", T, retention_ms=1)
        pending(setting, U)
        await asyncio.sleep(RETENTION + 1200)
        assert await setting.left() == {"g": ""}

    serving(body)


def test_a_deleted_group_gets_nothing_of_an_open_transaction() -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g", T)
        pending(setting, T)
        pending(setting, U)
        pending(setting, U, "other")
        assert await setting.it.delete_groups(["g"]) == [("g", 0)]
        assert await setting.store.fetch_offsets_and_pending("g", None) == ([], [])
        assert len((await setting.store.fetch_offsets_and_pending("other", None))[1]) == 1

    serving(body)


def test_an_empty_group_without_offsets_goes_at_the_next_pass() -> None:
    async def body(setting: Setting) -> None:
        await setting.consumer("g")
        await setting.it.leave(LeaveGroup("g", [LeavingMember("m")]))
        assert await setting.left() == {"g": ""}
        await asyncio.sleep(601)
        assert await setting.left() == {}

    serving(body)


def test_offsets_of_nobody_go_too() -> None:
    async def body(setting: Setting) -> None:
        await setting.store.write([], [OffsetRow("orphan", T, 0, 1, -1, "", setting.loop.ms(), -1)], [])
        await asyncio.sleep(RETENTION + 1200)
        assert await setting.store.fetch_offsets("orphan", None) == []

    serving(body)


def test_all_is_found_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "CHUNK", 3)

    async def body(setting: Setting) -> None:
        for n in range(10):
            for topic_id in (T, U):
                await setting.commit(f"g{n}", topic_id)
        await setting.it.forget_topics([U])
        assert await setting.left() == {f"g{n}": "t" for n in range(10)}
        await asyncio.sleep(RETENTION + 1200)
        assert await setting.left() == {}

    serving(body)


def test_a_pass_that_fails_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    async def body(setting: Setting) -> None:
        await setting.commit("g")
        await asyncio.sleep(RETENTION - 1)
        setting.store.broken = StoreUnavailable("no disk")
        await asyncio.sleep(1201)
        assert await setting.left() == {"g": "t"}
        setting.store.broken = None
        await asyncio.sleep(601)
        assert await setting.left() == {}

    serving(body)
    assert "OffsetCleanup.run failed error=no disk" in caplog.text
