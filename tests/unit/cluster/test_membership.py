from __future__ import annotations

import pytest

from moldau.cluster.member import Member, pack_endpoints, unpack_endpoints
from moldau.cluster.membership import SETTLE_MS, Membership

KEYS = range(200)


def member(node_id: int, incarnation: int = 1, **other: object) -> Member:
    return Member(
        node_id, incarnation, other.get("rack"), {"PLAINTEXT": ("h", 9000 + node_id)}, "1", bool(other.get("draining"))
    )  # type: ignore[arg-type]


def three() -> Membership:
    members = Membership(member(1))
    members.update([(member(n), 0) for n in (1, 2, 3)], 0)
    return members


def leads(members: Membership) -> set[int]:
    return {members.leader_of(key) for key in KEYS}


def test_alone() -> None:
    members = Membership(member(1))
    assert (members.node_ids, leads(members), members.replicas_of(7, 3)) == ([1], {1}, [1])
    assert members.moved_to(7, 1 << 40) is None


def test_members_come_and_go_and_each_change_is_told() -> None:
    members = three()
    told: list[int] = []
    members.on_change(lambda: told.append(members.version))
    assert leads(members) == {1, 2, 3}
    members.update([(member(n), 0) for n in (2, 1, 3)], 5)
    assert told == []
    members.update([(member(1), 0), (member(2), 0)], 10)
    assert leads(members) == {1, 2}
    members.update([(member(1), 0), (member(2, 2), 0)], 20)
    assert len(told) == 2
    assert told[0] < told[1]
    assert [peer.incarnation for peer in members.peers] == [2]


def test_a_suspect_is_not_named_until_a_heartbeat_after_that() -> None:
    members = three()
    members.suspect(2, 100)
    members.suspect(2, 150)
    members.suspect(1, 100)
    assert members.node_ids == [1, 3]
    assert [peer.node_id for peer in members.peers] == [2, 3]
    rows = [(member(1), 0), (member(2), 60), (member(3), 0)]
    members.update(rows, 160)
    assert members.node_ids == [1, 3]
    members.update(rows, 161)
    assert members.node_ids == [1, 2, 3]
    members.suspect(3, 200)
    members.trust(3, 201)
    assert members.node_ids == [1, 2, 3]


def test_who_drains_is_named_no_more_unless_all_do() -> None:
    members = three()
    members.update([(member(1), 0), (member(2, draining=True), 0), (member(3), 0)], 10)
    assert leads(members) == {1, 3}
    members.me.draining = True
    members.update([(member(2, draining=True), 0)], 20)
    assert leads(members) == {1, 2}


def test_clients_are_sent_on_when_a_change_has_settled() -> None:
    members = three()
    mine = next(key for key in KEYS if members.leader_of(key) == 1)
    other = next(key for key in KEYS if members.leader_of(key) == 2)
    members.update([(member(1), 0), (member(2), 0)], 5000)
    assert members.moved_to(mine, 9000) is None
    assert members.moved_to(other, 5000 + SETTLE_MS - 1) is None
    assert members.moved_to(other, 5000 + SETTLE_MS) == 2
    members.update([(member(1), 0), (member(2), 0), (member(3), 0)], 6500)
    members.me.draining = True
    members.update([(member(2), 0)], 7000)
    assert members.moved_to(mine, 7000) == 2


def test_an_assigned_partition_is_led_by_the_first_of_its_brokers_that_lives() -> None:
    assigned = {7: [3, 1], 8: [9]}
    members = Membership(member(1), assigned)
    members.update([(member(n), 0) for n in (1, 2, 3)], 0)
    assert (members.partition_leader(7), members.replicas_of(7, 2)) == (3, [3, 1])
    assert members.moved_to(7, SETTLE_MS) == 3
    members.suspect(3, 10)
    assert (members.partition_leader(7), members.replicas_of(7, 2), members.moved_to(7, 10)) == (1, [1], None)
    assert [members.partition_leader(8), members.replicas_of(8, 1)[0]] == [members.leader_of(8)] * 2
    assigned[9] = [2]
    assert members.partition_leader(9) == 2


def test_the_rack_of_a_reader() -> None:
    members = Membership(member(1, rack="a"))
    members.update([(member(1, rack="a"), 0), (member(2, rack="b"), 0), (member(3, rack="b"), 0)], 0)
    assert {members.in_rack(key, "b") for key in KEYS} == {2, 3}
    assert members.in_rack(1, "c") is None
    assert all(len(set(members.replicas_of(key, 2)) & {2, 3}) == 1 for key in KEYS)


def test_endpoints_as_text() -> None:
    endpoints = {"PLAINTEXT": ("h", 9092), "IN": ("::1", 1)}
    assert unpack_endpoints(pack_endpoints(endpoints)) == endpoints
    assert unpack_endpoints("") == {}
    with pytest.raises(ValueError, match="Expecting"):
        unpack_endpoints("{")


def test_who_ended_before_our_eyes_is_dead_until_it_answers_or_is_registered_no_more() -> None:
    me, peer = Member(1, 1, None, {}, "0"), Member(2, 4, None, {}, "0")
    members = Membership(me)
    members.update([(me, 0), (peer, 0)], 0)
    assert not members.is_dead("2:4")
    assert members.is_dead("2:3")  # a later start of that node is registered
    assert not members.is_dead("2:5")
    assert not members.is_dead("start:ab12")
    members.ended(peer, 10)
    assert members.is_dead("2:4")
    assert members.node_ids == [1]
    members.trust(2, 20)
    assert not members.is_dead("2:4")
    assert members.node_ids == [1, 2]
    members.ended(peer, 30)
    members.update([(me, 0)], 40)
    assert not members.is_dead("2:4")
