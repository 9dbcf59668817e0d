"""Seeded histories of a consumer group: members of both protocols come, go, die, dawdle, lose answers and change their minds; topics come
and grow; the broker restarts, the store fails now and then.

Members behave as Kafka's clients do. What holds after every step:

- no partition has two owners: not in the group's books, and not in the hands of those that are members;
- what is stored is what is in memory;
- the group's deadline is not later than any that it has.

Left alone, the living members have everything that they subscribe to, once, in even shares, and the group is stable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from consumer_playbook import ConsumerPlaybook, read, topic_id, written
from playbook import GROUP

from moldau.coordination.consumer.events import ConsumerHeartbeat, ConsumerHeartbeatReply
from moldau.coordination.consumer.group import ConsumerGroup
from moldau.coordination.events import Heartbeat, JoinGroup, LeaveGroup, LeavingMember, SyncGroup, Tick
from moldau.coordination.modern.group import RETRY_MS
from moldau.coordination.replies import JoinReply, SyncReply
from moldau.coordination.subscription import pack_assignment, read_assignment, read_subscription
from moldau.protocol import error_codes as e

SESSION, REBALANCE, BEAT = 45_000, 60_000, 5_000
LOST = (e.UNKNOWN_MEMBER_ID, e.FENCED_MEMBER_EPOCH, e.GROUP_ID_NOT_FOUND, e.FENCED_INSTANCE_ID)
AGAIN = (e.COORDINATOR_NOT_AVAILABLE, e.REBALANCE_IN_PROGRESS, e.ILLEGAL_GENERATION, e.INCONSISTENT_GROUP_PROTOCOL)

Owned = set[tuple[bytes, int]]


class Client:
    """`owned` is what it works on. `life` changes when whatever was asked before is nobody's any more."""

    patience_ms = 30_000
    asked_at = 0

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"m{number}"
        self.instance_id = f"i{number}" if number % 4 == 3 else None
        self.topics = ["t"]
        self.restart()

    def restart(self) -> None:
        """Another process in its place, which knows nothing."""
        self.life = self.world.next_number()
        self.alive = True
        self.member_id = f"{self.name}-{self.life}"
        self.owned: Owned = set()
        self.busy = False
        self.next_at = self.world.now
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def step(self) -> None:
        raise NotImplementedError

    def die(self) -> None:
        self.alive = False
        self.owned = set()

    def lose_answer(self) -> None:
        """The connection broke: the answer is lost."""
        if self.alive and self.busy:
            self.life = self.world.next_number()
            self.busy = False
            self.lost()

    def lost(self) -> None:
        self.next_at = self.world.now

    def send(self, event: Any, then: Callable[[Any], None]) -> None:
        self.busy, life, self.asked_at = True, self.life, self.world.now

        def answered(reply: Any) -> None:
            if life == self.life:
                self.busy = False
                if self.alive:
                    then(reply)

        self.world.ask(event, answered, loses=self.world.dice.random() < self.world.loss)


