"""Fault points: each is used, each is passed, and no write or sync of the stores goes without one."""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aio import run
from support.postgres import Postgres
from support.stores import entry, postgres_opener, sqlite_opener

import moldau
from moldau import faults
from moldau.blobs import spares
from moldau.blobs.local import LocalBlobs
from moldau.server import at_rest
from moldau.server.data_dir import DataDir

SOURCE = Path(moldau.__file__).parent
STORES = [
    SOURCE / "blobs",
    SOURCE / "metadata",
    *(SOURCE / "server" / f"{name}.py" for name in ("data_dir", "at_rest", "copying", "manifest", "backup", "restore")),
    SOURCE / "server" / "migration",
]
RISKY_CALLS = {
    "write",
    "pwrite",
    "writev",
    "pwritev",
    "fsync",
    "fdatasync",
    "sync_data",
    "ftruncate",
    "truncate",
    "replace",
    "rename",
    "unlink",
    "posix_fallocate",
    "_allocate",
    "executescript",
}
OF_ANYTHING = {"unlink", "write_text", "write_bytes", "link_to", "hardlink_to"}
OF_MODULES = {"os", "connection", ""}
"""What these calls hang on: `str.replace` and the like are not meant."""
RISKY_SQL = ("COMMIT", "wal_checkpoint")
WITHOUT = {
    "wipe_wal": "clears, page by page, what no reader looks at; whoever opens the file next goes on",
    "remove": "of the files of turns, which hold nothing",
    "filled": "removes what it put there itself; a death leaves a folder that is neither a backup nor a data directory",
    "sync_names": "syncs what points around its callers stand for",
    "_probe": "tries a shared folder out; what a death leaves of that goes when it is a day old",
    "_adopt": "removes files at the start that hold nothing",
    "clear": "of the files of spares, which hold nothing",
    "_clean": "makes the folder, removes leftovers of puts at the start; a crash there leaves both to the next start",
}


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")
    faults.record(None)


class Function:
    """What a function of the stores does, nested functions included."""

    def __init__(self, file: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.name = node.name
        self.where = f"{file.name}:{node.lineno} {node.name}"
        self.points: list[str] = []
        self.calls: set[str] = set()
        self.risky: set[str] = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call):
                self._call(inner)

    def _call(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Attribute):
            name = call.func.attr
            owner = call.func.value.id if isinstance(call.func.value, ast.Name) else "?"
        else:
            name, owner = getattr(call.func, "id", "?"), ""
        first = call.args[0] if call.args else None
        text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
        self.calls.add(name)
        if (owner, name) == ("faults", "hit"):
            self.points.append(text)
        elif (name in RISKY_CALLS and owner in OF_MODULES) or name in OF_ANYTHING:
            self.risky.add(name)
        elif name == "execute" and any(word in text for word in RISKY_SQL):
            self.risky.add(text)


