"""Write the reference part of docs/cli.md from the commands themselves.

    python tools/cli_reference.py            rewrite docs/cli.md
    python tools/cli_reference.py --check    exit 1 where docs/cli.md is not up to date

The text is made from the declared parameters, not from click's rendered help, so that it is the same with every
release of click. Everything outside of the two markers is written by hand and stays.
"""

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click

from moldau.cli.lazy import LazyGroup
from moldau.cli.main import root

DOC = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
BEGIN = "<!-- reference: written by tools/cli_reference.py -->"
END = "<!-- end of the reference -->"
# Described once, under "Which cluster".
SHARED = {"--bootstrap", "--context", "-X", "--timeout"}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their members."""
    yield from _below("moldau", root)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if path != "moldau":
        yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=path)
        for name in command.list_commands(ctx):
            if isinstance(command, LazyGroup) and find_spec(command.lazy[name][0].partition(":")[0]) is None:
                print(f"{path} {name} is not there yet", file=sys.stderr)
                continue
            found = command.get_command(ctx, name)
            assert found is not None, f"{path} {name}"
            yield from _below(f"{path} {name}", found)


def reference() -> str:
    """The reference, without the markers."""
    return "\n".join(line for path, command in commands() for line in _section(path, command)).strip() + "\n"


def _section(path: str, command: click.Command) -> Iterator[str]:
    group = isinstance(command, click.Group)
    yield f"{'##' if group or path.count(' ') == 1 else '###'} {path}"
    yield ""
    yield from _help(command)
    if group and not command.invoke_without_command:
        return
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    rest = ["[COMMAND]"] if group else [_argument(each) for each in arguments]
    usage = " ".join([path, "[OPTIONS]", *rest])
    yield from ("```", usage, "```", "")
    shared = any(SHARED & set(each.opts) for each in options)
    rows = [each for each in options if not SHARED & set(each.opts)]
    if rows:
        yield "| option | |"
        yield "|---|---|"
        for option in rows:
            yield f"| {_names(option)} | {_cell(_meaning(option))} |"
        yield ""
    if shared:
        yield "Also the options of [Which cluster](#which-cluster)."
        yield ""


def _help(command: click.Command) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", (command.help or "").strip()):
        lines = [line.strip() for line in block.splitlines()]
        if lines and lines[0] == "\b":
            yield from ("```", *lines[1:], "```", "")
        else:
            yield from (_prose(" ".join(lines)), "")


def _prose(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: click.Option) -> str:
    names = sorted(option.opts, key=len) + sorted(option.secondary_opts, key=len)
    value = "" if option.is_flag else " " + (option.metavar or _values(option))
    return ", ".join(f"`{name}{value}`" for name in names).replace("|", "\\|")


def _values(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    if isinstance(option.type, click.types.IntParamType):
        return "N"
    return "TEXT"


def _meaning(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    if option.show_default and "[default" not in text:
        text += f" [default: {option.default}]"
    return text


def _cell(text: str) -> str:
    text, bracket, default = text.partition("[default: ")
    rest = f"*Default: {default.rstrip(']')}.*" if bracket else ""
    return f"{_prose(text).strip()} {rest}".strip().replace("|", "\\|").replace("\\n", "`\\n`")


def main() -> None:
    """Write or check docs/cli.md."""
    text = DOC.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{DOC} has no line {BEGIN}"
    assert end, f"{DOC} has no line {END}"
    fresh = f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if fresh != text:
            sys.exit("docs/cli.md is not up to date: run python tools/cli_reference.py")
    else:
        DOC.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