class Modern(Client):
    """group.protocol=consumer."""

    def begin(self) -> None:
        self.epoch = 0
        self.full = True
        self.target: Owned | None = None

    def lost(self) -> None:
        super().lost()
        self.full = True

    def subscribe(self, topics: list[str]) -> None:
        self.topics = topics
        self.full = True
        self.next_at = self.world.now

    def leave(self) -> None:
        if self.alive and self.epoch > 0 and not self.busy:
            epoch = -2 if self.instance_id is not None and self.world.dice.random() < 0.7 else -1
            self.die()
            event = ConsumerHeartbeat(GROUP, self.member_id, epoch, instance_id=self.instance_id)
            self.world.ask(event, lambda reply: None)

    def step(self) -> None:
        if not self.alive or self.busy:
            return
        if self.target is not None and self.world.dice.random() < 0.5:
            self._reconcile()
        if self.world.now >= self.next_at:
            regex = "t|u" if self.topics == ["*"] else ""
            says = self.full or self.epoch == 0
            self.full = False
            self.next_at = self.world.now + BEAT
            event = ConsumerHeartbeat(
                GROUP,
                self.member_id,
                self.epoch,
                instance_id=self.instance_id,
                rebalance_timeout_ms=REBALANCE if says else -1,
                topics=None if not says else [] if regex else self.topics,
                regex=regex if says else None,
                owned=read(written(books(self.owned))) if says or self.tells else None,
            )
            self.tells = False
            self.send(event, self._answered)

    tells = False

    def _reconcile(self) -> None:
        """Give up what is not in the target, take what is; say so with the next heartbeat, soon."""
        assert self.target is not None
        self.owned = set(self.target)
        self.target = None
        self.tells = True
        self.next_at = self.world.now
        self.world.check()

    def _answered(self, reply: ConsumerHeartbeatReply) -> None:
        code = reply.error_code
        if code == e.NONE:
            self.epoch = reply.member_epoch
            self.next_at = min(self.next_at, self.world.now + reply.heartbeat_interval_ms)
            if reply.assigned is not None:
                self.target = {(each, index) for each, indexes in reply.assigned.items() for index in indexes}
                if self.target == self.owned:
                    self.target = None
                    self.tells = True
        elif code in LOST:
            self.owned, self.target = set(), None
            self.epoch, self.full, self.next_at = 0, True, self.world.now
            if code == e.FENCED_INSTANCE_ID:
                self.die()
        else:
            assert code in (*AGAIN, e.UNRELEASED_INSTANCE_ID), reply
            self.full = True
            self.next_at = self.world.now + 500


class Classic(Client):
    """group.protocol=classic with an eager assignor."""

    @property
    def patience_ms(self) -> int:  # type: ignore[override]
        return 10_000 if self.state == "working" else REBALANCE + 5_000

    def begin(self) -> None:
        self.member_id = ""
        self.generation = -1
        self.state = "joining"
        self.made: dict[str, bytes] = {}

    def lost(self) -> None:
        super().lost()
        if self.state == "syncing":
            self.made = {}

    def subscribe(self, topics: list[str]) -> None:
        self.topics = [topic for topic in topics if topic != "*"] or ["t"]
        if self.state == "working":
            self._rejoin()

    def _rejoin(self) -> None:
        self.owned = set()
        self.state = "joining"
        self.next_at = self.world.now

    def leave(self) -> None:
        if self.alive and self.member_id and not self.busy:
            self.die()
            self.world.ask(LeaveGroup(GROUP, [LeavingMember(self.member_id, self.instance_id)]), lambda reply: None)

    def step(self) -> None:
        if not self.alive or self.busy or self.world.now < self.next_at:
            return
        if self.state == "joining":
            new_id = f"{self.name}-{self.world.next_number()}"
            event = JoinGroup(
                GROUP,
                self.member_id,
                new_id,
                "consumer",
                (("range", subscription(self.topics)),),
                session_timeout_ms=SESSION,
                rebalance_timeout_ms=REBALANCE,
                instance_id=self.instance_id,
            )
            self.send(event, self._joined)
        elif self.state == "syncing":
            made, self.made = self.made, {}
            event = SyncGroup(GROUP, self.member_id, self.generation, made, instance_id=self.instance_id)  # type: ignore[assignment]
            self.send(event, self._synced)
        else:
            self.next_at = self.world.now + BEAT
            beat = Heartbeat(GROUP, self.member_id, self.generation, self.instance_id)
            self.send(beat, self._beaten)

    def _joined(self, reply: JoinReply) -> None:
        code = reply.error_code
        if code == e.MEMBER_ID_REQUIRED:
            self.member_id = reply.member_id
        elif code == e.NONE:
            self.member_id, self.generation, self.state = reply.member_id, reply.generation_id, "syncing"
            if reply.leader == reply.member_id:
                self.made = self.world.shares(reply)
        else:
            self._fallen(code)

    def _synced(self, reply: SyncReply) -> None:
        if reply.error_code != e.NONE:
            self._fallen(reply.error_code)
            return
        self.state = "working"
        self.next_at = self.world.now + BEAT
        self.owned = {
            (topic_id(name), index)
            for name, indexes in read_assignment(reply.assignment).partitions.items()
            for index in indexes
        }
        self.world.check()

    def _beaten(self, code: int) -> None:
        if code != e.NONE:
            self._fallen(code)

    def _fallen(self, code: int) -> None:
        assert code in LOST or code in AGAIN, e.name(code)
        self._rejoin()
        self.next_at = self.world.now + 250
        if code in (e.UNKNOWN_MEMBER_ID, e.GROUP_ID_NOT_FOUND):
            self.member_id = ""
        elif code == e.FENCED_INSTANCE_ID:
            self.die()


