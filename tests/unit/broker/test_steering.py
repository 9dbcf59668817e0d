"""Where clients are sent when there are several brokers."""

from __future__ import annotations

from moldau.broker.steering import Steering
from moldau.cluster.member import Member
from moldau.cluster.membership import SETTLE_MS, Membership
from moldau.protocol.error_codes import NONE, NOT_LEADER_OR_FOLLOWER


class World:
    """Broker 1 of three, in racks a, b and c; `now` in ms."""

    def __init__(self) -> None:
        self.now = 0
        self.brokers = [Member(node_id, 1, rack, {}, "0") for node_id, rack in ((1, "a"), (2, "b"), (3, "c"))]
        self.members = Membership(self.brokers[0])
        self.members.update([(member, 0) for member in self.brokers], self.now)
        self.steering = Steering(self.members, lambda: self.now)
        keys = range(100)
        self.mine = next(key for key in keys if self.members.leader_of(key) == 1)
        self.theirs = next(key for key in keys if self.members.leader_of(key) == 2)


def test_a_producer_stays_until_another_leader_has_been_named_for_a_while() -> None:
    world = World()
    assert world.steering.writer(world.mine)
    assert world.steering.writer(world.theirs)
    world.now = SETTLE_MS
    assert world.steering.writer(world.mine)
    assert not world.steering.writer(world.theirs)


def test_a_consumer_without_a_rack_is_sent_to_the_leader() -> None:
    world = World()
    world.now = SETTLE_MS
    assert world.steering.reader(world.mine, "") is None
    assert world.steering.reader(world.theirs, "") == (NOT_LEADER_OR_FOLLOWER, 2)


def test_a_consumer_of_this_rack_stays_whoever_leads() -> None:
    world = World()
    world.now = SETTLE_MS
    assert world.steering.reader(world.mine, "a") is None
    assert world.steering.reader(world.theirs, "a") is None


def test_the_leader_tells_a_consumer_of_the_broker_in_its_rack() -> None:
    world = World()
    world.now = SETTLE_MS
    assert world.steering.reader(world.mine, "b") == (NONE, 2)
    assert world.steering.reader(world.mine, "c") == (NONE, 3)
    assert world.steering.reader(world.mine, "nowhere") is None
    assert world.steering.reader(world.theirs, "b") == (NOT_LEADER_OR_FOLLOWER, 2)


def test_a_broker_that_leaves_sends_everybody_away_at_once() -> None:
    world = World()
    world.brokers[0].draining = True
    world.members.update([(member, 0) for member in world.brokers], world.now)
    assert not world.steering.writer(world.mine)
    for rack in ("", "a", "b"):
        answer = world.steering.reader(world.mine, rack)
        assert answer in ((NOT_LEADER_OR_FOLLOWER, 2), (NOT_LEADER_OR_FOLLOWER, 3))
