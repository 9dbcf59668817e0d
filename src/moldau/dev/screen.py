"""Lines of several processes in one terminal: each begins with who said it, in a colour of its own."""

from __future__ import annotations

from typing import IO

_COLORS = (36, 33, 35, 32, 34, 31)
_WIDTH = 8


class Screen:
    """`tell` prints a line at once. When the reader is gone it is silent."""

    def __init__(self, out: IO[str], *, color: bool) -> None:
        self._out = out
        self._color = color
        self._names: dict[str, int] = {}

    def tell(self, name: str, text: str) -> None:
        """One line of `name`."""
        prefix = f"{name:<{_WIDTH}} |"
        if self._color:
            prefix = f"\x1b[{self._code(name)}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {text}")

    def plain(self, text: str) -> None:
        """One line, or some, of nobody."""
        try:
            print(text, file=self._out, flush=True)
        except (OSError, ValueError):
            pass  # nobody reads any more; the brokers go on

    def _code(self, name: str) -> int:
        return _COLORS[self._names.setdefault(name, len(self._names)) % len(_COLORS)]