class World(ConsumerPlaybook):
    def __init__(self, seed: int, kinds: list[type[Client]]) -> None:
        self.dice = random.Random(seed)
        interval = self.dice.choice([0, 0, 1_000])
        super().__init__(
            {"consumer.assignment.interval.ms": interval, "consumer.assignor.offload.enable": False},
            {"group_initial_rebalance_delay_ms": 500},
            t=self.dice.randint(1, 9),
        )
        self.steps = self.asked = 0
        self.loss = 0.03
        self._number = 0
        self.waiting: dict[int, Callable[[Any], None]] = {}
        self.clients: list[Any] = [self.dice.choice(kinds)(self, number) for number in range(self.dice.randint(2, 7))]

    def next_number(self) -> int:
        self._number += 1
        return self._number

    # -- the runtime's part

    def ask(self, event: Any, answered: Callable[[Any], None], *, loses: bool = False) -> None:
        self.asked += 1
        event.ticket = self.asked
        self.waiting[self.asked] = (lambda reply: None) if loses else answered
        self._carry_out(event)

    def _carry_out(self, event: Any) -> None:
        self.steps += 1
        if isinstance(event, Heartbeat):
            self.waiting.pop(event.ticket)(self.groups.heartbeat(event, self.now))
            return
        decision = self.groups.handle(event, self.now)
        self._write(GROUP, decision)
        self.check()
        for ticket, reply in decision.replies:
            self.waiting.pop(ticket)(reply)
        if decision.again is not None:
            self._carry_out(decision.again)

    def restart(self) -> Any:
        super().restart()
        self.waiting.clear()
        for client in self.clients:
            if client.busy:
                client.busy = False
                client.lost()
        self.check()

    def pass_time(self, ms: int) -> None:
        end = self.now + ms
        while self.now < end:
            self.now = min(end, self.now + 250)
            ticks = 0
            while self.groups.deadline(GROUP) <= self.now:
                self._carry_out(Tick(GROUP))
                ticks += 1
                assert ticks < 20, f"ticks without end: {self.state}"
            for client in self.dice.sample(self.clients, len(self.clients)):
                if client.busy and self.now > client.asked_at + client.patience_ms:
                    client.lose_answer()
                client.step()

    def shares(self, reply: JoinReply) -> dict[str, bytes]:
        """What a leader makes: each topic dealt out to its subscribers."""
        made: dict[str, dict[str, list[int]]] = {member_id: {} for member_id, _, _ in reply.members}
        for name in list(self.topics.names()):
            takers = [m for m, _, metadata in reply.members if name in read_subscription(metadata).topics]
            facts = self.topics.by_name(name)
            for index in range(facts.partitions if facts is not None and takers else 0):
                made[takers[index % len(takers)]].setdefault(name, []).append(index)
        return {member_id: pack_assignment(1, each.items()) for member_id, each in made.items()}

    def disturb(self) -> None:
        client = self.dice.choice(self.clients)
        match self.dice.randint(0, 12):
            case 0 | 1:
                client.die()
            case 2 | 3 | 4:
                client.restart()
            case 5 | 6:
                client.leave()
            case 7:
                client.subscribe(self.dice.choice([["t"], ["t", "u"], ["u"], ["*"]]))
            case 8:
                self.store_fails = True
            case 9 if self.dice.random() < 0.5:
                self.restart()
            case 10:
                client.lose_answer()
            case 11:
                name = self.dice.choice("tu")
                facts = self.topics.by_name(name)
                self.put(**{name: min(12, (facts.partitions if facts else 0) + self.dice.randint(1, 3))})
            case 12 if self.topics.by_name("u") is not None and self.dice.random() < 0.3:
                self.topics.drop("u")

    # -- what holds

    def check(self) -> None:
        group = self.group
        holders: dict[tuple[bytes, int], str] = {}
        if not isinstance(group, ConsumerGroup):
            return
        books: dict[tuple[bytes, int], str] = {}
        for member in group.members.values():
            for assigned in (member.assigned, member.revoking):
                for topic, epochs in assigned.items():
                    for index in epochs:
                        assert books.setdefault((topic, index), member.member_id) == member.member_id
                        assert index not in (member.revoking if assigned is member.assigned else {}).get(topic, {})
        assert books == group.owners
        for client in self.clients:
            if client.alive and client.member_id in group.members:
                for partition in client.owned:
                    other = holders.setdefault(partition, client.name)
                    assert other == client.name, f"{partition} is worked on by {other} and {client.name}"
        deadlines = [min(m.session_deadline, m.rebalance_deadline) for m in group.members.values()]
        earliest = min([group.assign_deadline, *deadlines, *group.phases.values()])
        assert group.wake_at <= max(earliest, self.now + RETRY_MS)
        if self.steps % 7 == 0:
            stored = self.make_groups()
            stored.load(sorted(self.records.values()), self.now)
            other_group: Any = stored.get(GROUP)
            assert other_group.members == group.members
            assert (other_group.group_epoch, other_group.assignment_epoch) == (
                group.group_epoch,
                group.assignment_epoch,
            )
            assert (other_group.metadata_hash, other_group.owners) == (group.metadata_hash, group.owners)

    def settle_down(self) -> None:
        self.store_fails = False
        self.loss = 0
        self.pass_time(4 * REBALANCE)
        alive = [client for client in self.clients if client.alive]
        group = self.group
        if not alive:
            assert group is None or group.is_empty or self.dice is None
            return
        assert group.state == "Stable", (self.state, [(c.name, c.member_id) for c in alive])
        assert set(group.members) == {client.member_id for client in alive}
        wanted = {topic for client in alive for topic in self.names_of(client)}
        everything = {
            (topic_id(name), index)
            for name in wanted
            if (facts := self.topics.by_name(name)) is not None
            for index in range(facts.partitions)
        }
        held = [partition for client in alive for partition in client.owned]
        assert len(held) == len(set(held))
        if not isinstance(group, ConsumerGroup):
            return  # these leaders do not look whether topics have grown
        assert set(held) == everything
        if len({tuple(self.names_of(client)) for client in alive}) == 1:
            loads = [len(client.owned) for client in alive]
            assert max(loads) - min(loads) <= 1
        written_so_far = self.written
        self.pass_time(4 * SESSION)
        assert self.written == written_so_far, "a write without a reason"

    def names_of(self, client: Any) -> list[str]:
        return ["t", "u"] if client.topics == ["*"] else sorted(client.topics)


