"""Short runs with faults: what was acknowledged is there, once, in order, and every request that began afterwards knew of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from histories.checker import check, report
from histories.faults import KINDS, schedule
from histories.history import FAILED, OK, Commit, Look, Poll, Send, Txn, read
from histories.summary import table
from histories.workload import Plan, run
from support.cluster import Cluster, Single
from support.replicated import Replicated

ROOT = Path(__file__).resolve().parents[2]


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
def test_transactions_on_one_broker_that_is_killed(tmp_path: Path) -> None:
    """In a process of its own: librdkafka was seen to abort its program when the broker of a producer with a transaction died."""
    arguments = ["--seed", "8", "--seconds", "12", "--faults", "kill", "--rate", "30", "--transactions", "--save"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tests.histories", *arguments, "--out", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != -signal.SIGABRT:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    txns = [op for op in read(tmp_path / "single-seed-8.jsonl") if isinstance(op, Txn)]
    assert sum(txn.result == OK for txn in txns) > 5, done.stdout
    assert any(txn.result == FAILED for txn in txns), done.stdout
    assert any(txn.inputs for txn in txns), done.stdout
