"""What cluster is wanted, and how that is said to each broker."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from moldau.dev.errors import DevError
from moldau.dev.parts import how_it_ended
from moldau.dev.plan import Plan
from moldau.dev.screen import Screen


def refused(plan: Plan) -> str:
    with pytest.raises(DevError) as error:
        plan.check()
    return str(error.value)


def test_what_a_broker_is_told() -> None:
    plan = Plan(3, 9092, 9644, racks=("a", "b"), sets=("moldau.log.level=debug",))
    plan.check()
    command = plan.command(3)
    assert command[:4] == [sys.executable, "-m", "moldau", "serve"]
    assert command[4::2] == ["--set"] * 6
    assert command[5::2] == [
        "moldau.log.level=warning",
        "moldau.log.level=debug",
        "node.id=3",
        "listeners=PLAINTEXT://127.0.0.1:9094",
        "moldau.http.listener=127.0.0.1:9646",
        "broker.rack=a",
    ]
    assert plan.bootstrap == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"


def test_commands_of_another_terminal() -> None:
    assert Plan().hint("kill", "2") == "moldau dev kill 2"
    assert Plan(port=19092).hint("status") == "moldau dev --port 19092 status"


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(metadata_url="postgresql://x"), "--metadata keeps what it holds, so the other store must be kept too"),
        (Plan(blobs_url="s3://b/p"), "--blobs keeps what it holds, so the other store must be kept too"),
        (Plan(sets=("node.id=4",)), "--set node.id: 'moldau dev' sets it itself"),
        (Plan(sets=(" listeners =x",)), "--set listeners: 'moldau dev' sets it itself"),
        (Plan(port=65534), "--port 65534: there are not 3 ports from there"),
        (Plan(port=9092, http_port=9094), "port 9094 would be needed twice"),
    ],
)
def test_what_cannot_be(plan: Plan, told: str) -> None:
    assert refused(plan).startswith(told)


def test_stores_that_are_kept_together(tmp_path: Path) -> None:
    Plan(metadata_url="postgresql://x", blobs_url="s3://b/p").check()
    Plan(metadata_url="postgresql://x", data=tmp_path).check()
    Plan(blobs_url="s3://b/p", data=tmp_path).check()


def test_lines_say_whose_they_are() -> None:
    out = io.StringIO()
    screen = Screen(out, color=False)
    screen.tell("broker 1", "a")
    screen.tell("postgres", "b")
    assert out.getvalue() == "broker 1 | a\npostgres | b\n"
    colored = io.StringIO()
    screen = Screen(colored, color=True)
    for name in ("broker 1", "broker 2", "broker 1"):
        screen.tell(name, "x")
    first, second, third = colored.getvalue().splitlines()
    assert first == third
    assert first.partition("b")[0] != second.partition("b")[0]
    out.close()
    Screen(out, color=False).tell("broker 1", "nobody reads this")


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "kill -9"), (-15, "kill -15 SIGTERM")]
)
def test_how_a_process_ended(status: int, words: str) -> None:
    assert how_it_ended(status) == words
