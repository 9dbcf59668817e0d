"""Decoders: one straight-line function per distinct layout.

Runs of fixed-size fields are one `unpack_from`; the length (or the first byte of the length) of the variable field
after a run, and the tag count at the end of a struct, belong to the run. Structs used in one place are read in line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from tools.codegen.definitions import FIXED, Field, Message, StructDef
from tools.codegen.layout import Layout, default_text
from tools.codegen.names import snake
from tools.codegen.source import Functions, Source, struct_name

Sink = Callable[[str], str]  # an expression, put where it belongs


def decoder(message: Message, version: int, functions: Functions) -> str:
    """Name of the function that reads `version`."""
    return _Decoder(message, version, functions).root()


class _Decoder:
    def __init__(self, message: Message, version: int, functions: Functions) -> None:
        self.layout = Layout(message, version)
        self.version = version
        self.functions = functions
        self.zero_copy = message.has_records
        self.data_type = "memoryview" if self.zero_copy else "bytes"
        self.src = Source()
        self.run: list[tuple[str, str]] = []  # struct format, target
        self.numbers = 0

    # -- functions

    def root(self) -> str:
        message = self.layout.message
        self._whole(message.root, "m")
        signature = f"(data: {self.data_type}, pos: int) -> tuple[{message.root.class_name}, int]"
        return self.functions.define(f"decode_{snake(message.name)}_{self.version}", signature, self.src.lines)

    def _shared(self, struct: StructDef) -> str:
        """Name of the function that reads a struct used in several places."""
        inner = _Decoder(self.layout.message, self.version, self.functions)
        inner._whole(struct, "m")
        name = f"decode_{snake(self.layout.message.name)}_{snake(struct.class_name)}_{self.version}"
        signature = f"(data: {self.data_type}, pos: int) -> tuple[{struct.class_name}, int]"
        return self.functions.define(name, signature, inner.src.lines)

    def _whole(self, struct: StructDef, var: str) -> None:
        self.src.add(f"{var} = new({struct.class_name})")
        self._use("new")
        self._struct(struct, var)
        self._flush()
        self.src.add(f"return {var}, pos")

    # -- pieces

    def _use(self, name: str) -> str:
        self.functions.used.add(name)
        return name

    def _name(self, stem: str) -> str:
        self.numbers += 1
        return f"{stem}{self.numbers}"

    def _flush(self) -> None:
        """Read the run of fixed-size values that has been gathered."""
        if not self.run:
            return
        formats = [f for f, _ in self.run]
        targets = [t for _, t in self.run]
        self.run = []
        if formats == ["B"]:
            self.src.add(f"{targets[0]} = data[pos]", "pos += 1")
            return
        left = ", ".join(targets) if len(targets) > 1 else f"({targets[0]},)"
        size = sum(next((s for f, s, _ in FIXED.values() if f == fmt), 1) for fmt in formats)
        self.src.add(f"{left} = {self._use(struct_name('unpack', formats))}(data, pos)", f"pos += {size}")

    def _struct(self, struct: StructDef, var: str) -> None:
        """Fields of a struct whose object is `var`. The run may stay open at its end when it has no tags."""
        for field in self.layout.plain(struct):
            self._field(field, f"{var}.{field.attr}", f"{struct.name}.{field.attr}")
        for field in self.layout.absent(struct):
            self.src.add(f"{var}.{field.attr} = {default_text(field)}")
            if field.type == "uuid" and not field.is_array:
                self._use("ZERO_UUID")
        if self.layout.flexible:
            self._tags(struct, var)

    def _tags(self, struct: StructDef, var: str) -> None:
        known = self.layout.tagged(struct)
        for field in known:
            self.src.add(f"{var}.{field.attr} = {default_text(field)}")
            if field.type == "uuid":
                self._use("ZERO_UUID")
        self.run.append(("B", "n"))
        self._flush()
        with self.src.block("if n:"):
            if not known:
                self.src.add(f"pos = {self._use('skip_tags')}(data, pos, n)")
                return
            tag, end = self._name("tag"), self._name("end")
            self.src.add(f"n, pos = {self._use('uvarint')}(data, pos, n)")
            with self.src.block("for _ in range(n):"):
                self.src.add(f"{tag}, {end}, pos = {self._use('tag_head')}(data, pos)", f"{end} += pos")
                word = "if"
                for field in known:
                    with self.src.block(f"{word} {tag} == {field.tag}:"):
                        self._field(field, f"{var}.{field.attr}", f"{struct.name}.{field.attr}")
                        self._flush()
                    word = "elif"
                with self.src.block("else:"):
                    self.src.add(f"pos = {end}")
                with self.src.block(f"if pos != {end}:"):
                    self.src.add(f'raise {self._use("bad_tag")}({tag}, {end}, pos, "{struct.name}")')

    def _field(self, field: Field, target: str, where: str) -> None:
        def store(expression: str) -> str:
            return f"{target} = {expression}"

        flexible = self.layout.is_flexible(field)
        nullable = self.layout.is_nullable(field)
        if field.is_array:
            self._array(field, store, where)
        elif field.struct is not None:
            self._struct_field(field, field.struct, store)
        elif field.type in FIXED:
            self.run.append((FIXED[field.type][0], target))
        else:
            self._bytes_like(field.type, flexible, nullable, store, where)

    def _struct_field(self, field: Field, struct: StructDef, store: Sink) -> None:
        if self.layout.is_nullable(field):
            self.run.append(("b", "n"))
            self._flush()
            with self.src.block("if n < 0:"):
                self.src.add(store("None"))
            with self.src.block("else:"):
                self._object(struct, store)
                self._flush()
        else:
            self._object(struct, store)

    def _object(self, struct: StructDef, store: Sink) -> None:
        """One struct that is there."""
        if struct.shared:
            self._flush()
            var = self._name("e")
            self.src.add(f"{var}, pos = {self._shared(struct)}(data, pos)", store(var))
            return
        var = self._name("e")
        self.src.add(f"{var} = {self._use('new')}({struct.class_name})", store(var))
        self._struct(struct, var)

    @contextmanager
    def _measured(self, kind: str, flexible: bool, nullable: bool, store: Sink, where: str) -> Iterator[str]:
        """Read a length into `n` and deal with null; what is written inside is for a value that is there.

        Yields the expression of the length: in flexible versions `n` is the length plus one.
        """
        helper = "string_size" if kind == "string" else "size"
        self.run.append(("B", "n") if flexible else ("h" if kind == "string" else "i", "n"))
        self._flush()
        if nullable:
            with self.src.block("if n == 0:" if flexible else "if n == -1:"):
                self.src.add(store("None"))
        with self.src.block("else:") if nullable else nullcontext():
            if flexible:
                with self.src.block("if n > 127:" if nullable else "if not 0 < n < 128:"):
                    self.src.add(f'n, pos = {self._use(helper)}(data, pos, n, "{where}")')
            elif kind != "array":  # a count is compared with what is left, too
                with self.src.block("if n < 0:"):
                    self.src.add(f'raise {self._use("bad_length")}(n, pos, "{where}")')
            yield "n - 1" if flexible else "n"

    def _bytes_like(self, kind: str, flexible: bool, nullable: bool, store: Sink, where: str) -> None:
        piece = "data[pos:end]"
        if kind == "string":
            piece = f'str({piece}, "utf-8")' if self.zero_copy else f"{piece}.decode()"
        elif kind == "bytes" and self.zero_copy:
            piece = f"bytes({piece})"
        with self._measured(kind, flexible, nullable, store, where) as length:
            self.src.add(f"end = pos + {length}", store(piece), "pos = end")

    def _array(self, field: Field, store: Sink, where: str) -> None:
        flexible, nullable = self.layout.is_flexible(field), self.layout.is_nullable(field)
        least = self.layout.least_element_size(field)
        with self._measured("array", flexible, nullable, store, where):
            if flexible:
                self.src.add("n -= 1")
            claim = "n" if least == 1 else f"n * {least}"
            negative = "" if flexible else "n < 0 or "
            with self.src.block(f"if {negative}{claim} > len(data) - pos:"):
                self.src.add(f'raise {self._use("bad_count")}(n, {least}, data, pos, "{where}")')
            self._elements(field, store, where, least)

    def _elements(self, field: Field, store: Sink, where: str, least: int) -> None:
        if field.type == "uuid":
            self.src.add(store(f"{self._use('unpack_uuids')}(n, data, pos)"), "pos += n * 16")
            return
        if field.type in FIXED:
            letter = FIXED[field.type][0]
            self.src.add(store(f'{self._use("unpack_array")}("{letter}", n, data, pos)'), f"pos += n * {least}")
            return
        values = self._name("list")
        if field.struct is not None:
            self.src.add(f"{values}: list[{field.struct.class_name}] = []", store(values))
        else:
            self.src.add(f"{values}: list[{'str' if field.type == 'string' else 'bytes'}] = []", store(values))

        def append(expression: str) -> str:
            return f"{values}.append({expression})"

        with self.src.block("for _ in range(n):"):
            if field.struct is None:
                self._bytes_like(field.type, self.layout.is_flexible(field), False, append, f"{where}[]")
            else:
                self._object(field.struct, append)
                self._flush()