def functions(folders: list[Path], mentioning: str = "") -> list[Function]:
    """Those in files that mention the text."""
    files = [file for each in folders for file in ([each] if each.is_file() else sorted(each.rglob("*.py")))]
    texts = [(file, file.read_text("utf-8")) for file in files]
    return [
        Function(file, node)
        for file, text in texts
        if mentioning in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def points_in(folder: Path) -> set[str]:
    """All that are passed there, also by lambdas outside functions."""
    texts = (file.read_text("utf-8") for file in folder.rglob("*.py"))
    return {point for text in texts for point in re.findall(r'faults\.hit\("([^"]+)"\)', text)}


def test_every_point_that_is_passed_is_known_and_every_known_one_is_used() -> None:
    assert points_in(SOURCE) == set(faults.POINTS)


def test_every_write_and_sync_of_the_stores_has_a_point() -> None:
    """In the function itself, or in each function that calls it; `WITHOUT` says which need none, and why."""
    everything = functions(STORES)
    assert len([function for function in everything if function.risky]) > 10
    assert bare_of(everything) == []


def bare_of(everything: list[Function]) -> list[str]:
    """Functions that write or sync and are not covered by a point."""
    bare = []
    for function in everything:
        if not function.risky:
            continue
        if function.points or function.name in WITHOUT:
            continue
        callers = [other for other in everything if function.name in other.calls and other.name != function.name]
        if not callers or not all(caller.points or caller.name in WITHOUT for caller in callers):
            bare.append(f"{function.where}: {sorted(function.risky)}")
    return bare


@pytest.mark.parametrize(
    ("body", "bare"),
    [
        ("def f():\n os.fsync(3)", True),
        ("def f():\n faults.hit('x')\n os.fsync(3)", False),
        ("def f(c):\n c.execute('COMMIT')", True),
        ("def f(p):\n p.write_text('x')", True),
        ("def f():\n os.replace('a', 'b')\ndef g():\n faults.hit('x')\n f()", False),
        ("def f():\n os.replace('a', 'b')\ndef g():\n faults.hit('x')\n f()\ndef h():\n f()", True),
        ("def f(s):\n return s.replace('a', 'b')", False),
    ],
)
def test_what_counts_as_bare(tmp_path: Path, body: str, bare: bool) -> None:
    file = tmp_path / "module.py"
    file.write_text(body)
    assert bool(bare_of(functions([file]))) is bare


def test_every_point_is_passed(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "LEAST_BYTES", 1)
    seen: set[str] = set()
    faults.record(seen)

    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            assert it.engine is not None
            (p,) = await it.topic()
            await it.append(entry(p, 0))
            await it.engine.checkpoint()
        async with postgres_opener(postgres.url(postgres.database()))() as it:
            (p,) = await it.topic()
            await it.append(entry(p, 0))
            await it.log.append_locked({p: 1}, -1, lambda locked: it.flush(entry(p, 1)))
            await it.groups.write([], [], [])
            await it.shares.write([])
        blobs = LocalBlobs(tmp_path / "blobs", spare_bytes=100)
        loop = asyncio.get_running_loop()
        await blobs.create(1)
        told: asyncio.Future[int] = loop.create_future()
        blobs.append(1, [b"x"], True, lambda position, error: loop.call_soon_threadsafe(told.set_result, position))
        await told
        await blobs.seal(1)
        await blobs.put(2, [b"y"])
        await blobs.delete(2)
        await blobs.delete(1)
        await blobs.create(3)
        await blobs.close()

    run(main())
    folder = DataDir(tmp_path / "data")
    folder.open()
    folder.close()
    (tmp_path / "data" / "metadata.sqlite").write_bytes(b"rows")
    at_rest.write_sum(folder.path)
    at_rest.check_and_remove_sum(folder.path)
    # others are passed by whole brokers and by copies: tests/e2e/test_maintained_broker.py, test_transaction_kills.py, test_share_groups.py, test_backup.py, test_migrate.py
    elsewhere = (
        "log.",
        "share.",
        "transactions.",
        "server.backup.",
        "server.restore.",
        "server.migrate.",
        "metadata.sqlite.copy",
    )
    assert seen == {name for name in faults.POINTS if not name.startswith(elsewhere)}


def test_each_kind_of_fault() -> None:
    faults.arm("blobs.local.write=fail:3,blobs.local.sync=full")
    faults.hit("blobs.local.write")
    faults.hit("blobs.local.write")
    for _ in range(2):
        with pytest.raises(OSError, match="fault point") as raised:
            faults.hit("blobs.local.write")
        assert raised.value.errno == errno.EIO
    with pytest.raises(OSError, match="fault point") as raised:
        faults.hit("blobs.local.sync")
    assert raised.value.errno == errno.ENOSPC
    faults.hit("blobs.local.put")
    faults.arm("")
    faults.hit("blobs.local.write")


def test_a_kill_is_a_kill() -> None:
    script = "from moldau import faults; faults.hit('blobs.local.put'); print('once', flush=True); faults.hit('blobs.local.put')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MOLDAU_FAULTS": "blobs.local.put=kill:2"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, b"once\n")


def test_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", slept.append)
    faults.arm("blobs.local.put=sleep:0.2")
    faults.hit("blobs.local.put")
    assert slept == [0.2]


@pytest.mark.parametrize("spec", ["no.such.point=kill", "blobs.local.put=explode", "blobs.local.put"])
def test_a_wrong_specification_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"point|action"):
        faults.arm(spec)
