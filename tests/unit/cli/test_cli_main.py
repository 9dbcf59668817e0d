"""The program: its commands, what it imports, how it ends."""

import subprocess
import sys
from importlib.util import find_spec

import click
import pytest
from click.testing import CliRunner

from moldau.cli.lazy import did_you_mean, nearest
from moldau.cli.main import COMMANDS, root
from moldau.version import VERSION

PRESENT = [name for name, (target, _) in COMMANDS.items() if find_spec(target.partition(":")[0])]


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", PRESENT)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name][1]


@pytest.mark.parametrize("name", PRESENT)
def test_every_command_has_help(name: str) -> None:
    code, text = run(name, "--help")
    assert code == 0
    assert text.startswith("Usage: moldau")


def test_the_help_lists_every_command() -> None:
    code, text = run("--help")
    assert code == 0
    for name, (_, short_help) in COMMANDS.items():
        assert f"  {name} " in text
        assert short_help in text


def test_version() -> None:
    assert run("--version") == (0, f"moldau {VERSION}\n")
    code, text = run("version")
    assert code == 0
    assert VERSION in text


@pytest.mark.parametrize(
    ("args", "hint"),
    [(["topc"], "Did you mean 'topic'"), (["topic", "lst"], "Did you mean 'list'"), (["xyzzy"], "no such command")],
)
def test_mistyped_commands(args: list[str], hint: str) -> None:
    code, text = run(*args)
    assert code == 2
    assert hint in text


@pytest.mark.slow
def test_main_imports_click_and_little_else() -> None:
    heavy = ["rich", "confluent_kafka", "asyncio", "json", "moldau.cli.topic", "moldau.cli.client", "moldau.broker"]
    done = python(
        "import click, sys; before = set(sys.modules); import moldau.cli.main\n"
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["topic list", "produce x", "consume x", "group list", "cluster info", "bench"])
def test_without_the_extra_one_line_says_how_to_get_it(command: str) -> None:
    done = python(
        "import sys; sys.modules['confluent_kafka'] = None; sys.modules['rich'] = None\n"
        f"sys.argv = ['moldau', *{command.split()}]; from moldau.cli.main import main; main()"
    )
    assert done.returncode == 2
    assert done.stderr == "error: this command needs the Kafka client: pip install 'moldau[cli]'\n"


@pytest.mark.slow
def test_python_m_moldau() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "moldau", "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"moldau {VERSION}\n")


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moldau.cli.output.print_fields", interrupt)
    assert run("version") == (130, "")


def test_a_reader_that_went_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("moldau.cli.output.print_fields", broken)
    monkeypatch.setattr("moldau.cli.main.silence_stdout", lambda: None)
    assert run("version") == (141, "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ordrs", ["orders"]), ("ORDERS", ["orders"]), ("ord", ["orders"]), ("zzz", [])],
)
def test_nearest(name: str, expected: list[str]) -> None:
    assert nearest(name, ["orders", "payments", "greetings"]) == expected


def test_did_you_mean() -> None:
    assert did_you_mean("ordes", ["orders", "order"]) == " Did you mean 'orders' or 'order'?"
    assert did_you_mean("zzz", ["orders"]) == ""
    assert did_you_mean("x", []) == ""
