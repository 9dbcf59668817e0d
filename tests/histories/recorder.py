"""Where all clients of a run write down what they did. Appending to a list is safe between threads."""

from __future__ import annotations

import threading
import time

from .history import History, Note, Op


class Recorder:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self.history: History = []
        self.trouble: list[str] = []
        """What clients said that is no operation, and should not happen."""
        self.stop = threading.Event()
        """Clients stop beginning new things."""

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def add(self, op: Op) -> None:
        self.history.append(op)

    def note(self, process: str, text: str, start: float | None = None) -> None:
        now = self.now()
        self.history.append(Note(process, now if start is None else start, now, text))

    def troubled(self, process: str, text: str) -> None:
        """Noted, and said at the end."""
        self.note(process, text)
        self.trouble.append(f"{self.now():.3f} {process}: {text}")
