"""Source text being written: indented lines, and functions that are shared when their text is the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Source:
    """Lines of one function body."""

    def __init__(self, depth: int = 1) -> None:
        self.lines: list[str] = []
        self._depth = depth

    def add(self, *lines: str) -> None:
        self.lines.extend("    " * self._depth + line for line in lines)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.add(head)
        self._depth += 1
        yield
        self._depth -= 1


class Functions:
    """The functions of one module. Two bodies with the same text become one function: that is how versions share."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._taken: set[str] = set()
        self.text: list[str] = []
        self.used: set[str] = set()  # names the bodies need from elsewhere: helpers, struct formats

    def define(self, name: str, signature: str, body: list[str]) -> str:
        """Name of a function with this signature and body: an earlier one, or a new one called `name`."""
        key = (signature, *body)
        if key not in self._names:
            if name in self._taken:
                raise ValueError(f"two functions called {name}")
            self._taken.add(name)
            self._names[key] = name
            self.text.extend(["", "", f"def {name}{signature}:", *body])
        return self._names[key]


LETTERS = {"?": "t", "16s": "U"}


def struct_name(verb: str, formats: list[str]) -> str:
    """`unpack_iiqU` for the formats i, i, q and 16s (U); `x` stands for a zero byte when packing."""
    return f"{verb}_" + "".join(LETTERS.get(f, f) for f in formats)


def struct_text(name: str) -> str:
    """The line that defines a name made by `struct_name`."""
    verb, _, letters = name.partition("_")
    formats = letters.replace("t", "?").replace("U", "16s")
    method = "unpack_from" if verb == "unpack" else "pack"
    return f'{name} = Struct(">{formats}").{method}'
