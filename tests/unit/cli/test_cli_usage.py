"""Command lines that make no sense are told before anything is connected."""

import errno

import pytest
from click.testing import CliRunner

from moldau.cli.main import root
from moldau.cli.options import check_bootstrap


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("consume t -f %q", "unknown token '%q'"),
        ("consume t -f %s --format json", "not both"),
        ("consume t -K : --format json", "--key-separator is for plain text"),
        ("consume t --from x", "--from: 'x' is no position"),
        ("consume t --until @x", "--until: 'x' is no time"),
        ("consume t --follow --until end", "--follow or --until"),
        ("consume t --group g --partition 1", "--partition does not go with --group"),
        ("consume t --group g --from 5", "moldau group reset g"),
        ("consume t -D \\q", "unknown escape"),
        ("consume", "missing argument"),
        ("produce t --key k -K :", "not both"),
        ("produce t -K", "requires an argument"),
        ("produce t --format json -K :", "does not go with -K"),
        ("produce t --format json --whole", "does not go with --whole"),
        ("produce t --whole -K :", "--whole does not go with"),
        ("produce t -D \\q", "--delimiter: unknown escape"),
        ("produce t -H x", "KEY=VALUE"),
        ("produce t /no/such/file", "cannot read /no/such/file"),
        ("produce t /", "cannot read /: is a directory"),
        ("topic create", "missing argument"),
        ("topic create t -c x", "KEY=VALUE"),
        ("topic alter t", "nothing to alter"),
        ("config set topic t x", "KEY=VALUE"),
        ("config describe broker x", "named by its id"),
        ("group reset g --all-topics", "give one of --to-earliest"),
        ("group reset g --all-topics --to-earliest --to-latest", "give one of --to-earliest"),
        ("group reset g --all-topics --to-datetime x", "--to-datetime: 'x' is no time"),
        ("group reset g --to-latest --execute --dry-run", "not both"),
        ("bench consume", "give --topic"),
        ("topic list -X x", "KEY=VALUE"),
        ("topic list --timeout 0", "--timeout must be more than 0"),
        ("topic list --format yaml", "is not one of"),
        ("topic list --timeout nan", "--timeout must be more than 0"),
        ("topic list --timeout 1e300", "--timeout must be more than 0"),
        ("topic list -b host:port", "'host:port' is no address of a broker: give HOST:PORT"),
        ("topic list -b ::1:x", "is no address"),
        ("topic list -b good:1,127.0.0.1:99999", "'127.0.0.1:99999' is no address"),
        ("topic list -b :9092", "is no address"),
        ("-b x:0 topic list", "is no address"),
        ("consume t --group ", "'-g' / '--group': it is empty"),
        ("consume ", "it is empty"),
        ("topic describe ", "it is empty"),
        ("topic delete a ", "it is empty"),
        ("group describe ", "it is empty"),
        ("produce ", "it is empty"),
        ("config describe topic ", "it is empty"),
        ("produce t -H \udcff=1", r"the argument b'\xff=1' is not UTF-8"),
        ("topic create \udcff", "is not UTF-8"),
    ],
)
def test_wrong_command_lines(line: str, hint: str) -> None:
    result = CliRunner().invoke(root, line.split(" "))
    assert result.exit_code == 2, result.output
    assert hint in result.output
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1, "one line, not click's four"
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "servers", ["a", "a:1", "a:1,b", "::1", "[::1]", "[::1]:9092", "SSL://a:1", "a:65535, b:1", "1.2.3.4"]
)
def test_addresses_that_may_be_right(servers: str) -> None:
    check_bootstrap(servers)


def test_a_usage_error_names_the_help() -> None:
    output = CliRunner().invoke(root, ["topic", "lst"]).output
    assert output == "error: no such command 'lst'. Did you mean 'list'? See: moldau topic --help\n"


def test_a_group_without_a_command_shows_its_help() -> None:
    result = CliRunner().invoke(root, ["topic"])
    assert result.exit_code == 2
    assert result.output.startswith("Usage: moldau topic")


def test_a_bug_is_told_in_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise KeyError("story")

    monkeypatch.setattr("moldau.cli.options.resolve", broken)
    result = CliRunner().invoke(root, ["topic", "list"])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "unexpected KeyError: 'story'" in result.output
    monkeypatch.setenv("MOLDAU_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(root, ["topic", "list"]).exception, KeyError)


def test_what_the_system_refuses_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/here")

    monkeypatch.setattr("moldau.cli.options.resolve", full)
    result = CliRunner().invoke(root, ["topic", "list"])
    assert (result.exit_code, result.output) == (1, "error: /here: no space left on device\n")


def test_an_unknown_client_property_is_named() -> None:
    result = CliRunner().invoke(root, ["topic", "list", "-X", "no.such.property=1"])
    assert result.exit_code == 2
    assert "no.such.property" in result.output
    assert result.output.count("\n") == 1
