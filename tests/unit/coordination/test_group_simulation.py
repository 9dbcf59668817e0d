"""A seeded simulation: members come, go, die, restart and dawdle at random, the broker restarts, the store fails now and then.

Members behave as Kafka clients do. The invariants, checked after every step:

- at most one generation has valid assignments, and each member that synced in a completed generation got the one that
  the leader made for it there;
- every event is answered exactly once, at the latest when time has passed;
- what is stored is what is in memory whenever the group is Stable or Empty;
- counters and indexes of the group agree with its members;
- left alone, the living members end in one stable generation.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from playbook import GROUP, Playbook, subscription

from moldau.coordination.classic.states import COMPLETING_REBALANCE, EMPTY, PREPARING_REBALANCE, STABLE
from moldau.coordination.events import Heartbeat, JoinGroup, LeaveGroup, LeavingMember, SyncGroup, Tick
from moldau.coordination.groups import Groups
from moldau.coordination.replies import JoinReply, LeaveReply, SyncReply
from moldau.protocol import error_codes as e

SESSION, REBALANCE, BEAT = 10_000, 30_000, 3_000
LOST = (e.UNKNOWN_MEMBER_ID, e.FENCED_INSTANCE_ID)
AGAIN = (e.REBALANCE_IN_PROGRESS, e.ILLEGAL_GENERATION, e.COORDINATOR_NOT_AVAILABLE)


class Client:
    """A consumer: joins, syncs, heartbeats. One request at a time, as real ones do."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"m{number}"
        self.instance_id = f"i{number}" if number % 3 == 0 else None
        self.asks_first = number % 2 == 0
        self.topics = ["t"]
        self.restart()

    def restart(self) -> None:
        """The process comes (back) to life, with no memory. What it had asked before is nobody's."""
        self.life = self.world.next_number()
        self.alive = True
        self.member_id = ""
        self.generation = -1
        self.state = "joining"
        self.busy = False
        self.next_beat = 0
        self.assignment: bytes | None = None

    def step(self) -> None:
        if not self.alive or self.busy:
            return
        if self.state == "joining":
            new_id = f"{self.instance_id or self.name}-{self.world.next_number()}"
            protocols = (("range", subscription(*self.topics)), ("sticky", b"s"))
            self._send(
                JoinGroup(
                    GROUP,
                    self.member_id,
                    new_id,
                    "consumer",
                    protocols,
                    session_timeout_ms=SESSION,
                    rebalance_timeout_ms=REBALANCE,
                    instance_id=self.instance_id,
                    requires_known_member_id=self.asks_first,
                ),
                self._joined,
            )
        elif self.state == "working" and self.world.now >= self.next_beat:
            self.next_beat = self.world.now + BEAT
            self._send(Heartbeat(GROUP, self.member_id, self.generation, self.instance_id), self._beaten)

    def rejoin(self) -> None:
        if self.alive and self.state == "working":
            self.state = "joining"

    def leave(self) -> None:
        if self.alive and self.member_id and self.instance_id is None:
            self.alive = False
            self._send(LeaveGroup(GROUP, [LeavingMember(self.member_id)]), self._left)

    def lose_patience(self) -> None:
        """The connection broke: the answer to what was asked is lost, and it is asked again."""
        if self.alive and self.busy:
            self.life = self.world.next_number()
            self.busy = False
            if self.state == "syncing":
                generation = self.generation
                self.world.later(lambda: self._sync(generation, {}), self.life, self)

    def _send(self, event: Any, then: Any) -> None:
        self.busy = True
        life = self.life

        def answered(reply: Any) -> None:
            if life == self.life:
                self.busy = False
                if self.alive:
                    then(reply)

        self.world.hand_in(event, answered)

    def _joined(self, reply: JoinReply) -> None:
        code = reply.error_code
        if code == e.MEMBER_ID_REQUIRED:
            self.member_id = reply.member_id
        elif code == e.UNKNOWN_MEMBER_ID:
            self.member_id = ""
        elif code == e.FENCED_INSTANCE_ID:
            self.alive = False
        elif code in AGAIN:
            pass
        else:
            assert code == e.NONE, reply
            assert reply.generation_id >= self.generation or self.world.restarts, (self.generation, reply)
            self.member_id, self.generation, self.state = reply.member_id, reply.generation_id, "syncing"
            leads = reply.leader == reply.member_id
            assert leads == bool(reply.members) or reply.skip_assignment
            made = {}
            if leads and not reply.skip_assignment:
                made = {
                    m[0]: f"{reply.generation_id}:{m[0]}:{self.world.next_number()}".encode() for m in reply.members
                }
            self.world.later(lambda: self._sync(reply.generation_id, made), self.life, self)

    def _sync(self, generation: int, made: dict[str, bytes]) -> None:
        if self.state == "syncing" and self.generation == generation and not self.busy:
            self._send(SyncGroup(GROUP, self.member_id, generation, made, instance_id=self.instance_id), self._synced)

    def _synced(self, reply: SyncReply) -> None:
        code = reply.error_code
        if code == e.NONE:
            self.assignment = reply.assignment
            self.state = "working"
            self.next_beat = self.world.now + BEAT
            self.world.assigned(self, reply.assignment)
        else:
            self._fallen(code)

    def _beaten(self, code: int) -> None:
        if code != e.NONE:
            self._fallen(code)

    def _fallen(self, code: int) -> None:
        assert code in LOST or code in AGAIN, code
        self.state = "joining"
        if code == e.UNKNOWN_MEMBER_ID:
            self.member_id = ""
        elif code == e.FENCED_INSTANCE_ID:
            self.alive = False

    def _left(self, reply: LeaveReply) -> None:
        raise AssertionError("a client that has left does not listen")


