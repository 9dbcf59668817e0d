"""The commands against a broker, as a person uses them.

With $CLI_TEST_BOOTSTRAP set they run against the cluster at that address instead: any Kafka will do.
"""

import json
import os
import socket
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer

from moldau.cli.main import root
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("CLI_TEST_BOOTSTRAP")
    return given if given else str(request.getfixturevalue("moldau_broker").bootstrap)


@pytest.fixture
def name() -> str:
    """A name no other test uses, for a topic or a group."""
    return f"cli-{uuid.uuid4().hex[:10]}"


class Result:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Moldau = Callable[..., Result]


@pytest.fixture
def moldau(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Moldau:
    """Run a command; it must succeed unless the exit code it ends with is given."""
    monkeypatch.setenv("MOLDAU_BOOTSTRAP", bootstrap)

    def run(*args: str, stdin: str | bytes = "", code: int = 0) -> Result:
        done = CliRunner().invoke(root, list(args), input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        result = Result(done.exit_code, done.stdout, done.stderr)
        assert result.code == code, f"{args}: {result.code}\n{result.out}\n{result.err}"
        return result

    return run


# -- topics ------------------------------------------------------------------------------------------------------------


def test_a_topic_from_first_to_last(moldau: Moldau, name: str) -> None:
    assert moldau("topic", "create", name, "-p", "2", "-c", "retention.ms=3600000").out == f"Created topic {name}.\n"
    [listed] = [row for row in moldau("topic", "list", "--format", "json").json if row["name"] == name]
    assert listed == {"name": name, "partitions": 2, "replication_factor": 1}
    [described] = moldau("topic", "describe", name, "--format", "json").json
    assert [row["partition"] for row in described["partitions"]] == [0, 1]
    assert described["partitions"][0]["end_offset"] == 0
    assert {"retention.ms": "3600000"}.items() <= {row["name"]: row["value"] for row in described["config"]}.items()
    assert "has 3 partitions now (before: 2)" in moldau("topic", "alter", name, "-p", "3").out
    moldau("topic", "alter", name, "-c", "max.message.bytes=2000", "--unset", "retention.ms")
    [described] = moldau("topic", "describe", name, "--format", "json").json
    settings = {row["name"]: row["value"] for row in described["config"]}
    assert settings["max.message.bytes"] == "2000"
    assert "retention.ms" not in settings
    assert moldau("topic", "delete", name, "-y").out == f"Deleted topic {name}.\n"
    assert name not in moldau("topic", "list").out


def test_topic_mistakes(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "2")
    assert "exists already" in moldau("topic", "create", name, code=1).err
    moldau("topic", "create", name, "--if-not-exists")
    assert f"Did you mean '{name}'" in moldau("topic", "describe", name + "x", code=1).err
    assert "'moldau topic list' shows those there are" in moldau("topic", "describe", "q" * 60, code=1).err
    assert "cannot take partitions away" in moldau("topic", "alter", name, "-p", "1", code=1).err
    assert "no.such.key" in moldau("topic", "create", name + "2", "-c", "no.such.key=1", code=1).err
    assert "bad name" in moldau("topic", "create", "bad name", code=1).err
    assert "--yes" in moldau("topic", "delete", name, code=2).err
    moldau("topic", "delete", name + "x", "--if-exists", "-y")
    assert "no topic" in moldau("topic", "delete", name + "x", "-y", code=1).err


def test_validate_only_creates_nothing(moldau: Moldau, name: str) -> None:
    assert "can be created" in moldau("topic", "create", name, "--validate-only").out
    assert name not in moldau("topic", "list").out


# -- records -----------------------------------------------------------------------------------------------------------


def test_lines_in_lines_out(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    done = moldau("produce", name, stdin="one\ntwo\n\nfour")
    assert "4 records" in done.err
    assert moldau("consume", name, "-e").out == "one\ntwo\n\nfour\n"


def test_keys_headers_nulls_and_formats(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    moldau(
        "produce", name, "-K", ":", "--null", "NULL", "-H", "a=1", "-H", "a=2", stdin="k:v\nNULL:NULL\n:x:y\n", code=0
    )
    shown = moldau("consume", name, "-e", "--null", "~", "-f", "%t/%p/%o %k=%s %K,%S %h\\n").lines
    assert shown == [f"{name}/0/0 k=v 1,1 a=1,a=2", f"{name}/0/1 ~=~ -1,-1 a=1,a=2", f"{name}/0/2 =x:y 0,3 a=1,a=2"]
    assert moldau("consume", name, "-e", "-K", ":", "-D", ";", "--null", "~").out == "k:v;~:~;:x:y;"
    table = moldau("consume", name, "-e", "--format", "table").lines
    assert table[0].split() == ["PARTITION", "OFFSET", "TIME", "KEY", "VALUE"]
    assert len(table) == 4


def test_json_out_is_json_in(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, name + "-copy", "-p", "1")
    first = (
        '{"key": "k", "value": {"a": 1}, "headers": {"h": "1"}, "timestamp": 1767225600000}\n{"value_base64": "/w=="}\n'
    )
    moldau("produce", name, "--format", "json", stdin=first)
    out = moldau("consume", name, "-e", "--format", "json").out
    moldau("produce", name + "-copy", "--format", "json", stdin=out)
    copy = moldau("consume", name + "-copy", "-e", "--format", "json").out
    records = [json.loads(line) for line in copy.splitlines()]
    assert records == [{**json.loads(line), "topic": name + "-copy"} for line in out.splitlines()]
    assert records[0]["timestamp"] == 1767225600000
    assert records[0]["value"] == '{"a":1}'
    assert records[1]["value_base64"] == "/w=="


def test_files_and_partitions(moldau: Moldau, name: str, tmp_path: Any) -> None:
    moldau("topic", "create", name, "-p", "3")
    (tmp_path / "a").write_bytes(b"a1\x00a2")
    (tmp_path / "b").write_bytes(b"b1\x00")
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    moldau("produce", name, *files, "-D", "\\0", "-p", "2")
    assert moldau("consume", name, "-e", "-f", "%p %s\\n").lines == ["2 a1", "2 a2", "2 b1"]
    assert moldau("consume", name, "-e", "-p", "0").out == ""
    moldau("produce", name, *files, "--whole", "-p", "1", "-k", "file")
    assert moldau("consume", name, "-e", "-p", "1", "-f", "%k=%S;").out == "file=5;file=3;"
    assert "partitions 0 to 2, not 7" in moldau("consume", name, "-p", "7", code=2).err
    assert "partitions 0 to 2, not 7" in moldau("produce", name, "-p", "7", code=2).err


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compression_and_many_records(moldau: Moldau, name: str, codec: str) -> None:
    lines = [f"record number {number}" for number in range(5000)]
    moldau("topic", "create", name, "-p", "1")
    done = moldau("produce", name, "-z", codec, "-q", stdin="\n".join(lines))
    assert done.err == ""
    assert moldau("consume", name, "-e").lines == lines
    assert moldau("consume", name, "-n", "7").lines == lines[:7]


@pytest.mark.parametrize("acks", ["1", "0"])
def test_acks(moldau: Moldau, name: str, acks: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    moldau("produce", name, "--acks", acks, stdin="x\n")
    assert moldau("consume", name, "-n", "1").out == "x\n"


def test_positions(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    lines = "".join(
        f'{{"value": "{number}", "timestamp": {1_767_225_600_000 + number * 1000}}}\n' for number in range(10)
    )
    moldau("produce", name, "--format", "json", stdin=lines)

    def read(*args: str) -> str:
        return moldau("consume", name, "-D", " ", *args).out.strip()

    assert read("--from", "7", "-e") == "7 8 9"
    assert read("--from", "-2", "-e") == "8 9"
    assert read("--from", "+8", "-e") == "8 9"
    assert read("--from", "end", "-e") == ""
    assert read("--until", "3") == "0 1 2"
    assert read("--until", "-8") == "0 1"
    assert read("--from", "2", "--until", "4") == "2 3"
    assert read("--from", "5", "--until", "4") == ""
    assert read("--from", "@1767225607", "--until", "@2026-01-01T00:00:09Z") == "7 8"
    assert read("--from", "@1767225606500", "-n", "1") == "7"
    assert read("--until", "@now") == "0 1 2 3 4 5 6 7 8 9"
    assert read("-n", "0") == ""


def test_several_topics(moldau: Moldau, name: str) -> None:
    topics = [name + "-a", name + "-b"]
    moldau("topic", "create", *topics, "-p", "1")
    for topic in topics:
        moldau("produce", topic, stdin="x\n")
    assert sorted(moldau("consume", *topics, "-e", "-f", "%t\\n").lines) == topics


def test_produce_mistakes(moldau: Moldau, name: str) -> None:
    assert "no topic" in moldau("produce", name, "-X", "allow.auto.create.topics=false", stdin="x\n", code=1).err
    moldau("produce", name, "--create", stdin="x\n")
    assert moldau("consume", name, "-e").out == "x\n"
    told = moldau("produce", name + "x", stdin="x\n", code=1).err
    assert f"Did you mean '{name}'" in told
    assert "--create creates it." in told
    assert "record 2: there is no key separator ':'" in moldau("produce", name, "-K", ":", stdin="a:b\nc\n", code=1).err
    bad = moldau("produce", name, "--format", "json", stdin='{"value": "y"}\nnope\n', code=1).err
    assert "record 2: not JSON" in bad
    assert "(1 sent before it)" in bad
    assert "y" in moldau("consume", name, "-e").lines


def test_a_broker_may_create_the_topic(moldau: Moldau) -> None:
    name = uuid.uuid4().hex  # resembles no other topic
    done = moldau("produce", name, stdin="hello\n")
    assert f"The broker created topic {name}." in done.err
    assert moldau("consume", name, "-e").out == "hello\n"


def test_a_record_too_large_is_told(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1", "-c", "max.message.bytes=1000")
    told = moldau("produce", name, stdin="x" * 5000, code=1).err
    assert "1 of 1 records were not written" in told
    assert "too large" in told.lower()


# -- groups ------------------------------------------------------------------------------------------------------------


def test_a_group_from_first_to_last(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    moldau("produce", name, stdin="0\n1\n2\n3\n")
    assert moldau("consume", name, "-g", name, "-n", "3").lines == ["0", "1", "2"]
    assert {"group": name, "state": "Empty", "type": "classic"} in moldau("group", "list", "--format", "json").json
    [described] = moldau("group", "describe", name, "--format", "json").json
    assert described["lag"] == 1
    [row] = described["partitions"]
    assert (row["topic"], row["partition"], row["committed_offset"], row["end_offset"], row["lag"]) == (
        name,
        0,
        3,
        4,
        1,
    )
    assert name in moldau("group", "describe", name).out
    assert moldau("consume", name, "-g", name, "-e").lines == ["3"]
    assert moldau("consume", name, "-g", name, "-e").lines == []
    assert moldau("group", "delete", name, "-y").out == f"Deleted group {name}.\n"
    assert "no group" in moldau("group", "describe", name, code=1).err
    assert "no group" in moldau("group", "delete", name, "-y", code=1).err


def committed(moldau: Moldau, group: str) -> dict[int, int]:
    [described] = moldau("group", "describe", group, "--format", "json").json
    return {row["partition"]: row["committed_offset"] for row in described["partitions"]}


def test_reset(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "2")
    lines = "".join(
        f'{{"value": "{number}", "partition": {number % 2}, "timestamp": {1_767_225_600_000 + number * 1000}}}\n'
        for number in range(10)
    )
    moldau("produce", name, "--format", "json", stdin=lines)
    moldau("consume", name, "-g", name, "-e")
    assert committed(moldau, name) == {0: 5, 1: 5}
    planned = moldau("group", "reset", name, "--all-topics", "--to-earliest", "--format", "json")
    assert [row["new_offset"] for row in planned.json] == [0, 0]
    assert "--execute" in planned.err
    assert committed(moldau, name) == {0: 5, 1: 5}

    def reset(*args: str) -> dict[int, int]:
        moldau("group", "reset", name, *args, "--execute")
        return committed(moldau, name)

    assert reset("-t", name, "--to-earliest") == {0: 0, 1: 0}
    assert reset("-t", f"{name}:1", "--to-offset", "3") == {0: 0, 1: 3}
    assert reset("--all-topics", "--shift-by", "-2") == {0: 0, 1: 1}
    assert reset("--all-topics", "--to-datetime", "2026-01-01T00:00:04Z") == {0: 2, 1: 2}
    assert reset("--all-topics", "--to-latest") == {0: 5, 1: 5}
    assert reset("-t", f"{name}:0", "--to-offset", "99") == {0: 5, 1: 5}
    fresh = moldau("group", "reset", name + "-new", "-t", name, "--to-latest", "--execute", "--format", "json").json
    assert [row["committed_offset"] for row in fresh] == [None, None]
    assert committed(moldau, name + "-new") == {0: 5, 1: 5}
    assert "partitions 0 to 1, not 9" in moldau("group", "reset", name, "-t", f"{name}:9", "--to-latest", code=2).err
    assert "TOPIC:0,1" in moldau("group", "reset", name, "-t", f"{name}:x", "--to-latest", code=2).err
    assert "say which" in moldau("group", "reset", name, "--to-latest", code=2).err
    assert "no group" in moldau("group", "reset", "none" * 9, "--all-topics", "--to-latest", code=1).err


def test_a_group_with_members_is_not_touched(moldau: Moldau, name: str, bootstrap: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    moldau("produce", name, stdin="x\n")
    member = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": name, "client.id": "reader", "auto.offset.reset": "earliest"}
    )
    try:
        member.subscribe([name])
        assert member.poll(20) is not None
        [described] = moldau("group", "describe", name, "--format", "json").json
        assert described["state"] == "Stable"
        assert [each["client_id"] for each in described["members"]] == ["reader"]
        assert described["partitions"][0]["client_id"] == "reader"
        assert "1 member" in moldau("group", "reset", name, "-t", name, "--to-latest", "--execute", code=1).err
        assert "1 member" in moldau("group", "delete", name, "-y", code=1).err
    finally:
        member.close()


# -- settings, cluster, the rest ---------------------------------------------------------------------------------------


def test_settings(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name)
    assert moldau("config", "set", "topic", name, "retention.ms=5000", "max.message.bytes=900").code == 0
    [row] = moldau("config", "describe", "topic", name, "retention.ms", "--format", "json").json
    assert (row["value"], row["source"], row["default"]) == ("5000", "topic", False)
    assert "Did you mean" in moldau("config", "describe", "topic", name, "retention.mss", code=1).err
    moldau("config", "unset", "topic", name, "retention.ms")
    [row] = moldau("config", "describe", "topic", name, "retention.ms", "--format", "json").json
    assert row["source"] != "topic"
    [row] = moldau("config", "describe", "topic", name, "max.message.bytes", "--format", "json").json
    assert row["value"] == "900"
    moldau("config", "set", "topic", name, "retention.ms=7000", "--validate-only")
    [row] = moldau("config", "describe", "topic", name, "retention.ms", "--format", "json").json
    assert row["value"] != "7000"
    assert "no topic" in moldau("config", "describe", "topic", "none" * 9, code=1).err
    assert "there is no broker 99999" in moldau("config", "describe", "broker", "99999", code=1).err
    everything = moldau("config", "describe", "topic", name, "--all", "--format", "json").json
    assert len(everything) > 20


def test_cluster_info(moldau: Moldau) -> None:
    found = moldau("cluster", "info", "--format", "json").json
    assert found["cluster_id"]
    assert len(found["brokers"]) >= 1
    assert found["brokers"][0]["port"] > 0
    assert found["partitions_without_leader"] == 0
    assert found["cluster_id"] in moldau("cluster", "info").out
    broker = str(found["brokers"][0]["id"])
    assert moldau("config", "describe", "broker", broker, "--all", "--format", "json").json


def test_bench(moldau: Moldau) -> None:
    before = moldau("topic", "list", "--format", "json").json
    rows = moldau("bench", "-n", "2000", "--pings", "5", "-p", "2", "--format", "json").json
    assert [(row["what"], row["records"]) for row in rows] == [("produce", 2000), ("consume", 2000), ("one by one", 5)]
    assert all(row["records_per_s"] > 0 for row in rows)
    assert rows[0]["p50_ms"] <= rows[0]["p99_ms"] <= rows[0]["max_ms"]
    assert len(moldau("topic", "list", "--format", "json").json) == len(before)


def test_completion_of_names(moldau: Moldau, name: str, bootstrap: str) -> None:
    moldau("topic", "create", name)

    def complete(words: str) -> list[str]:
        environ = {"_MOLDAU_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = CliRunner().invoke(root, env=environ)
        return [line.partition(",")[2] for line in done.output.splitlines() if line]

    assert complete(f"moldau topic describe {name[:8]}") == [name]
    assert complete(f"moldau -b {bootstrap} consume {name[:8]}") == [name]
    assert complete("moldau topic describe __") == [] or complete("moldau topic describe __")[0].startswith("__")
    assert name in complete("moldau config describe topic ")
    assert complete("moldau -b 127.0.0.1:1 topic describe ") == []
    assert "describe" in complete("moldau topic ")


def test_settings_that_do_not_exist(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name)
    for args in (
        ("config", "set", "topic", name, "retenton.ms=5"),
        ("config", "unset", "topic", name, "retenton.ms"),
        ("topic", "alter", name, "-c", "retenton.ms=5"),
        ("topic", "alter", name, "--unset", "retenton.ms"),
    ):
        told = moldau(*args, code=1).err
        assert "has no setting 'retenton.ms'. Did you mean 'retention.ms'" in told, args


def test_one_partition_is_not_a_range(moldau: Moldau, name: str) -> None:
    moldau("topic", "create", name, "-p", "1")
    assert "has only partition 0, not 3" in moldau("consume", name, "-p", "3", code=2).err


def test_an_advertised_address_that_nobody_reaches_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = {"listeners": f"PLAINTEXT://127.0.0.1:{port}", "advertised.listeners": "PLAINTEXT://127.0.0.1:1"}
    with BrokerThread(settings=settings):
        done = CliRunner().invoke(root, ["-b", f"127.0.0.1:{port}", "cluster", "info"])
    assert done.exit_code == 1
    assert (
        f"127.0.0.1:{port} answered, but the address it advertises, 127.0.0.1:1, does not (Connection refused"
        in done.stderr
    )
    assert "advertised.listeners" in done.stderr
