"""The program as a process: what signals, pipes and brokers that do not answer do to it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow


def command(bootstrap: str, *args: str) -> list[str]:
    return [sys.executable, "-m", "moldau", "-b", bootstrap, *args]


def run(bootstrap: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(bootstrap, *args), input=stdin, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    "args",
    [
        ("topic", "list"),
        ("produce", "t"),
        ("consume", "t"),
        ("consume", "t", "-g", "g"),
        ("group", "describe", "g"),
        ("cluster", "info"),
    ],
)
def test_no_broker_is_told_at_once_in_one_line(closed_port: str, args: tuple[str, ...]) -> None:
    started = time.monotonic()
    done = run(closed_port, *args)
    assert time.monotonic() - started < 5
    assert done.returncode == 1
    assert done.stderr == (
        f"error: no broker at {closed_port} (Connection refused). Start one with 'moldau serve', "
        "or name another with -b HOST:PORT.\n"
    )


def test_silence_is_bounded_by_the_timeout(silent_port: str) -> None:
    started = time.monotonic()
    done = run(silent_port, "topic", "list", "--timeout", "1")
    assert 1 <= time.monotonic() - started < 5
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no answer from {silent_port} within 1 s.")
    assert done.stderr.count("\n") == 1


def test_a_web_server_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = run(address, "topic", "list", "--timeout", "1")
        server.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1
    assert done.stderr == f"error: what answers at {address} does not speak the Kafka protocol, or wants TLS\n"


def test_tls_to_a_plaintext_broker(moldau_broker: BrokerThread) -> None:
    done = run(moldau_broker.bootstrap, "topic", "list", "-X", "security.protocol=ssl", "--timeout", "3")
    assert done.returncode == 1
    assert "security.protocol" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_follower_in_order(moldau_broker: BrokerThread, number: signal.Signals, code: int) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "produce", "t", "--create", stdin="x\ny\n")
    follower = subprocess.Popen(
        command(bootstrap, "consume", "t", "-g", "g"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    assert {follower.stdout.readline(), follower.stdout.readline()} == {"x\n", "y\n"}
    follower.send_signal(number)
    out, err = follower.communicate(timeout=20)
    assert (follower.returncode, out, err) == (code, "", "")
    described = run(bootstrap, "group", "describe", "g", "--format", "json").stdout
    assert '"state": "Empty"' in described
    assert '"lag": 0' in described


def test_a_follower_sees_records_as_they_come(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "topic", "create", "t", "-p", "1")
    follower = subprocess.Popen(
        command(bootstrap, "consume", "t", "-n", "2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    for line in ("first\n", "second\n"):
        run(bootstrap, "produce", "t", stdin=line)
        assert follower.stdout.readline() == line
    follower.communicate(timeout=20)
    assert follower.returncode == 0


def test_a_typed_line_goes_out_before_the_input_ends(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "topic", "create", "t", "-p", "1")
    producer = subprocess.Popen(command(bootstrap, "produce", "t"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert producer.stdin is not None
    producer.stdin.write(b"typed\n")
    producer.stdin.flush()
    assert run(bootstrap, "consume", "t", "-n", "1").stdout == "typed\n"
    producer.communicate(timeout=20)
    assert producer.returncode == 0


def test_an_interrupted_producer_sends_what_it_read(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "topic", "create", "t", "-p", "1")
    producer = subprocess.Popen(
        command(bootstrap, "produce", "t"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert producer.stdin is not None
    producer.stdin.write(b"typed\n")
    producer.stdin.flush()
    assert run(bootstrap, "consume", "t", "-n", "1").stdout == "typed\n"
    producer.send_signal(signal.SIGINT)
    _, err = producer.communicate(timeout=20)
    assert producer.returncode == 130
    assert b"1 record" in err
    assert b"Traceback" not in err


def test_a_reader_that_leaves_is_no_error(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "produce", "t", "--create", stdin="".join(f"{number}\n" for number in range(50_000)))
    reader, writer = os.pipe()
    follower = subprocess.Popen(command(bootstrap, "consume", "t"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert os.read(reader, 10)
    os.close(reader)
    _, err = follower.communicate(timeout=20)
    assert (follower.returncode, err) == (141, b"")


def test_the_group_stays_where_the_count_ended(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    run(bootstrap, "topic", "create", "t", "-p", "1")
    run(bootstrap, "produce", "t", stdin="".join(f"{number}\n" for number in range(5000)))
    first = run(bootstrap, "consume", "t", "-g", "g", "-n", "1234").stdout.split()
    rest = run(bootstrap, "consume", "t", "-g", "g", "-e").stdout.split()
    assert first + rest == [str(number) for number in range(5000)]


def test_a_broker_that_stops_meanwhile(moldau_broker_process: BrokerProcess) -> None:
    bootstrap = moldau_broker_process.bootstrap
    run(bootstrap, "produce", "t", "--create", stdin="x\n")
    reader = subprocess.Popen(
        command(bootstrap, "consume", "t", "--until", "99", "--timeout", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "x\n"
    moldau_broker_process.kill()
    _, err = reader.communicate(timeout=30)
    assert reader.returncode == 1
    assert err.startswith(f"error: no broker at {bootstrap}")
