"""`moldau dev`: a cluster with one command, nodes that die and come back, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dev_cluster import DevCluster
from support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def moldau(*args: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "moldau", *args], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pids: list[int], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """In place of /tmp, so that what is left behind is seen. Short, for sockets; PostgreSQL may run as another user."""
    folder = Path("/tmp") / f"mdev{os.getpid()}-{tmp_path.name[-12:]}"
    folder.mkdir(mode=0o755)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_data_are_found_again_and_a_broker_dies(tmp_path: Path, temporary: Path) -> None:
    data = temporary / "cluster"
    with DevCluster(tmp_path, "--data", str(data), brokers=1) as cluster:
        moldau("-b", cluster.bootstrap, "topic", "create", "numbers", "--partitions", "6")
        moldau("-b", cluster.bootstrap, "produce", "numbers", stdin="".join(f"{n}\n" for n in range(500)))
        assert cluster.end() == 0
    assert "postgres | stopped" in cluster.out
    assert cluster.out.index("broker 1 | stopped") < cluster.out.index("postgres | stopped")

    with DevCluster(tmp_path, "--data", str(data), "--racks", "a,b") as cluster:
        before = cluster.pids()
        assert set(before) == {"postgres", "1", "2", "3"}
        writer = subprocess.Popen(
            [sys.executable, "-m", "moldau", "-b", cluster.bootstrap, "produce", "numbers", "--timeout", "60"],
            stdin=subprocess.PIPE,
            text=True,
        )
        assert writer.stdin is not None
        for number in range(500, 1000):
            writer.stdin.write(f"{number}\n")
            writer.stdin.flush()
            if number == 700:
                assert "is killed" in cluster.say("kill", "2")
        writer.stdin.close()
        assert writer.wait(60) == 0
        cluster.wait_for("broker 2 | DIED (kill -9)")
        assert f"start it again: moldau dev --port {cluster.port} start 2" in cluster.out
        assert not alive(before["2"])
        survivors = ",".join((cluster.addresses[0], cluster.addresses[2]))
        read = moldau("-b", survivors, "consume", "numbers", "--exit-at-end").split()
        assert sorted(map(int, read)) == list(range(1000))

        assert "broker 2 is ready on" in cluster.say("start", "2")
        after = cluster.pids()
        assert after.pop("2") != before.pop("2")
        assert after == before
        assert "broker 3 is stopped" in cluster.say("stop", "3")
        assert len(cluster.pids()) == 3
        assert len(moldau("-b", cluster.addresses[1], "consume", "numbers", "--exit-at-end").split()) == 1000
        cluster.say("stop")
        assert cluster.process.wait(30) == 0
    assert gone([*after.values()])
    assert not cluster.socket.exists()


def test_postgresql_dies(tmp_path: Path) -> None:
    """Who writes waits, and goes on; nothing is lost or there twice."""
    with DevCluster(tmp_path, brokers=2) as cluster:
        moldau("-b", cluster.bootstrap, "topic", "create", "numbers", "--partitions", "2")
        writer = subprocess.Popen(
            [sys.executable, "-m", "moldau", "-b", cluster.bootstrap, "produce", "numbers", "--timeout", "60"],
            stdin=subprocess.PIPE,
            text=True,
        )
        assert writer.stdin is not None
        for number in range(500):
            writer.stdin.write(f"{number}\n")
            writer.stdin.flush()
            if number == 100:
                assert "is killed" in cluster.say("kill", "postgres")
                cluster.wait_for("postgres | DIED (kill -9)")
        writer.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)
        assert "postgres is ready on" in cluster.say("start", "postgres")
        assert writer.wait(60) == 0
        read = moldau("-b", cluster.bootstrap, "consume", "numbers", "--exit-at-end").split()
        assert sorted(map(int, read)) == list(range(500))


def test_temporary_data_go_with_the_cluster(tmp_path: Path, temporary: Path) -> None:
    with DevCluster(tmp_path, brokers=2, env={"TMPDIR": str(temporary)}) as cluster:
        pids = cluster.pids()
        (folder,) = temporary.glob("moldau-dev-*/postgres")
        assert cluster.end() == 0
    assert gone([*pids.values()])
    assert not folder.parent.exists()
    assert [each.name for each in temporary.rglob("*") if not each.is_dir()] == []


def test_nothing_is_left_when_it_is_killed(tmp_path: Path, temporary: Path) -> None:
    with DevCluster(tmp_path, brokers=2, env={"TMPDIR": str(temporary)}) as cluster:
        pids = [*cluster.pids().values()]
        for pid in pids[1:]:
            os.kill(pid, signal.SIGSTOP)  # they hear nothing
        (folder,) = temporary.glob("moldau-dev-*/postgres")
        cluster.end(signal.SIGKILL)
    assert gone(pids, 20)
    deadline = time.monotonic() + 10
    while folder.parent.exists():
        assert time.monotonic() < deadline, list(folder.parent.rglob("*"))
        time.sleep(0.05)


def refused(*args: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """What `moldau dev` prints, and its one error."""
    command = [sys.executable, "-m", "moldau", "dev", *args]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=90, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ")
    return done.stdout, done.stderr.removeprefix("error: ").rstrip("\n")


def test_what_is_taken_is_told(tmp_path: Path, temporary: Path) -> None:
    data = temporary / "cluster"
    with DevCluster(tmp_path, "--data", str(data), brokers=1) as cluster:
        mine, other = str(cluster.port), str(cluster.port + 2)
        elsewhere = ("--port", other, "--http-port", str(cluster.http_port + 2), "--brokers", "1")
        told = f"port {mine} is in use: choose others with --port N"
        assert refused("--port", mine, "--brokers", "1") == ("", told)
        assert refused(*elsewhere, "--data", str(data))[1].startswith(f"{data} is in use")
        assert refused("--port", mine, "kill", "9")[1] == "there is no node '9': expected one of postgres, 1"
        assert refused("--port", mine, "start", "1")[1].startswith("broker 1 is ready already, pid")
        assert refused("--port", other, "status")[1].startswith(f"no cluster of 'moldau dev' runs on port {other}")
        assert cluster.end(signal.SIGTERM) == 0


def test_a_cluster_that_cannot_start_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    port, http_port = free_ports(1), free_ports(1)
    bad = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    out, told = refused(
        *("--brokers", "1", "--port", str(port), "--http-port", str(http_port)),
        *("--metadata", bad, "--blobs", f"file://{tmp_path}"),
        env={"TMPDIR": str(temporary)},
    )
    assert told == "broker 1 did not start; its lines say why"
    assert "cannot open the metadata store" in out
    assert [each.name for each in temporary.rglob("*") if each.name != f"moldau-dev-{os.getuid()}"] == []
