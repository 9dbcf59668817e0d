"""`moldau migrate`: from one machine to many and back, record by record; interrupted anywhere; and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from support import small_broker
from support.logs import Log
from support.postgres import Postgres, Servers
from support.s3_servers import CREDENTIALS, running
from support.stores import postgres_opener
from support.talker import Talker, batch_of, records_of
from support.workload import deep_look

from moldau import faults
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobStore
from moldau.broker.moved import UNMARK
from moldau.cli.main import root
from moldau.log.reader import Reader
from moldau.log.tail_cache import TailCache
from moldau.log.view import PartitionView
from moldau.log.views import Views
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.postgres.group_store import PostgresGroupStore
from moldau.metadata.postgres.log_store import PostgresLogStore
from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.group_rows import SqlGroupStore
from moldau.metadata.sql.topic_rows import SqlTopicStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.log_store import SqliteLogStore
from moldau.records.builder import build_batch
from moldau.records.compression import CODEC_NAMES
from moldau.records.record import Record
from moldau.server.migration.blobs import AT_ONCE
from moldau.server.migration.opening import open_source
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLED = -9
PARTITIONS = [("codecs", n) for n in range(3)] + [("plain", 0), ("cut", 0)]
Records = list[tuple[int, int, bytes | None, bytes | None]]
"""(offset, timestamp, key, value)"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_broker.shrink(monkeypatch.setattr)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield
    faults.watch(None)
    faults.arm("")


@pytest.fixture
def server(postgres_servers: Servers) -> Postgres:
    return postgres_servers[16]


class Cluster:
    """Where to: an empty database and an empty place for blobs."""

    def __init__(self, server: Postgres, blobs: str) -> None:
        self.server = server
        self.database = server.database()
        self.metadata = server.url(self.database)
        self.blobs = blobs

    @property
    def to(self) -> list[str]:
        return ["--to-metadata", self.metadata, "--to-blobs", self.blobs]

    @property
    def back(self) -> list[str]:
        return ["--from-metadata", self.metadata, "--from-blobs", self.blobs]

    def clusters(self) -> str:
        """How many there are; empty before there are tables."""
        if not self.server.sql("SELECT to_regclass('cluster')", self.database):
            return ""
        return self.server.sql("SELECT count(*) FROM cluster", self.database)


@pytest.fixture
def cluster(server: Postgres, tmp_path: Path) -> Cluster:
    return Cluster(server, f"file://{tmp_path}/blobs")


