"""Encoders: one straight-line function per distinct layout.

Runs of fixed-size fields are one `pack`; in versions that are not flexible the length of the variable field after a run
belongs to the run, in flexible ones the zero that says "no tagged fields" does (as a pad byte).
"""

from __future__ import annotations

from tools.codegen.definitions import FIXED, Field, Message, StructDef
from tools.codegen.layout import Layout, differs_text
from tools.codegen.names import snake
from tools.codegen.source import Functions, Source, struct_name


def encoder(message: Message, version: int, functions: Functions) -> str:
    """Name of the function that writes `version`."""
    return _Encoder(message, version, functions).root()


class _Encoder:
    def __init__(self, message: Message, version: int, functions: Functions) -> None:
        self.layout = Layout(message, version)
        self.version = version
        self.functions = functions
        self.parts = message.has_records
        self.src = Source()
        self.run: list[tuple[str, str]] = []  # struct format, expression
        self.numbers = 0
        self.out = "out"

    # -- functions

    def root(self) -> str:
        message = self.layout.message
        if self.parts:
            self.src.add("parts: list[Buffer] = []")
        self.src.add("out = bytearray()")
        self._struct(message.root, "m")
        self._flush()
        if self.parts:
            self.src.add("parts.append(out)")
        self.src.add("return parts" if self.parts else "return out")
        result = "list[Buffer]" if self.parts else "bytearray"
        if self.parts:
            self._use("Buffer")
        signature = f"(m: {message.root.class_name}, version: int) -> {result}"
        return self.functions.define(f"encode_{snake(message.name)}_{self.version}", signature, self.src.lines)

    def _shared(self, struct: StructDef) -> str:
        inner = _Encoder(self.layout.message, self.version, self.functions)
        inner._struct(struct, "m")
        inner._flush()
        name = f"encode_{snake(self.layout.message.name)}_{snake(struct.class_name)}_{self.version}"
        signature = f"(m: {struct.class_name}, out: bytearray, version: int) -> None"
        return self.functions.define(name, signature, inner.src.lines)

    # -- pieces

    def _use(self, name: str) -> str:
        self.functions.used.add(name)
        return name

    def _name(self, stem: str) -> str:
        self.numbers += 1
        return f"{stem}{self.numbers}"

    def _flush(self) -> None:
        """Write the run of fixed-size values that has been gathered."""
        if not self.run:
            return
        formats = [f for f, _ in self.run]
        values = ", ".join(e for f, e in self.run if f != "x")
        self.run = []
        if formats == ["x"]:
            self.src.add(f"{self.out}.append(0)")
        else:
            self.src.add(f"{self.out} += {self._use(struct_name('pack', formats))}({values})")

    def _struct(self, struct: StructDef, var: str) -> None:
        for field in self.layout.absent(struct):
            if not field.ignorable:
                value = f"{var}.{field.attr}"
                self._uses_default(field)
                with self.src.block(f"if {differs_text(field, value)}:"):
                    self.src.add(f'raise {self._use("not_carried")}("{struct.name}.{field.attr}", {value}, version)')
        for field in self.layout.plain(struct):
            self._field(field, f"{var}.{field.attr}")
        if self.layout.flexible:
            self._tags(struct, var)

    def _uses_default(self, field: Field) -> None:
        if field.type == "uuid" and not field.is_array:
            self._use("ZERO_UUID")

    def _tags(self, struct: StructDef, var: str) -> None:
        known = self.layout.tagged(struct)
        if not known:
            self.run.append(("x", ""))
            return
        self._flush()
        tags = self._name("tags")
        self.src.add(f"{tags}: list[tuple[int, bytearray]] = []")
        outer = self.out
        for field in known:
            value = f"{var}.{field.attr}"
            condition = differs_text(field, value)
            self._uses_default(field)
            with self.src.block(f"if {condition}:"):
                if field.struct is not None and field.is_struct:
                    # All defaults: Kafka leaves such a struct out.
                    tests = [differs_text(f, f"{value}.{f.attr}") for f in self.layout.plain(field.struct)]
                    with self.src.block(f"if {' or '.join(tests)}:"):
                        self._tag(field, value, tags)
                else:
                    self._tag(field, value, tags)
        self.out = outer
        with self.src.block(f"if {tags}:"):
            self.src.add(f"{self._use('put_tags')}({outer}, {tags})")
        with self.src.block("else:"):
            self.src.add(f"{outer}.append(0)")

    def _tag(self, field: Field, value: str, tags: str) -> None:
        self.out = self._name("body")
        self.src.add(f"{self.out} = bytearray()")
        self._field(field, value, present=True)
        self._flush()
        self.src.add(f"{tags}.append(({field.tag}, {self.out}))")

    def _field(self, field: Field, value: str, present: bool = False) -> None:
        """`present`: the value is known not to be null."""
        flexible = self.layout.is_flexible(field)
        nullable = self.layout.is_nullable(field) and not present
        if field.is_array:
            self._array(field, value, flexible, nullable)
        elif field.struct is not None:
            self._struct_field(field.struct, value, nullable)
        elif field.type in FIXED:
            self.run.append((FIXED[field.type][0], value))
        elif field.type == "records":
            self._records(value, flexible, nullable)
        elif nullable:
            self._flush()
            var = self._name("v")
            self.src.add(f"{var} = {value}")
            self._null_branch(var, field.type, flexible)
            with self.src.block("else:"):
                self._bytes_like(field.type, var, flexible)
        else:
            if field.optional and not present:
                value = self._not_null(field, value)
            self._bytes_like(field.type, value, flexible)

    def _not_null(self, field: Field, value: str) -> str:
        """A value that may be null in other versions; here None cannot be written."""
        var = self._name("v")
        self.src.add(f"{var} = {value}")
        with self.src.block(f"if {var} is None:"):
            self.src.add(f'raise {self._use("not_carried")}("{self.layout.message.name}.{field.attr}", None, version)')
        return var

    def _null_branch(self, var: str, kind: str, flexible: bool) -> None:
        with self.src.block(f"if {var} is None:"):
            if flexible:
                self.src.add(f"{self.out}.append(0)")
            else:
                self.src.add(f'{self.out} += b"{chr(92)}xff{chr(92)}xff"' + ("" if kind == "string" else " * 2"))

    def _struct_field(self, struct: StructDef, value: str, nullable: bool) -> None:
        if not nullable:
            self._object(struct, value)
            return
        self._flush()
        var = self._name("e")
        self.src.add(f"{var} = {value}")
        with self.src.block(f"if {var} is None:"):
            self.src.add(f"{self.out}.append(255)")
        with self.src.block("else:"):
            self.src.add(f"{self.out}.append(1)")
            self._object(struct, var)
            self._flush()

    def _object(self, struct: StructDef, value: str) -> None:
        if struct.shared:
            self._flush()
            self.src.add(f"{self._shared(struct)}({value}, {self.out}, version)")
            return
        if "." in value and len(self.layout.plain(struct)) > 1:
            var = self._name("e")
            self.src.add(f"{var} = {value}")
            value = var
        self._struct(struct, value)

    def _put_length(self, expression: str, kind: str, flexible: bool) -> None:
        """Write the length of something that is there."""
        if not flexible:
            self.run.append(("h" if kind == "string" else "i", expression))
            self._flush()
            return
        self._flush()
        self.src.add(f"n = {expression} + 1")
        with self.src.block("if n < 128:"):
            self.src.add(f"{self.out}.append(n)")
        with self.src.block("else:"):
            self.src.add(f"{self._use('put_string_size' if kind == 'string' else 'put_uvarint')}({self.out}, n)")

    def _bytes_like(self, kind: str, value: str, flexible: bool) -> None:
        if kind == "string":
            var = self._name("s")
            self.src.add(f"{var} = {value}.encode()")
            value = var
        self._put_length(f"len({value})", kind, flexible)
        self.src.add(f"{self.out} += {value}")

    def _records(self, value: str, flexible: bool, nullable: bool) -> None:
        self._flush()
        var = self._name("r")
        self.src.add(f"{var} = {value}")
        with self.src.block(f"if {var} is None:"):
            if not nullable:
                self.src.add(f'raise {self._use("not_carried")}("{value}", None, version)')
            elif flexible:
                self.src.add(f"{self.out}.append(0)")
            else:
                self.src.add(f'{self.out} += b"{chr(92)}xff{chr(92)}xff" * 2')
        if self.layout.message.kind == "response":
            with self.src.block(f"elif isinstance({var}, list):"):
                self._put_record_length(f"sum(map(len, {var}))", flexible)
                self.src.add(f"parts.append({self.out})", f"parts += {var}", f"{self.out} = bytearray()")
        with self.src.block("else:"):
            self._put_record_length(f"len({var})", flexible)
            self.src.add(f"parts.append({self.out})", f"parts.append({var})", f"{self.out} = bytearray()")

    def _put_record_length(self, expression: str, flexible: bool) -> None:
        if flexible:
            self.src.add(f"{self._use('put_uvarint')}({self.out}, {expression} + 1)")
        else:
            self._put_length(expression, "records", False)

    def _array(self, field: Field, value: str, flexible: bool, nullable: bool) -> None:
        var = self._name("list")
        if nullable:
            self._flush()
            self.src.add(f"{var} = {value}")
            self._null_branch(var, "array", flexible)
            with self.src.block("else:"):
                self._array_present(field, var, flexible)
        else:
            self.src.add(f"{var} = {value}")
            if field.optional:
                with self.src.block(f"if {var} is None:"):
                    self.src.add(
                        f'raise {self._use("not_carried")}("{self.layout.message.name}.{field.attr}", None, version)'
                    )
            self._array_present(field, var, flexible)

    def _array_present(self, field: Field, var: str, flexible: bool) -> None:
        self._put_length(f"len({var})", "array", flexible)
        if field.type == "uuid":
            self.src.add(f"{self.out} += {self._use('pack_uuids')}({var})")
        elif field.type in FIXED:
            self.src.add(f'{self.out} += {self._use("pack_array")}("{FIXED[field.type][0]}", {var})')
        else:
            element = self._name("e")
            with self.src.block(f"for {element} in {var}:"):
                if field.struct is not None:
                    self._object(field.struct, element)
                    self._flush()
                else:
                    self._bytes_like(field.type, element, flexible)
