"""What is measured of groups beside Apache Kafka, what is expected of it, and why.

Seats: ``ours`` and ``kafka`` (Apache Kafka 4.3.1), each as it comes but for the session time-out and the heartbeat interval, which are short on both, so that
a run ends: 6 s and 1 s. The clients are the same programs of plain sockets (``crowd.py``, ``requests.py``, ``sharing.py``).

The sketches, for two shared cores:

``rebalance``  100 members, 1,000 partitions, ten each. A broker cannot call a member: a change reaches it in the answer to its next heartbeat, at most an interval of 1 s
    after the change. So it matters to whom the change goes, and when it is asked again: ours takes from, and gives to, the members whose heartbeats are due first, and has who waits for
    partitions come back after a tenth of the interval. One joins: the answer to its first heartbeat has the new target made (3 ms for 1,000 partitions and 100 members) and hands out
    nothing yet; the ten members that give one up are heard of within 0.1 s, and say at once that they have; the newcomer's next heartbeats, every 0.1 s, take what is there: 0.2 to 0.3 s.
    Kafka's takes the rest of its interval, 1 to 2 s. One closes: its partitions are free at once, each of the ten that get one hears within 0.1 s; Kafka's ten are any: 0.9 s. One dies: the
    same after 6 s. All 100 at once: the first one has everything until the second target, which the assignment interval of 1 s delays; then as with one that joins.
``heartbeat``  five in flight for each member, none of which changes anything: each is what its connection said last, and is recognised and answered in 2.5 us, without
    being decoded (`moldau.broker.routine`; else 10 us in the handler); reading and answering is shared by the five: 6 us.
    Kafka takes one request of a connection at a time, through two threads: 25-30 us when warm.
``heartbeat-1``  one in flight for each member: each has a read and a write of its own, 8 us in the kernel, and 3 us around it: 11 us. This is what real members look like.
``commit-1``, ``commit-10``  five in flight for each member, commits of 1 or of 10 partitions; one at a time of each connection is begun. All that came together is one write of the journal and its sync, 100 us of CPU.
    Each commit is its connection's last one with other offsets, so it is neither decoded nor looked up (`moldau.broker.recurring`): 7 us of reading and writing the socket, 10 us of the commit; 0.5 us for each
    partition on the loop, and its row if no later commit comes before the next tenth of a second: 17 us, and 22-28 us.
    Kafka appends a record for each partition into its log of offsets, without a sync: 35-60 us and a few more for each partition.
``share-1``  one share consumer that asks for 500 records and accepts them with its next request: all in one round trip. 0.1 ms of parsing and of the state machine, a read of 60 KB from
    the cache 0.1 ms, the client's own 0.2 ms; what was accepted is a row and its sync, 0.7 ms, before the answer. So 1.1-1.3 ms: 400,000 records/s, and less where the disk is slow. Kafka's state
    goes to a log without a sync, through three threads: 1-1.5 ms.
``share-8``  eight of them on eight partitions: rows share syncs, and nobody waits for another: bound by CPU, 0.3 ms of the broker for 500 records, 0.2 ms of the clients on the other core: 1.5 million records/s.
"""

from __future__ import annotations

from bench.workloads import KAFKA, METRICS, OURS, Target, Workload, at_most

SEATS = (OURS, KAFKA)
MEMBERS = 100


def _request(name: str, title: str, partitions: int, requests: int, in_flight: int = 5) -> Workload:
    return Workload(
        name,
        title,
        "request",
        (at_most("cpu_us_per_request", KAFKA, 1.0, 0.5),),
        seats=SEATS,
        partitions=partitions,
        load=(name.partition("-")[0], str(in_flight)),
        records=requests,
        quick_records=requests // 8,
        metrics=("requests_s", "cpu_us_per_request"),
    )


def _share(consumers: int, records: int) -> Workload:
    many = "one share consumer" if consumers == 1 else f"{consumers} share consumers"
    return Workload(
        f"share-{consumers}",
        f"{many}, 8 partitions, records of 100 B, 500 at a time",
        "share",
        (Target("records_s", KAFKA, 1.2, 2.0),),
        seats=SEATS,
        partitions=8,
        load=(str(consumers),),
        records=records,
        quick_records=records // 3,
        metrics=("records_s", "cpu_s_per_m"),
    )


WORKLOADS: list[Workload] = [
    Workload(
        "rebalance",
        f"{MEMBERS} members, 1,000 partitions, until all own their part",
        "rebalance",
        tuple(at_most(metric, KAFKA, 1.0, 0.5) for metric in ("join_s", "close_s", "kill_s")),
        seats=SEATS,
        partitions=1000,
        records=5,
        quick_records=1,
        metrics=("start_s", "join_s", "close_s", "kill_s"),
    ),
    _request("heartbeat", f"heartbeats that change nothing, {MEMBERS} members, 500 in flight", MEMBERS, 40_000),
    _request("heartbeat-1", "the same, one in flight for each member", MEMBERS, 40_000, in_flight=1),
    _request("commit-1", f"offset commits of one partition, {MEMBERS} members, 500 in flight", MEMBERS, 20_000),
    _request("commit-10", f"offset commits of ten partitions, {MEMBERS} members, 500 in flight", 10 * MEMBERS, 10_000),
    _share(1, 1_000_000),
    _share(8, 2_000_000),
]

BY_NAME = {w.name: w for w in WORKLOADS}

# metric -> (how a person reads it, format)
ALL_METRICS: dict[str, tuple[str, str]] = {
    **METRICS,
    "start_s": ("s when all come at once", "{:.2f}"),
    "join_s": ("s when one joins", "{:.2f}"),
    "close_s": ("s when one closes", "{:.2f}"),
    "kill_s": ("s when one is killed", "{:.2f}"),
}
