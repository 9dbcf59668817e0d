"""Contexts, and which cluster a command talks to."""

import stat
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from moldau.cli.context import Contexts, contexts_path
from moldau.cli.errors import CliError
from moldau.cli.main import root
from moldau.cli.options import resolve


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("MOLDAU_BOOTSTRAP", "MOLDAU_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_context_from_first_to_last(home: Path) -> None:
    assert "moldau context add NAME" in run("context", "list")[1]
    assert run("context", "add", "local", "-b", "127.0.0.1:9092")[1].strip().endswith("now in use.")
    assert run("context", "add", "prod", "-b", "k:9093", "-X", "sasl.password=p", "-X", "acks=1")[0] == 0
    code, listed = run("context", "list")
    assert code == 0
    assert "sasl.password=***" in listed
    assert "sasl.password=p" not in listed
    assert "* " in next(line for line in listed.splitlines() if "local" in line)
    assert run("context", "use", "prod")[0] == 0
    assert Contexts.load({"XDG_CONFIG_HOME": str(home)}).client_properties(None) == {
        "bootstrap.servers": "k:9093",
        "sasl.password": "p",
        "acks": "1",
    }
    assert run("context", "remove", "prod")[0] == 0
    assert Contexts.load({"XDG_CONFIG_HOME": str(home)}).client_properties(None) == {}


def test_only_the_owner_reads_the_file(home: Path) -> None:
    run("context", "add", "local", "-b", "127.0.0.1:9092")
    path = home / "moldau" / "contexts.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["contexts.toml"]


def test_mistakes_are_told(home: Path) -> None:
    run("context", "add", "production", "-b", "k:9093")
    assert run("context", "add", "production", "-b", "k:9093")[0] == 2
    assert run("context", "add", "production", "-b", "k:9094", "--replace")[0] == 0
    assert "Did you mean 'production'?" in run("context", "use", "prodction")[1]
    assert run("context", "add", "no/name", "-b", "k")[0] == 2
    assert "KEY=VALUE" in run("context", "add", "x", "-b", "k", "-X", "y")[1]


@pytest.mark.parametrize("text", ["[contexts", "contexts = 1", "[contexts]\nlocal = 1", "\xff"])
def test_a_broken_file_is_named(home: Path, text: str) -> None:
    path = home / "moldau" / "contexts.toml"
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CliError, match=r"contexts\.toml"):
        Contexts.load({"XDG_CONFIG_HOME": str(home)})


def test_any_text_survives_the_file(tmp_path: Path) -> None:
    clusters = {"a.b-c": {"x.y": 'quote " back \\ new\nline \x00 \x7f é', "": ""}}
    written = Contexts(tmp_path / "contexts.toml", clusters, "a.b-c")
    written.save()
    data = tomllib.loads(written.path.read_text(encoding="utf-8"))
    assert data == {"current": "a.b-c", "contexts": clusters}


def test_values_that_are_no_strings_become_property_texts(tmp_path: Path) -> None:
    path = tmp_path / "moldau" / "contexts.toml"
    path.parent.mkdir()
    path.write_text('[contexts.local]\n"enable.idempotence" = true\n"linger.ms" = 5\n')
    found = Contexts.load({"XDG_CONFIG_HOME": str(tmp_path)}).client_properties("local")
    assert found == {"enable.idempotence": "true", "linger.ms": "5"}


def test_where_the_file_is() -> None:
    assert contexts_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/moldau/contexts.toml")
    assert contexts_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/moldau/contexts.toml")
    assert contexts_path({"HOME": "/h"}) == Path("/h/.config/moldau/contexts.toml")


@pytest.mark.parametrize(
    ("bootstrap", "context", "environ", "server", "secret"),
    [
        (None, None, {}, "used:1", "s"),
        ("flag:1", None, {}, "flag:1", None),
        (None, "other", {}, "other:1", None),
        ("flag:1", "used", {}, "flag:1", "s"),
        (None, None, {"MOLDAU_BOOTSTRAP": "env:1"}, "env:1", None),
        (None, None, {"MOLDAU_CONTEXT": "other"}, "other:1", None),
        (None, None, {"MOLDAU_BOOTSTRAP": "env:1", "MOLDAU_CONTEXT": "used"}, "env:1", "s"),
        ("flag:1", None, {"MOLDAU_BOOTSTRAP": "env:1", "MOLDAU_CONTEXT": "used"}, "flag:1", None),
        (None, "other", {"MOLDAU_BOOTSTRAP": "env:1"}, "other:1", None),
    ],
)
def test_which_cluster(
    tmp_path: Path,
    bootstrap: str | None,
    context: str | None,
    environ: dict[str, str],
    server: str,
    secret: str | None,
) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), **environ}
    known = Contexts.load(environ)
    known.clusters["used"] = {"bootstrap.servers": "used:1", "sasl.password": "s"}
    known.clusters["other"] = {"bootstrap.servers": "other:1"}
    known.current = "used"
    known.save()
    found = resolve(bootstrap, context, ("acks=1",), environ)
    assert found["bootstrap.servers"] == server
    assert found.get("sasl.password") == secret
    assert found["acks"] == "1"


def test_without_anything_it_is_the_local_broker(tmp_path: Path) -> None:
    assert resolve(None, None, (), {"XDG_CONFIG_HOME": str(tmp_path)}) == {"bootstrap.servers": "127.0.0.1:9092"}


def test_unknown_contexts(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="there is no context 'x'"):
        resolve(None, "x", (), {"XDG_CONFIG_HOME": str(tmp_path)})
    with pytest.raises(click.UsageError, match="KEY=VALUE"):
        resolve(None, None, ("x",), {"XDG_CONFIG_HOME": str(tmp_path)})