def done(*words: Any) -> dict[str, Any]:
    result = CliRunner().invoke(root, ["migrate", *(str(word) for word in words), "--format", "json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*words: Any) -> str:
    """The one line."""
    result = CliRunner().invoke(root, ["migrate", *(str(word) for word in words)])
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


class Filled:
    """What is in the source, as its broker served it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.records: dict[tuple[str, int], Records] = {}
        self.producer = (-1, -1)
        self.sent = 0
        self.newest_producer = 0

    def fill(self, wire: Talker, bootstrap: str) -> None:
        for name, partitions in (("codecs", 3), ("plain", 1), ("cut", 1), ("gone", 1)):
            assert wire.create_topic(name, partitions, retention_ms="-1") == 0
        self.producer = wire.producer_id()[:2]
        for n in range(60):
            for at in range(3):
                codec = (n + at) % len(CODEC_NAMES)
                value = os.urandom(20_000) if n % 3 == 0 else b"v%d" % n * 500
                records = [Record(i, 1_700_000_000_000 + n, b"k%d" % n, value) for i in range(3)]
                assert wire.produce("codecs", at, build_batch(records, codec=codec)).error_code == 0
            assert wire.produce("cut", 0, batch_of([b"c%d" % n])).error_code == 0
            assert wire.produce("gone", 0, batch_of([b"g" * 3000])).error_code == 0
        for _ in range(25):
            self.send(wire)
        for n in range(3):
            assert wire.commit_offset(f"group {n}", "plain", 0, 10 + n) == 0
        assert wire.delete_topic("gone") == 0
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.delete_records([TopicPartition("cut", 0, 21)]).values():
            assert future.result(20).low_watermark == 21
        for kind, name, key in (
            (ResourceType.TOPIC, "plain", "max.message.bytes"),
            (ResourceType.BROKER, "1", "message.max.bytes"),
        ):
            entry = ConfigEntry(key, "1234567", incremental_operation=AlterConfigOpType.SET)
            for future in admin.incremental_alter_configs(
                [ConfigResource(kind, name, incremental_configs=[entry])]
            ).values():
                future.result(20)
        self.newest_producer = wire.producer_id()[0]
        self.look(wire)

    def send(self, wire: Talker) -> None:
        """The idempotent producer's next batch."""
        answer = wire.produce("plain", 0, batch_of([b"p%d" % self.sent], self.producer, self.sent))
        assert (answer.error_code, answer.base_offset) == (0, self.sent)
        self.sent += 1

    def look(self, wire: Talker) -> None:
        self.records = {each: read_all(wire, *each) for each in PARTITIONS}
        assert len(self.records["cut", 0]) == 39
        assert all(self.records.values())

    def check_served(self, bootstrap: str) -> None:
        """By a broker that goes on: everything is there, and goes on where it was."""
        with Talker(bootstrap) as wire:
            assert wire.topics() == ["codecs", "cut", "plain"]
            for each, records in self.records.items():
                assert read_all(wire, *each) == records
            assert wire.offset("cut", 0, -2) == 21
            for n in range(3):
                assert wire.committed_offset(f"group {n}", "plain", 0) == 10 + n
            again = wire.produce("plain", 0, batch_of([b"p%d" % (self.sent - 1)], self.producer, self.sent - 1))
            assert (again.error_code, again.base_offset) == (0, self.sent - 1)  # a duplicate, not written twice
            self.send(wire)
            assert len(read_all(wire, "plain", 0)) == self.sent
            assert wire.producer_id()[0] > self.newest_producer
            assert wire.create_topic("new") == 0
            assert wire.produce("new", 0, batch_of([b"n"])).base_offset == 0
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for kind, name, key in (
            (ResourceType.TOPIC, "plain", "max.message.bytes"),
            (ResourceType.BROKER, "1", "message.max.bytes"),
        ):
            (future,) = admin.describe_configs([ConfigResource(kind, name)]).values()
            assert future.result(20)[key].value == "1234567"
        (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("group 0")]).values()
        assert [each.offset for each in future.result(20).topic_partitions] == [10]


def read_all(wire: Talker, topic: str, partition: int) -> Records:
    found: Records = []
    offset = wire.offset(topic, partition, -2)
    while offset < wire.offset(topic, partition, -1):
        records = records_of(wire.fetch(topic, partition, offset).records)
        found += [(each.offset, each.timestamp, each.key, each.value) for each in records if each.offset >= offset]
        offset = found[-1][0] + 1
    return found


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    made = Filled(tmp_path / "data")
    with BrokerThread(small_broker.options(), made.data) as broker, Talker(broker.bootstrap) as wire:
        made.fill(wire, broker.bootstrap)
    return made


async def through_the_ports(cluster: Cluster, filled: Filled) -> None:
    """Every record by the reader of a cluster's broker; every producer's state as the source has it."""
    engine = PostgresEngine(cluster.metadata)
    await engine.open()
    blobs: BlobStore = await open_source(cluster.blobs)
    ours = SqliteEngine(filled.data / "metadata.sqlite", asyncio.get_running_loop())
    ours.open()
    store = PostgresLogStore(engine)
    try:
        cache = TailCache(0)
        views, reader = Views(store, cache, 100), Reader(store, blobs, cache, guesses=True)
        topics = {topic.name: topic for topic in await SqlTopicStore(engine).load_topics()}
        assert sorted(topics) == ["codecs", "cut", "plain"]
        assert topics == {topic.name: topic for topic in await SqlTopicStore(ours).load_topics()}
        for (name, index), records in filled.records.items():
            partition_id = topics[name].partitions[index].partition_id
            view = await views.load(partition_id)
            assert view is not None
            found: Records = []
            offset = view.log_start_offset
            while offset < view.high_watermark:
                for buffer in (await reader.read(view, offset, 1 << 20, True))[0]:
                    found += [
                        (r.offset, r.timestamp, r.key, r.value) for r in records_of(bytes(buffer)) if r.offset >= offset
                    ]
                offset = found[-1][0] + 1
            assert found == records
            state = await SqliteLogStore(ours).load_partition(partition_id)
            assert state is not None
            assert dict(view.producers.by_id).keys() == dict(PartitionView(state).producers.by_id).keys()
            if name == "plain":
                producer = view.producers.by_id[filled.producer[0]]
                assert (producer.epoch, producer.batches[-1].last_sequence) == (filled.producer[1], filled.sent - 1)
        groups = PostgresGroupStore(engine)
        assert await groups.load_groups() == await SqlGroupStore(ours).load_groups()
        (row,) = await groups.fetch_offsets("group 2", None)
        assert row.offset == 12
        await groups.close()
        assert await SqlClusterStore(engine, 1).load_cluster() == await SqlClusterStore(ours, 1).load_cluster()
        entities = await SqlClusterStore(engine, 1).load_entities()
        assert ("broker", "1", {"message.max.bytes": "1234567"}) in entities
        assert sorted(entities) == sorted(await SqlClusterStore(ours, 1).load_entities())
    finally:
        await store.close()
        ours.close()
        await blobs.close()
        await engine.close()


@pytest.mark.parametrize("where", ["file", "minio"])
@pytest.mark.parametrize("verify", ["quick", "full"])
def test_there_and_back(filled: Filled, server: Postgres, tmp_path: Path, where: str, verify: str) -> None:
    cluster = Cluster(server, f"file://{tmp_path}/blobs" if where == "file" else running("minio").url())
    found = done("--from", filled.data, *cluster.to, "--verify", verify)
    assert (found["topics"], found["partitions"], found["groups"], found["offsets"]) == (3, 5, 3, 3)
    assert found["records"] == sum(len(records) for records in filled.records.values())
    assert found["blobs_copied"] == found["blobs"] > 1
    assert (found["verified"], found["batches"] > 0) == (
        ("full", True) if verify == "full" else ("rows and sizes", False)
    )
    asyncio.run(through_the_ports(cluster, filled))
    found = done(*cluster.back, "--to", tmp_path / "back", "--verify", verify)
    assert found["offsets_put_in"] == 0
    deep_look(tmp_path / "back")
    deep_look(filled.data)
    with BrokerThread(small_broker.options(), tmp_path / "back") as broker:
        filled.check_served(broker.bootstrap)
    deep_look(tmp_path / "back")


def test_brokers_go_on_with_the_cluster(filled: Filled, cluster: Cluster, tmp_path: Path) -> None:
    done("--from", filled.data, *cluster.to)
    shared = {"moldau.metadata.url": cluster.metadata, "moldau.blobs.url": cluster.blobs, "broker.id": "1"}
    with BrokerThread(settings=shared) as broker:
        filled.check_served(broker.bootstrap)
        assert "is alive" in refused(*cluster.back, "--to", tmp_path / "back")
        with Talker(broker.bootstrap) as wire:
            assert wire.delete_topic("new") == 0
            filled.newest_producer = wire.producer_id()[0]
            filled.look(wire)
    done(*cluster.back, "--to", tmp_path / "back", "--verify", "full")
    with BrokerThread(small_broker.options(), tmp_path / "back") as broker:
        filled.check_served(broker.bootstrap)


def test_of_a_broker_that_was_killed(tmp_path: Path, cluster: Cluster) -> None:
    """What is in the journal only comes along."""
    filled = Filled(tmp_path / "data")
    broker = BrokerProcess(filled.data, program=[small_broker.__file__]).start()
    with Talker(broker.bootstrap) as wire:
        filled.fill(wire, broker.bootstrap)
        broker.kill()
    done("--from", filled.data, *cluster.to, "--verify", "full")
    asyncio.run(through_the_ports(cluster, filled))


def test_the_directory_is_not_served_by_accident(filled: Filled, cluster: Cluster) -> None:
    done("--from", filled.data, *cluster.to)
    with pytest.raises(Exception, match=r"was migrated to postgresql.* delete .*migrated.json"):
        BrokerThread(small_broker.options(), filled.data).start()
    found = done("--from", filled.data, *cluster.to)
    assert (found["verified"], found["blobs_copied"]) == ("before", 0)
    other = Cluster(cluster.server, cluster.blobs + "2")
    assert "was migrated to" in refused("--from", filled.data, *other.to)
    (filled.data / "migrated.json").unlink()
    with BrokerThread(small_broker.options(), filled.data) as broker:
        filled.check_served(broker.bootstrap)
    told = refused("--from", filled.data, *cluster.to)
    assert "holds this cluster already, but not as it is in" in told
    done("--from", filled.data, *other.to)


def test_the_cluster_is_not_served_by_accident(filled: Filled, migrated: Cluster, tmp_path: Path) -> None:
    shared = {"moldau.metadata.url": migrated.metadata, "moldau.blobs.url": migrated.blobs, "broker.id": "1"}
    back = tmp_path / "back"
    done(*migrated.back, "--to", back)
    with pytest.raises(Exception, match=rf"was migrated to {back} at .*: DELETE FROM entity WHERE"):
        BrokerThread(settings=shared).start()
    assert f"was migrated to {back} at" in refused(*migrated.back, "--to", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with BrokerThread(small_broker.options(), back) as broker:
        filled.check_served(broker.bootstrap)
    migrated.server.sql(UNMARK, migrated.database)
    with BrokerThread(settings=shared) as broker:
        filled.check_served(broker.bootstrap)
    done(*migrated.back, "--to", tmp_path / "other")


# -- deaths ---------------------------------------------------------------------------------------------------------------


def killed(point: str, *words: Any) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "moldau", "migrate", *(str(word) for word in words)],
        env={**os.environ, "MOLDAU_FAULTS": f"{point}"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == KILLED, run.stderr.decode()


BEFORE_THE_COMMIT = {
    "server.migrate.replay=kill",
    "server.migrate.claim=kill",
    "server.migrate.claimed=kill",
    "server.migrate.blob=kill",
    "blobs.local.put_written=kill:3",
    "server.migrate.check=kill",
    "server.migrate.rows=kill",
    "server.migrate.rows=kill:6",
    "server.migrate.compare=kill",
    "metadata.postgres.commit=kill",
}
AFTER_IT = {
    "metadata.postgres.committed=kill",
    "server.migrate.committed=kill",
    "server.migrate.note=kill",
    "server.migrate.finish=kill",
}


@pytest.mark.parametrize("point", sorted(BEFORE_THE_COMMIT | AFTER_IT))
def test_killed_on_the_way_there(filled: Filled, cluster: Cluster, point: str) -> None:
    killed(point, "--from", filled.data, *cluster.to, "--verify", "full")
    assert cluster.clusters() in (("1",) if point in AFTER_IT else ("", "0"))
    found = done("--from", filled.data, *cluster.to, "--verify", "full")
    asyncio.run(through_the_ports(cluster, filled))
    assert cluster.clusters() == "1"
    assert (filled.data / "migrated.json").exists()
    asyncio.run(only_named(cluster, found["blobs"]))


def test_what_was_copied_before_a_death_is_not_copied_again(filled: Filled, cluster: Cluster) -> None:
    """However batches were merged meanwhile, there are more blobs here than are copied at once."""
    with BrokerThread(small_broker.options(), filled.data) as broker, Talker(broker.bootstrap) as wire:
        for n in range(AT_ONCE + 2):
            for _ in range(7):
                assert wire.produce("codecs", n % 3, batch_of([os.urandom(100_000)])).error_code == 0
        filled.look(wire)
    killed(f"server.migrate.blob=kill:{AT_ONCE + 1}", "--from", filled.data, *cluster.to)
    assert cluster.clusters() in ("", "0")
    found = done("--from", filled.data, *cluster.to, "--verify", "full")
    assert 0 < found["blobs_copied"] < found["blobs"]
    asyncio.run(through_the_ports(cluster, filled))
    asyncio.run(only_named(cluster, found["blobs"]))


async def only_named(cluster: Cluster, blobs: int) -> None:
    store = await open_source(cluster.blobs)
    assert len(await store.sizes()) == blobs
    await store.close()


@pytest.mark.parametrize("point", ["server.migrate.blob=kill:3", "metadata.postgres.commit=kill"])
def test_the_directory_goes_on_after_a_migration_that_died(filled: Filled, cluster: Cluster, point: str) -> None:
    killed(point, "--from", filled.data, *cluster.to)
    with BrokerThread(small_broker.options(), filled.data) as broker:
        filled.check_served(broker.bootstrap)
        with Talker(broker.bootstrap) as wire:
            assert wire.delete_topic("new") == 0
            for n in range(30):
                assert wire.produce("codecs", n % 3, batch_of([b"m" * 20_000])).error_code == 0
            filled.look(wire)
    found = done("--from", filled.data, *cluster.to, "--verify", "full")
    asyncio.run(through_the_ports(cluster, filled))
    asyncio.run(only_named(cluster, found["blobs"]))


WAYS_BACK = {
    "server.migrate.note=kill",
    "server.migrate.clear=kill",
    "server.migrate.blob=kill:2",
    "server.migrate.fetch=kill:2",
    "server.migrate.fetched=kill:3",
    "server.migrate.rows=kill:6",
    "server.migrate.compare=kill",
    "metadata.sqlite.commit=kill",
    "server.migrate.check=kill",
    "server.at_rest.write=kill",
    "server.data_dir.format=kill",
    "server.data_dir.formatted=kill",
    "server.migrate.mark=kill",
    "server.migrate.marked=kill",
    "server.migrate.finish=kill",
}


@pytest.fixture
def migrated(filled: Filled, cluster: Cluster) -> Cluster:
    done("--from", filled.data, *cluster.to)
    return cluster


@pytest.mark.parametrize("point", sorted(WAYS_BACK))
def test_killed_on_the_way_back(filled: Filled, migrated: Cluster, tmp_path: Path, point: str) -> None:
    back = tmp_path / "back"
    killed(point, *migrated.back, "--to", back)
    if (back / "migrating.json").exists():
        with pytest.raises(Exception, match="holds a half of a migration"):
            BrokerThread(small_broker.options(), back).start()
    done(*migrated.back, "--to", back, "--verify", "full")
    assert not (back / "migrating.json").exists()
    with BrokerThread(small_broker.options(), back) as broker:
        filled.check_served(broker.bootstrap)
    deep_look(back)


@pytest.mark.parametrize("point", ["", "server.migrate.offset=kill:2", "server.migrate.sync=kill"])
def test_guessed_offsets_and_odd_names_come_back_right(tmp_path: Path, cluster: Cluster, point: str) -> None:
    """Of a store that brokers shared."""

    async def write() -> list[tuple[int, bytes]]:
        async with postgres_opener(cluster.metadata)() as it:
            blobs = LocalBlobs(tmp_path / "blobs")
            log = Log(it, blobs, guesses=True)
            (p,) = await it.topic("guessed")
            now = int(time.time() * 1000)  # or else retention takes them away
            for n in range(12):
                guess = None if n % 4 == 1 else 1000 - n
                await log.append(p, [b"%d" % n, b"x"], inline=n % 3 == 0, guess=guess, timestamp=now)
            await log.roll()
            row = OffsetRow("a\0b\ufffe", b"t" * 16, 0, 3, -1, "m\0", 5, -1)  # no client is kept from such names
            await it.groups.write([], [row], [])
            await blobs.close()
            return [(offset, value) for offset, value, _ in log.records]

    expected = asyncio.run(write())
    back = tmp_path / "back"
    if point:
        killed(point, *cluster.back, "--to", back)
    found = done(*cluster.back, "--to", back, "--verify", "full")
    assert found["offsets_put_in"] == (9 if not point else pytest.approx(9, abs=6))

    async def look() -> None:
        engine = SqliteEngine(back / "metadata.sqlite", asyncio.get_running_loop())
        engine.open()
        (row,) = await SqlGroupStore(engine).fetch_offsets("a\0b\ufffe", None)
        assert (row.offset, row.metadata) == (3, "m\0")
        engine.close()

    (back / "metadata.sum").unlink()
    asyncio.run(look())
    with BrokerThread(small_broker.options(), back) as broker, Talker(broker.bootstrap) as wire:
        assert wire.read_all("guessed", 0) == expected


def test_every_point_is_passed(filled: Filled, cluster: Cluster, tmp_path: Path) -> None:
    seen: set[str] = set()
    faults.watch(seen.add)
    (tmp_path / "blobs").mkdir()
    done("--from", filled.data, *cluster.to, "--verify", "full")
    done(*cluster.back, "--to", tmp_path / "back")
    expected = {name for name in faults.POINTS if name.startswith("server.migrate.")}
    assert expected - seen == {"server.migrate.offset", "server.migrate.sync"}  # the test above dies there


# -- what is refused ------------------------------------------------------------------------------------------------------


def test_a_target_that_is_not_empty(filled: Filled, cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(cluster.server, f"file://{tmp_path}/other")

    async def make() -> None:
        async with postgres_opener(other.metadata)():
            pass

    asyncio.run(make())
    before = sorted(os.listdir(filled.data))
    assert "holds another cluster" in refused("--from", filled.data, *other.to)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / f"{77:016x}.blob").write_bytes(b"x")
    assert "is not empty: there are blobs of somebody else" in refused("--from", filled.data, *cluster.to)
    assert cluster.clusters() == "0"
    (tmp_path / "blobs" / f"{0:016x}.blob").write_bytes(b"what is this")
    assert "is no note of a migration" in refused("--from", filled.data, *cluster.to)
    told = refused("--from-metadata", other.metadata, "--from-blobs", other.blobs, "--to", filled.data)
    assert "is a data directory" in told
    assert sorted(os.listdir(filled.data)) == before


def test_half_of_another_migration(filled: Filled, cluster: Cluster, tmp_path: Path) -> None:
    killed("server.migrate.blob=kill:2", "--from", filled.data, *cluster.to)
    other = Cluster(cluster.server, cluster.blobs)
    assert "holds a half of another migration" in refused("--from", filled.data, *other.to)
    done("--from", filled.data, *cluster.to)
    killed("server.migrate.blob=kill:2", *cluster.back, "--to", tmp_path / "back")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "blobs")
    told = refused(
        "--from-metadata", cluster.metadata, "--from-blobs", f"file://{tmp_path}/elsewhere", "--to", tmp_path / "back"
    )
    assert "holds a half of another migration" in told


def test_a_broker_that_is_alive(migrated: Cluster, filled: Filled, tmp_path: Path) -> None:
    async def start(node_id: int) -> None:
        engine = PostgresEngine(migrated.metadata)
        await engine.open()
        await SqlClusterStore(engine, 1).start_broker(node_id, None, "", "x", 1)
        await engine.close()

    asyncio.run(start(7))
    told = refused(*migrated.back, "--to", tmp_path / "back")
    assert "broker 7 is alive" in told
    assert not (tmp_path / "back").exists()
    migrated.server.sql("UPDATE broker SET heartbeat_ms = heartbeat_ms - 60000", migrated.database)
    fills = 0

    def watch(point: str) -> None:
        nonlocal fills
        if point == "server.migrate.compare":
            fills += 1
            migrated.server.sql("UPDATE broker SET incarnation = incarnation + 1", migrated.database)

    faults.watch(watch)
    assert "a broker has served" in refused(*migrated.back, "--to", tmp_path / "back")
    faults.watch(None)
    assert fills == 1
    done(*migrated.back, "--to", tmp_path / "back")


def test_a_directory_that_is_served(filled: Filled, cluster: Cluster) -> None:
    with BrokerThread(small_broker.options(), filled.data):
        assert "is in use by process" in refused("--from", filled.data, *cluster.to)


@pytest.mark.parametrize(
    ("metadata", "blobs", "told"),
    [
        ("mysql://x/y", "file:///tmp/x", "expected postgresql://"),
        ("postgresql://127.0.0.1:1/x?connect_timeout=1", "file:///tmp/x", "cannot open the metadata store"),
        (None, "ftp://x/y", "expected s3://"),
        (None, "file://host/x", "expected file:///DIR"),
        (None, "s3://b/p?endpoint=http://127.0.0.1:1&deadline_ms=500", "nothing was changed"),
        (None, "s3://b/p?secret=x", "does not belong into the URL"),
    ],
)
def test_places_that_cannot_be(
    filled: Filled, cluster: Cluster, metadata: str | None, blobs: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if metadata is not None and "127.0.0.1:1/" in metadata:
        monkeypatch.setattr(
            PostgresEngine.__init__, "__kwdefaults__", {"connections_max": 12, "retry_seconds": 0.5, "clock": None}
        )
    line = refused("--from", filled.data, "--to-metadata", metadata or cluster.metadata, "--to-blobs", blobs)
    assert told in line
    deep_look(filled.data)
    assert not (filled.data / "migrated.json").exists()


def test_a_directory_of_a_newer_release(filled: Filled, cluster: Cluster) -> None:
    (filled.data / "format").write_text("99 moldau-9.0\n")
    assert "has format 99" in refused("--from", filled.data, *cluster.to)


def test_a_store_without_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    assert "holds no cluster" in refused(*cluster.back, "--to", tmp_path / "back")
    assert "there is no such directory" in refused(
        "--from-metadata", cluster.metadata, "--from-blobs", f"file://{tmp_path}/none", "--to", tmp_path / "back"
    )
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--to-metadata", "postgresql://x/y"],
        ["--from-metadata", "a", "--from-blobs", "b", "--to", "c", "--to-blobs", "d"],
    ],
)
def test_half_a_command(words: list[str]) -> None:
    result = CliRunner().invoke(root, ["migrate", *words])
    assert result.exit_code == 2
    assert "give --from DIR" in result.stderr


def test_damage_is_found_and_nothing_is_committed(filled: Filled, cluster: Cluster) -> None:
    files = sorted((filled.data / "blobs").glob("*.blob"))
    for file in files:
        content = bytearray(file.read_bytes())
        for at in range(0, len(content), 512):
            content[at] ^= 1
        file.write_bytes(content)
    assert "is not whole in" in refused("--from", filled.data, *cluster.to, "--verify", "full")
    assert cluster.clusters() == "0"
    files[-1].write_bytes(content[:-1])
    assert "record bytes are missing" in refused(
        "--from", filled.data, *Cluster(cluster.server, cluster.blobs + "2").to
    )
    files[-1].unlink()
    assert "is missing" in refused("--from", filled.data, *Cluster(cluster.server, cluster.blobs + "3").to)
