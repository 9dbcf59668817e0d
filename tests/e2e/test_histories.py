"""Short runs with faults: what was acknowledged is there, once, in order, and every request that began afterwards knew of it."""

from __future__ import annotations

import pytest
from histories.checker import check, report
from histories.faults import KINDS, schedule
from histories.history import FAILED, OK, Commit, Look, Poll, Send, Txn
from histories.summary import table
from histories.transactional import SETTINGS
from histories.workload import Plan, run
from support.cluster import Cluster, Single
from support.replicated import Replicated


def test_schedules_are_those_of_their_seeds() -> None:
    kinds = sorted(KINDS)
    made = [schedule(seed, 30, [1, 2, 3], kinds) for seed in range(50)]
    assert made == [schedule(seed, 30, [1, 2, 3], kinds) for seed in range(50)]
    assert len({tuple(each) for each in made}) == 50
    faults = [fault for each in made for fault in each]
    assert {fault.kind for fault in faults} == set(kinds)
    assert all(0 < fault.at < 30 and fault.at + fault.seconds <= 30.01 for fault in faults)
    assert all((fault.node in (1, 2, 3)) == KINDS[fault.kind].of_broker for fault in faults)
    assert schedule(1, 30, [1], []) == []


def test_every_fault_is_one_that_some_cluster_can_suffer() -> None:
    assert Single().can < Cluster(blobs="file").can < Cluster(blobs="minio").can
    assert Cluster(blobs="minio").can | Replicated().can == set(KINDS)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_broker_that_is_killed_and_paused() -> None:
    with Single() as cluster:
        outcome = run(cluster, Plan(seed=15, seconds=14, faults=["kill", "pause"]))
        history = outcome.history
        assert check(history) == [], report(check(history))
        assert outcome.trouble == []
        assert {fault.kind for fault in outcome.faults} == {"kill", "pause"}
        sends = [op for op in history if isinstance(op, Send)]
        assert sum(send.result == OK for send in sends) > len(sends) * 0.8 > 500, table(history)
        for kind in (Poll, Look, Commit):
            assert any(isinstance(op, kind) for op in history), table(history)
        assert "2 kill, 2 pause" in table(history)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_brokers_together_whatever_is_broken() -> None:
    """On PostgreSQL and a shared folder."""
    with Cluster(3, "file") as cluster:
        faults = sorted(cluster.can)
        outcome = run(cluster, Plan(seed=5, seconds=15, faults=faults))
    history = outcome.history
    assert check(history) == [], report(check(history))
    assert outcome.trouble == []
    assert len({fault.kind for fault in outcome.faults}) > 3
    sends = [op for op in history if isinstance(op, Send)]
    assert sum(send.result == OK for send in sends) > len(sends) * 0.8 > 500, table(history)
    for kind in (Poll, Look, Commit):
        assert any(isinstance(op, kind) for op in history), table(history)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_transactions_on_one_broker_that_is_killed() -> None:
    with Single(**SETTINGS) as cluster:
        outcome = run(cluster, Plan(seed=8, seconds=8, faults=["kill"], per_second=30, transactions=True))
    history = outcome.history
    assert check(history) == [], report(check(history))
    assert outcome.trouble == []
    txns = [op for op in history if isinstance(op, Txn)]
    assert sum(txn.result == OK for txn in txns) > 20, table(history)
    assert any(txn.result == FAILED for txn in txns), table(history)
    assert any(txn.inputs for txn in txns), table(history)
