"""`moldau serve` as an operator meets it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.wire import Wire, request
from test_round_trip import consume, create, produce

from moldau.protocol import api_keys
from moldau.protocol.messages.fetch import FetchPartition, FetchTopic

pytestmark = pytest.mark.slow

QUIET = ["--set", "moldau.http.listener="]
FREE = ["--set", "listeners=PLAINTEXT://127.0.0.1:0"]


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "moldau", "serve", *args]


def refused(*args: str, env: dict[str, str] | None = None) -> str:
    """What the one line says."""
    done = subprocess.run(
        command(*args), capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if not re.match(r"\d{4}-", line)]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    return errors[0]


@contextmanager
def serving(*args: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A broker and its banner."""
    process = subprocess.Popen(
        command(*FREE, *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    try:
        lines = []
        while not lines or "consume greetings" not in lines[-1]:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines.append(line.rstrip())
        yield process, lines
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def address(banner: list[str]) -> str:
    return banner[0].split()[-1]


def settled(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=20)
    return process.returncode, err


# -- settings -------------------------------------------------------------------------------------------------------------


def partitions(bootstrap: str) -> int:
    """What `num.partitions` is there: ask for a topic that does not exist."""
    from moldau.protocol.messages.metadata import MetadataRequestTopic

    ask = request(api_keys.METADATA, topics=[MetadataRequestTopic(name="new")], allow_auto_topic_creation=True)
    with Wire(bootstrap) as wire:
        wire.ask(ask, 9)
        return len(wire.ask(ask, 9).topics[0].partitions)


@pytest.mark.parametrize("strongest", ["flag", "environment", "file", "default"])
def test_the_stronger_setting_wins(tmp_path: Path, strongest: str) -> None:
    file = tmp_path / "server.properties"
    file.write_text("num.partitions=2\n")
    args, env = ["--ephemeral", *QUIET], {}
    expected = 1
    if strongest != "default":
        args += ["--config", str(file)]
        expected = 2
    if strongest in ("flag", "environment"):
        env["MOLDAU_NUM_PARTITIONS"] = "3"
        expected = 3
    if strongest == "flag":
        args += ["--set", "num.partitions=4"]
        expected = 4
    with serving(*args, env=env) as (_, banner):
        assert partitions(address(banner)) == expected


def test_data_wins_over_every_other_way_to_name_it(tmp_path: Path) -> None:
    args = ["--data", str(tmp_path / "flag"), "--set", f"log.dirs={tmp_path / 'set'}", *QUIET]
    with serving(*args) as (_, banner):
        assert f"  data:     {tmp_path / 'flag'}" in banner
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (["--set", "num.partition=3"], {}, "--set: there is no setting num.partition. Did you mean num.partitions?"),
        ([], {"MOLDAU_NUM_PARTITION": "3"}, "MOLDAU_NUM_PARTITION: there is no setting num.partition. Did you"),
        (["--set", "listeners=SSL://127.0.0.1:0"], {}, "speaks SSL, which comes with a later release"),
        (["--set", "listeners=PLAINTEXT://0.0.0.0:0"], {}, "no address that clients can connect to"),
        (["--set", "listener.name.outer.max.connections=1"], {}, "there is no listener OUTER; there is PLAINTEXT"),
    ],
)
def test_wrong_settings_are_one_line(args: list[str], env: dict[str, str], said: str) -> None:
    assert said in refused(*args, env=env)


def test_all_wrong_settings_of_a_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("num.partitons=2\n\nnode.id=x\n")
    done = subprocess.run(command("--config", str(file)), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"{file}:1: there is no setting num.partitons. Did you mean num.partitions?" in done.stderr
    assert f"{file}:3: Invalid value x for configuration node.id" in done.stderr


# -- what is in the way ---------------------------------------------------------------------------------------------------


def test_ports_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        data = ["--data", str(tmp_path / "data")]
        said = refused(*data, *QUIET, "--set", f"listeners=PLAINTEXT://127.0.0.1:{port}")
        assert f"cannot listen on PLAINTEXT://127.0.0.1:{port}: Address already in use. Choose another" in said
        said = refused(*data, *FREE, "--set", f"moldau.http.listener=127.0.0.1:{port}")
        assert f"cannot serve /metrics on 127.0.0.1:{port}: Address already in use. Choose another" in said
    assert not (tmp_path / "data" / "metadata.sqlite").exists(), "the ports come before the data"


def test_a_directory_in_use(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), *QUIET) as (process, _):
        said = refused("--data", str(tmp_path), *QUIET, *FREE)
        assert f"the data directory {tmp_path} is in use by process {process.pid}. Stop that broker or" in said


