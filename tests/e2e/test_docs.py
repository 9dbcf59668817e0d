"""The pages' examples run, in their order, as a reader would run them (support/pages.py says how)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.pages import ROOT, Reader, agrees, blocks

from moldau.testing import BrokerProcess

PAGES = [
    "README.md",
    "docs/groups-consumer.md",
    "docs/groups-share.md",
    "docs/quickstart.md",
    "docs/testing.md",
    "docs/troubleshooting.md",
    "docs/transactions.md",
    "docs/tutorial-cluster.md",
]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", PAGES)
def test_every_example_runs(name: str, tmp_path: Path, moldau_broker_process: BrokerProcess) -> None:
    reader = Reader(tmp_path, moldau_broker_process)
    try:
        for block in blocks((ROOT / name).read_text()):
            try:
                reader.run(block)
            except AssertionError as error:
                raise AssertionError(f"{name}:{block.line}: {error}") from None
    finally:
        reader.stop()


@pytest.mark.parametrize("name", PAGES)
def test_examples_are_fenced_and_say_their_language(name: str) -> None:
    """A block that is only indented, or names no language, would never be run."""
    page = (ROOT / name).read_text()
    found = blocks(page)
    assert {block.language for block in found} <= {"sh", "python", "properties"}
    indented = [line for line in page.splitlines() if line.startswith("    ")]
    inside = {line for block in found for line in (block.text + (block.prints or "")).splitlines()}
    assert [line for line in indented if line not in inside] == []


def test_every_link_leads_somewhere() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "conformance").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert len(pages) > 15
    assert dead == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_page_is_in_the_table_of_contents(page: Path) -> None:
    assert page.name == "README.md" or f"({page.name})" in (ROOT / "docs" / "README.md").read_text()


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nc\n", True),
        ("a\n...\nc\n", "a\nb\nd\n", False),
        ("in 1.3 s (256,066 a second)\n", "in 12 s (9 a second)\n", True),
        ("3 flights in 1.3 s\n", "4 flights in 1.3 s\n", False),
    ],
)
def test_what_a_page_promises(expected: str, printed: str, same: bool) -> None:
    assert agrees(expected, printed) is same


def test_blocks_of_a_page() -> None:
    page = "# T\n```sh\nls\n```\nprints\n```text\nx\n```\n<!-- not run: no reason -->\n```python\n1\n```\n"
    first, second = blocks(page)
    assert (first.language, first.text, first.line, first.runs, first.prints) == ("sh", "ls\n", 2, True, "x\n")
    assert (second.language, second.runs, second.prints) == ("python", False, None)


def test_make_serve_is_moldau_serve() -> None:
    """The reader above runs `moldau serve` where a page says `make serve`."""
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "serve", "ARGS=--x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines()[-1] == "exec .venv/bin/moldau serve --x"
