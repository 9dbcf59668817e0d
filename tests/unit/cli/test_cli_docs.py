"""docs/cli.md says what the commands say."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from moldau.cli.main import root

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_reference", ROOT / "tools" / "cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(tool: ModuleType) -> None:
    written = tool.DOC.read_text(encoding="utf-8").partition(tool.BEGIN)[2].partition(tool.END)[0]
    assert written.strip() == tool.reference().strip(), "run: python tools/cli_reference.py"


def test_every_option_has_help(tool: ModuleType) -> None:
    silent = [
        f"{path} {option.opts[0]}"
        for path, command in tool.commands()
        for option in command.params
        if option.param_type_name == "option" and not getattr(option, "help", None)
    ]
    assert silent == []


def test_the_shared_options_are_described_by_hand(tool: ModuleType) -> None:
    text = tool.DOC.read_text(encoding="utf-8")
    assert [name for name in tool.SHARED if f"`{name}" not in text] == []


def examples() -> Iterator[list[str]]:
    """The words after `moldau` of every command line that a page shows."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
        shown = [line for language, block in fenced if language in ("", "sh") for line in block.splitlines()]
        shown += re.findall(r"`(moldau [^`\n]+)`", text)
        for line in (each for each in shown if "moldau " in each):
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|;>")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if word.strip("|;>"):
                    words.append(word)
                    continue
                if words and words[0].rpartition("/")[2] == "moldau" and not words[-1].startswith(("...", "[")):
                    yield words[1:]
                words = []


def test_every_command_line_of_the_pages_is_right() -> None:
    """Commands and options exist, and are given what they want; nothing is run."""
    seen = 0
    for words in examples():
        command: click.Command = root
        ctx = click.Context(root, info_name="moldau")
        rest = words
        while True:
            _, rest, _ = command.make_parser(ctx).parse_args(list(rest))
            if not isinstance(command, click.Group) or not rest:
                break
            _, found, rest = command.resolve_command(ctx, rest)
            assert found is not None, words
            command = found
            ctx = click.Context(command, parent=ctx)
        seen += 1
    assert seen > 40