def test_directories_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused("--data", str(tmp_path / "file" / "below"), *QUIET, *FREE)
    assert "cannot use the data directory" in said
    assert "Choose another with --data DIR." in said
    if os.getuid() != 0:  # root may write anywhere
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert "Permission denied" in refused("--data", str(locked), *QUIET, *FREE)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metadata.sqlite", b"no database" * 1000, "is not as it was when the broker stopped: it is damaged, or"),
        ("metadata.sqlite", b"as after a kill" * 1000, "file is not a database. Nothing was changed; look"),
        ("format", b"99 moldau-9.9\n", "has format 99 (written by moldau-9.9)"),
        ("format", b"?", "expected a format version from 1 to 1: it is damaged"),
        ("format", None, "holds metadata.sqlite but no format file"),
    ],
)
def test_damaged_files_are_one_line_and_left_as_they_are(
    tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    data = tmp_path / "data"
    with serving("--data", str(data), *QUIET):
        pass
    if content is None:
        (data / file).unlink()
    else:
        (data / file).write_bytes(content)
    if content is not None and b"kill" in content:
        (data / "metadata.sum").unlink()  # only a stop leaves one
    before = snapshot(data)
    assert said in refused("--data", str(data), *QUIET, *FREE)
    after = snapshot(data)
    after["lock"] = before["lock"]
    assert after == before


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    env = {"MOLDAU_FAULTS": "metadata.sqlite.begin=full"}
    done = subprocess.run(
        command("--data", str(tmp_path), *QUIET, *FREE),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 1
    assert "error: the metadata store refused a commit: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    with serving("--data", str(tmp_path), *QUIET):
        pass


def test_few_descriptors_are_said(tmp_path: Path) -> None:
    shell = "ulimit -n 256; exec " + " ".join(command("--ephemeral", *QUIET, *FREE))
    process = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    code, err = settled(process)
    assert code == 0
    assert "event=few_descriptors reason='at most 256 files may be open" in err


# -- banner and end ---------------------------------------------------------------------------------------------------------


def test_the_banner_tells_what_to_do_and_it_works(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), "--set", "moldau.http.listener=127.0.0.1:0") as (_, banner):
        text = "\n".join(banner)
        assert f"data:     {tmp_path}" in text
        assert "durable:  acks=all is synced to disk before it is acknowledged" in text
        assert re.search(r"metrics:  http://127\.0\.0\.1:\d+/metrics", text)
        first, second = (line.removeprefix("  try:").strip() for line in banner[-2:])
        moldau = f"{sys.executable} -m moldau"
        subprocess.run(first.replace("moldau", moldau, 1), shell=True, check=True, timeout=30, capture_output=True)
        done = subprocess.run(
            second.replace("moldau", moldau, 1), shell=True, check=True, timeout=30, capture_output=True, text=True
        )
        assert done.stdout == "hello\n"


def test_an_ephemeral_broker_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with serving("--ephemeral", *QUIET, env={"TMPDIR": str(tmp_path)}) as (_, banner):
        text = "\n".join(banner)
        assert "durable:  nothing: this broker is --ephemeral" in text
        assert len(list(tmp_path.iterdir())) == 1
        create(address(banner), "t", 1)
        produce(address(banner), "t", [b"x" * 100_000] * 10)
        assert len(consume(address(banner), "t", 1, 10)) == 10
    assert list(tmp_path.iterdir()) == []


def test_a_listener_that_others_reach_is_told_loudly() -> None:
    # TEST-NET-1 belongs to no machine: nothing is opened, the decision is what is tried
    done = subprocess.run(
        command("--ephemeral", *QUIET, "--set", "listeners=PLAINTEXT://192.0.2.1:0"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "WARNING" in done.stderr
    assert "event=open_listener listener=PLAINTEXT://192.0.2.1:0" in done.stderr


def test_sigterm_commits_and_answers_what_is_under_way(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), *QUIET) as (process, banner):
        create(address(banner), "t", 1)
        produce(address(banner), "t", [b"kept"])
        with Wire(address(banner)) as wire:
            topics = [FetchTopic(topic="t", partitions=[FetchPartition(partition=0, fetch_offset=1)])]
            wire.link.sendall(
                wire.frame(request(api_keys.FETCH, max_wait_ms=20_000, min_bytes=1, max_bytes=1000, topics=topics), 11)
            )
            time.sleep(0.2)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code, err = settled(process)
        assert time.monotonic() - began < 4, "a long poll is no reason to wait"
        assert code == 0
        assert "event=stopping" in err
    assert not list(tmp_path.glob("*-wal")), "the metadata's write-ahead log was taken in"
    with serving("--data", str(tmp_path), *QUIET) as (_, banner):
        assert consume(address(banner), "t", 1, 1) == [b"kept"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), *QUIET, env={"MOLDAU_FAULTS": "metadata.sqlite.close=sleep:30"}) as (
        process,
        _,
    ):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, _ = settled(process)
        assert time.monotonic() - began < 3
        assert code == -signal.SIGKILL


def test_systemd_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(20)
        with serving("--ephemeral", *QUIET, env={"NOTIFY_SOCKET": str(path)}) as (process, banner):
            assert supervisor.recv(100) == b"READY=1"
            with Wire(address(banner)) as wire:
                wire.ask(request(api_keys.METADATA), 12)
            process.terminate()
            assert supervisor.recv(100) == b"STOPPING=1"
            code, _ = settled(process)
            assert code == 0


def test_a_supervisor_that_is_not_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    with serving("--ephemeral", *QUIET, env={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as (process, _):
        process.terminate()
        code, err = settled(process)
    assert code == 0
    assert "event=notify_failed" in err