def subscription(topics: list[str]) -> bytes:
    """Version 1, owning nothing."""
    out = (1).to_bytes(2, "big") + len(topics).to_bytes(4, "big")
    for topic in topics:
        out += len(topic).to_bytes(2, "big") + topic.encode()
    return out + b"\xff\xff\xff\xff" + bytes(4)


def books(owned: Owned) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for topic, index in owned:
        found.setdefault(topic, []).append(index)
    return found


def live(seed: int, steps: int, kinds: list[type[Client]]) -> World:
    world = World(seed, kinds)
    for _ in range(steps):
        world.pass_time(world.dice.choice([0, 250, 250, 1_000, 5_000, 20_000]))
        if world.store_fails and world.dice.random() < 0.5:
            world.store_fails = False
        world.disturb()
    world.settle_down()
    return world


@pytest.mark.parametrize("seed", range(6))
def test_a_short_life(seed: int) -> None:
    live(seed, 20, [Modern])


@pytest.mark.parametrize("seed", range(6))
def test_a_short_life_of_both_protocols(seed: int) -> None:
    live(seed, 20, [Modern, Classic])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_long_life(seed: int) -> None:
    world = live(seed, 100, [Modern])
    assert world.steps > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_a_long_life_of_both_protocols(seed: int) -> None:
    world = live(seed, 100, [Modern, Classic])
    assert world.steps > 50
