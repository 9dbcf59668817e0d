"""Progress bars on stderr for commands that copy much."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moldau.server.backup import Told


@contextlib.contextmanager
def bars() -> Iterator[Told]:
    """One for each stage, with rate and remaining time, where stderr is a terminal and rich is there."""
    try:
        if not sys.stderr.isatty():
            raise ImportError
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        yield lambda what, total: lambda done: None
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def told(what: str, total: int) -> Callable[[int], None]:
            task = shown.add_task(what, total=total or None)
            return lambda done: shown.advance(task, done)

        yield told
