"""Command lines that make no sense are told before anything is connected."""

import pytest
from click.testing import CliRunner

from moldau.cli.main import root


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
        ("consume", "Missing argument"),
        ("produce t --key k -K :", "not both"),
        ("produce t -K", "requires an argument"),
        ("produce t --format json -K :", "does not go with -K"),
        ("produce t --format json --whole", "does not go with --whole"),
        ("produce t --whole -K :", "--whole does not go with"),
        ("produce t -D \\q", "--delimiter: unknown escape"),
        ("produce t -H x", "KEY=VALUE"),
        ("produce t /no/such/file", "cannot read /no/such/file"),
        ("produce t /", "cannot read /: is a directory"),
        ("topic create", "Missing argument"),
        ("topic create t -c x", "KEY=VALUE"),
        ("topic alter t", "Nothing to alter"),
        ("config set topic t x", "KEY=VALUE"),
        ("config describe broker x", "named by its id"),
        ("group reset g --all-topics", "Give one of --to-earliest"),
        ("group reset g --all-topics --to-earliest --to-latest", "Give one of --to-earliest"),
        ("group reset g --all-topics --to-datetime x", "--to-datetime: 'x' is no time"),
        ("group reset g --to-latest --execute --dry-run", "not both"),
        ("bench consume", "give --topic"),
        ("topic list -X x", "KEY=VALUE"),
        ("topic list --timeout 0", "--timeout must be more than 0"),
        ("topic list --format yaml", "is not one of"),
    ],
)
def test_wrong_command_lines(line: str, hint: str) -> None:
    result = CliRunner().invoke(root, line.split(" "))
    assert result.exit_code == 2, result.output
    assert hint in result.output
    assert isinstance(result.exception, SystemExit)


def test_an_unknown_client_property_is_named() -> None:
    result = CliRunner().invoke(root, ["topic", "list", "-X", "no.such.property=1"])
    assert result.exit_code == 2
    assert "no.such.property" in result.output
    assert result.output.count("\n") == 1
