"""What a struct looks like on the wire in one version: which fields, how small it can be, where it is flexible."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tools.codegen.definitions import FIXED, Field, Message, StructDef


@dataclass(frozen=True)
class Layout:
    """One version of one message."""

    message: Message
    version: int

    @property
    def flexible(self) -> bool:
        return self.version in self.message.flexible

    def is_flexible(self, field: Field) -> bool:
        return self.version in field.flexible if field.flexible is not None else self.flexible

    def is_nullable(self, field: Field) -> bool:
        return self.version in field.nullable

    def plain(self, struct: StructDef) -> list[Field]:
        """Fields written in order, without tags."""
        return [f for f in struct.fields if f.tag is None and self.version in f.versions]

    def tagged(self, struct: StructDef) -> list[Field]:
        found = [f for f in struct.fields if f.tag is not None and self.version in f.versions and self.flexible]
        return sorted(found, key=lambda f: f.tag or 0)

    def absent(self, struct: StructDef) -> list[Field]:
        return [f for f in struct.fields if self.version not in f.versions]

    def least_size(self, field: Field) -> int:
        """The fewest bytes a field can take."""
        if field.is_array or field.type == "records":
            return 1 if self.is_flexible(field) else 4
        if field.is_struct and self.is_nullable(field):
            return 1
        return self.least_element_size(field)

    def least_element_size(self, field: Field) -> int:
        """The fewest bytes one element of an array (or one value that is not null) can take."""
        if field.struct is not None:
            return self.least_struct_size(field.struct)
        if field.type in FIXED:
            return FIXED[field.type][1]
        if self.is_flexible(field):
            return 1
        return 2 if field.type == "string" else 4

    def least_struct_size(self, struct: StructDef) -> int:
        size = sum(self.least_size(f) for f in self.plain(struct)) + (1 if self.flexible else 0)
        if size == 0:
            raise ValueError(f"{struct.name} can be empty on the wire in version {self.version}")
        return size


def default_text(field: Field) -> str:
    """The default value as Python, fresh where it can be changed."""
    if field.is_array and field.default == ():
        return "[]"
    if field.is_struct and field.default == () and field.struct is not None:
        return f"{field.struct.class_name}()"
    if field.type == "uuid":
        return "ZERO_UUID"
    return literal(field.default)


def literal(value: object) -> str:
    """A constant, strings in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value).replace("b''", 'b""')


def differs_text(field: Field, value: str) -> str:
    """A condition that is true when `value` is not the field's default."""
    if field.default is None:
        return f"{value} is not None"
    if field.is_array or field.type == "bytes":
        return f"{value} is None or {value}" if field.optional else value
    if field.is_struct:
        raise ValueError(f"{field.name}: a struct that is neither nullable nor tagged, absent in some version")
    if field.type == "uuid":
        return f"{value} != ZERO_UUID"
    if field.type == "bool":
        return f"not {value}" if field.default else value
    return f"{value} != {literal(field.default)}"
