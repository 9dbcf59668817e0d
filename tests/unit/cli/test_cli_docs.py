"""docs/cli.md says what the commands say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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