class World(Playbook):
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        super().__init__(group_initial_rebalance_delay_ms=self.dice.choice([0, 500, 3_000]))
        self.restarts = 0
        self.waiting: dict[int, Any] = {}
        self.asked = self.answered = 0
        self._number = 0
        self.todo: list[tuple[Any, int, Client]] = []
        self.clients = [Client(self, number) for number in range(self.dice.randint(2, 7))]
        self.promised: dict[tuple[int, str], bytes] = {}

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def later(self, call: Any, life: int, client: Client) -> None:
        self.todo.append((call, life, client))

    def assigned(self, client: Client, assignment: bytes) -> None:
        """Who got an assignment got its own, of the generation it is in, and the same each time."""
        if assignment:
            generation, member_id, _ = assignment.decode().split(":")
            assert int(generation) == client.generation
            if client.instance_id is None:
                assert member_id == client.member_id
            key = (client.generation, member_id)
            if not self.restarts:
                assert self.promised.setdefault(key, assignment) == assignment

    # -- the runtime's part

    def hand_in(self, event: Any, answered: Any, *_: Any) -> None:  # type: ignore[override]
        self.asked += 1
        event.ticket = self.asked
        self.waiting[self.asked] = answered
        self._carry_out(event)

    def _carry_out(self, event: Any) -> None:
        decision = self.groups.handle(event, self.now)
        self._write(GROUP, decision)
        self.check()
        for ticket, reply in decision.replies:
            self.answered += 1
            self.waiting.pop(ticket)(reply)

    def restart(self) -> Playbook:
        self.restarts += 1
        self.groups = Groups(self.config)
        self.groups.load(sorted(self.records.values()), self.now)
        lost, self.waiting = self.waiting, {}
        for client in self.clients:
            client.busy = False
            if client.state == "syncing":
                client.state = "joining"
        self.answered += len(lost)
        self.check()
        return self

    def pass_time(self, ms: int) -> None:
        end = self.now + ms
        while self.now < end:
            self.now = min(end, self.now + 250)
            while self.groups.deadline(GROUP) <= self.now:
                self._carry_out(Tick(GROUP))
            self.run_clients()

    def run_clients(self) -> None:
        todo, self.todo = self.todo, []
        self.dice.shuffle(todo)
        for call, life, client in todo:
            if client.alive and client.life == life:
                call()
        for client in self.dice.sample(self.clients, len(self.clients)):
            client.step()

    def disturb(self) -> None:
        client = self.dice.choice(self.clients)
        match self.dice.randint(0, 12):
            case 0 | 1:
                client.alive = False
            case 2 | 3 | 4:
                client.restart()
            case 5:
                client.leave()
            case 6:
                client.rejoin()
            case 7:
                client.topics = self.dice.choice([["t"], ["t", "u"]])
                client.rejoin()
            case 8:
                self.store_fails = True
            case 9 if self.dice.random() < 0.5:
                self.restart()
            case 10 | 11:
                client.lose_patience()
            case 12 if client.instance_id is not None:
                self.send_away(client.instance_id)

    def send_away(self, instance_id: str) -> None:
        self.hand_in(LeaveGroup(GROUP, [LeavingMember("", instance_id)]), lambda reply: None)

    # -- invariants

    def check(self) -> None:
        group = self.group
        if group is None:
            assert GROUP not in {record.group for record in self.records.values()}
            return
        members = group.members
        assert group.awaiting_join == sum(member.join_ticket is not None for member in members.values())
        assert set(group.static_members.values()) == {
            m.member_id for m in members.values() if m.instance_id is not None
        }
        assert group.pending_sync <= set(members)
        assert not set(group.pending_members) & set(members)
        counts: dict[str, int] = {}
        for member in members.values():
            for name, _ in member.protocols:
                counts[name] = counts.get(name, 0) + 1
        assert group.protocols_supported == counts
        assert (group.leader_id in members) if members else group.leader_id is None
        parked = {t for m in members.values() for t in (m.join_ticket, m.sync_ticket) if t is not None}
        assert parked <= set(self.waiting)
        deadlines = [*group.pending_members.values(), *(m.session_deadline for m in members.values())]
        assert group.wake_at <= min([group.join_deadline, group.sync_deadline, *deadlines])
        assert any(m.sync_ticket is not None for m in members.values()) <= (group.state is COMPLETING_REBALANCE)
        assert any(m.join_ticket is not None for m in members.values()) <= (group.state is PREPARING_REBALANCE)
        if group.state is EMPTY:
            assert not members
        if group.state is STABLE or (group.state is EMPTY and group.persisted):
            stored = Groups(self.config)
            stored.load(self.records.values(), self.now)
            assert described(stored.get(GROUP)) == described(group)

    def settle_down(self) -> None:
        """No more disturbances: everybody alive ends in the same stable generation."""
        self.store_fails = False
        self.pass_time(3 * REBALANCE)
        alive = [client for client in self.clients if client.alive]
        assert {client.state for client in alive} <= {"working"}, [(c.name, c.state, c.busy) for c in alive]
        assert not self.waiting
        assert self.asked == self.answered
        assert len({client.generation for client in alive}) <= 1
        group = self.group
        if alive:
            assert group.state is STABLE
            assert set(group.members) == {client.member_id for client in alive}
            assert len({client.assignment for client in alive}) == len(alive)
            assert all(client.assignment for client in alive)
            before = group.generation_id
            self.pass_time(4 * SESSION)
            assert self.group.generation_id == before, "a rebalance without a reason"
        elif group is not None:
            assert group.state is EMPTY


def described(group: Any) -> tuple[Any, ...]:
    return (
        group.state,
        group.state_timestamp,
        group.generation_id,
        group.protocol_type,
        group.protocol_name,
        group.leader_id,
        group.subscribed_topics,
        [member.durable() for member in group.members.values()],
    )


def simulate(seed: int, steps: int) -> World:
    world = World(seed)
    for _ in range(steps):
        world.pass_time(world.dice.choice([0, 250, 250, 1_000, 5_000]))
        if world.store_fails and world.dice.random() < 0.5:
            world.store_fails = False
        world.disturb()
    world.settle_down()
    return world


@pytest.mark.parametrize("seed", range(8))
def test_a_short_life(seed: int) -> None:
    simulate(seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_a_long_life(seed: int) -> None:
    world = simulate(seed, 120)
    assert world.asked > 100
