"""The total never changes: transfers between accounts, exactly once, while brokers are killed and networks fail."""

from __future__ import annotations

import pytest
from histories.faults import Injector, schedule
from histories.recorder import Recorder
from support.bank import Auditor, Bank, audit
from support.cluster import Brokers, Cluster, Single

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

QUICK = {
    "moldau.segment.build.age.ms": "0",
    "log.cleaner.backoff.ms": "50",
    "log.segment.delete.delay.ms": "0",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
}


def transfer(cluster: Brokers, faults: list[str], seed: int, seconds: float) -> tuple[Bank, Auditor, int]:
    """The bank, its auditor, and how many faults there were."""
    bank, auditor = Bank(cluster.bootstrap, seed), Auditor(cluster.bootstrap)
    bank.open()
    injector = Injector(cluster, schedule(seed, seconds, sorted(cluster.nodes), faults), Recorder())
    bank.start()
    auditor.start()
    injector.start()
    try:
        bank.send(seconds)
    finally:
        injector.stop()
        audit(bank, auditor)
    assert injector.trouble == []
    return bank, auditor, len(injector.begun)


def test_one_broker_that_is_killed() -> None:
    with Single(**QUICK) as cluster:
        bank, auditor, faults = transfer(cluster, ["kill"], seed=4, seconds=6)
    assert faults > 1
    assert bank.commits > 20
    assert bank.zombies + bank.aborts > 1
    assert auditor.looks > 3


def test_three_brokers_whatever_is_broken() -> None:
    with Cluster(3, "file", **QUICK) as cluster:
        bank, auditor, faults = transfer(cluster, sorted(cluster.can - {"pg-restart"}), seed=9, seconds=7)
    assert faults > 2
    assert bank.commits > 20
    assert bank.zombies + bank.aborts > 1
    assert auditor.looks > 3
