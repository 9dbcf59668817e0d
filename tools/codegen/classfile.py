"""Just enough of the Java class file format (JVM specification, chapter 4) to read an enum's constructor arguments."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Sizes of the constants that are skipped or kept as raw numbers, by tag (JVMS table 4.4-B).
_FORMATS = {3: ">i", 4: ">f", 5: ">q", 6: ">d", 7: ">H", 8: ">H", 9: ">HH", 10: ">HH", 11: ">HH", 12: ">HH",
            15: ">BH", 16: ">H", 17: ">HH", 18: ">HH", 19: ">H", 20: ">H"}  # fmt: skip


@dataclass(frozen=True)
class Lambda:
    """An `invokedynamic` that makes a function object; `target` is the class of the method it calls."""

    target: str


class ClassFile:
    """Constant pool, superclass, methods and bootstrap methods of one class."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 8
        self._pool: list[Any] = [None]
        self._tags: list[int] = [0]
        self._read_pool()
        _, _, super_class, interfaces = self._take(">HHHH")
        self.super_name: str | None = self._class_name(super_class) if super_class else None
        self._pos += 2 * interfaces
        self._members()  # fields
        self.methods = self._members()
        self._bootstrap = self._bootstrap_methods(self._attributes().get("BootstrapMethods"))

    def _take(self, fmt: str) -> tuple[Any, ...]:
        values = struct.unpack_from(fmt, self._data, self._pos)
        self._pos += struct.calcsize(fmt)
        return values

    def _read_pool(self) -> None:
        (count,) = self._take(">H")
        while len(self._pool) < count:
            (tag,) = self._take(">B")
            if tag == 1:
                (length,) = self._take(">H")
                value: Any = self._data[self._pos : self._pos + length].decode("utf-8", "replace")
                self._pos += length
            else:
                value = self._take(_FORMATS[tag])
            self._pool.append(value)
            self._tags.append(tag)
            if tag in (5, 6):  # long and double take two places
                self._pool.append(None)
                self._tags.append(0)

    def _class_name(self, index: int) -> str:
        name: str = self._pool[self._pool[index][0]]
        return name

    def _attributes(self) -> dict[str, bytes]:
        (count,) = self._take(">H")
        found = {}
        for _ in range(count):
            name, length = self._take(">HI")
            found[self._pool[name]] = self._data[self._pos : self._pos + length]
            self._pos += length
        return found

    def _members(self) -> dict[str, dict[str, bytes]]:
        """Attributes of the fields or methods, by name and descriptor."""
        (count,) = self._take(">H")
        found = {}
        for _ in range(count):
            _, name, descriptor = self._take(">HHH")
            found[self._pool[name] + self._pool[descriptor]] = self._attributes()
        return found

    def _bootstrap_methods(self, data: bytes | None) -> list[tuple[int, ...]]:
        """Arguments of each bootstrap method."""
        found = []
        pos = 2
        for _ in range(struct.unpack_from(">H", data)[0] if data else 0):
            assert data is not None
            _, count = struct.unpack_from(">HH", data, pos)
            found.append(struct.unpack_from(f">{count}H", data, pos + 4))
            pos += 4 + 2 * count
        return found

    def _lambda(self, index: int) -> Lambda:
        """The class whose method (or constructor) the lambda's second bootstrap argument points to."""
        handle = self._pool[self._bootstrap[self._pool[index][0]][1]]
        return Lambda(self._class_name(self._pool[handle[1]][0]))

    def enum_arguments(self) -> Iterator[list[Any]]:
        """What each constant of this enum passes to its constructor: name, ordinal, then the enum's own arguments."""
        code = self.methods["<clinit>()V"]["Code"]
        length = struct.unpack_from(">I", code, 4)[0]
        body = code[8 : 8 + length]
        stack: list[Any] = []
        pos = 0
        while pos < len(body):
            op = body[pos]
            size = 1
            if op == 0xBB:  # new
                stack = []
                size = 3
            elif op == 0x59:  # dup
                pass
            elif op == 0x01:  # aconst_null
                stack.append(None)
            elif 0x02 <= op <= 0x08:  # iconst
                stack.append(op - 3)
            elif op == 0x10:  # bipush
                stack.append(struct.unpack_from(">b", body, pos + 1)[0])
                size = 2
            elif op == 0x11:  # sipush
                stack.append(struct.unpack_from(">h", body, pos + 1)[0])
                size = 3
            elif op in (0x12, 0x13):  # ldc, ldc_w
                index = body[pos + 1] if op == 0x12 else struct.unpack_from(">H", body, pos + 1)[0]
                value = self._pool[index]
                stack.append(self._pool[value[0]] if self._tags[index] == 8 else value[0])
                size = 2 if op == 0x12 else 3
            elif op == 0xBA:  # invokedynamic
                stack.append(self._lambda(struct.unpack_from(">H", body, pos + 1)[0]))
                size = 5
            elif op == 0xB7:  # invokespecial: the constructor
                yield stack
                size = 3
            elif op == 0xB3:  # putstatic
                size = 3
            else:  # the constants are made first; what follows is of no interest
                return
            pos += size
