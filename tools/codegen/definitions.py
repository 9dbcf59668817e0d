"""Message definitions: the JSON of the jar as typed objects, with names resolved and odd shapes refused.

Only facts are read (names, types, versions, defaults, tags, nullability); the prose of the files is ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tools.codegen.names import snake

# Struct format letter and Python type of each fixed-size type; "16s" stands for a uuid.
FIXED: dict[str, tuple[str, int, str]] = {
    "bool": ("?", 1, "bool"),
    "int8": ("b", 1, "int"),
    "int16": ("h", 2, "int"),
    "uint16": ("H", 2, "int"),
    "int32": ("i", 4, "int"),
    "uint32": ("I", 4, "int"),
    "int64": ("q", 8, "int"),
    "float64": ("d", 8, "float"),
    "uuid": ("16s", 16, "bytes"),
}
VARIABLE = ("string", "bytes", "records")
NEVER = 0x7FFF


@dataclass(frozen=True)
class Versions:
    """A closed range of versions; empty when `low > high`."""

    low: int
    high: int

    def __contains__(self, version: int) -> bool:
        return self.low <= version <= self.high

    @staticmethod
    def parse(text: str | None) -> Versions:
        if text is None or text == "none":
            return Versions(0, -1)
        if text.endswith("+"):
            return Versions(int(text[:-1]), NEVER)
        low, _, high = text.partition("-")
        return Versions(int(low), int(high or low))


@dataclass
class Field:
    name: str
    attr: str
    type: str  # of one element, if it is an array
    is_array: bool
    versions: Versions
    nullable: Versions
    tag: int | None
    default: object  # None is null; arrays and structs that are not null by default have ()
    ignorable: bool
    flexible: Versions | None  # where it differs from the message's
    struct: StructDef | None = None

    @property
    def is_struct(self) -> bool:
        return self.struct is not None and not self.is_array

    @property
    def optional(self) -> bool:
        """None is a legal value of the attribute. A tagged struct that was not sent is None too."""
        return self.nullable.low <= self.nullable.high or self.default is None


@dataclass
class StructDef:
    name: str
    class_name: str
    fields: list[Field]
    used_at: str = ""
    shared: bool = False  # referred to from more than one place: gets functions of its own

    def shape(self) -> object:
        """What makes two structs of one name the same struct."""
        return [
            (f.name, f.type, f.is_array, f.versions, f.nullable, f.tag, repr(f.default), f.ignorable,
             f.struct.shape() if f.struct else None)
            for f in self.fields
        ]  # fmt: skip


@dataclass
class Message:
    name: str
    kind: str  # request, response, header, data
    api_key: int
    valid: Versions
    flexible: Versions
    latest_unstable: bool
    root: StructDef
    structs: list[StructDef] = field(default_factory=list)  # leaves first, root last

    @property
    def has_records(self) -> bool:
        return any(f.type == "records" for s in self.structs for f in s.fields)

    @property
    def stable_high(self) -> int:
        return self.valid.high - 1 if self.latest_unstable else self.valid.high


def read(text: str) -> Message | None:
    """One definition; None for a message that has no valid version any more."""
    raw = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    if raw["validVersions"] == "none":
        return None
    return _Reader(raw).message


class _Reader:
    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw_common = {common["name"]: common for common in raw.get("commonStructs", [])}
        self._structs: dict[str, StructDef] = {}
        self._order: list[StructDef] = []
        root = self._struct(raw["name"], raw["fields"], "")
        self.message = Message(
            name=raw["name"],
            kind=raw["type"],
            api_key=raw.get("apiKey", -1),
            valid=Versions.parse(raw["validVersions"]),
            flexible=Versions.parse(raw["flexibleVersions"]),
            latest_unstable=raw.get("latestVersionUnstable", False),
            root=root,
            structs=self._order,
        )

    def _struct(self, name: str, raw_fields: list[dict[str, Any]], used_at: str) -> StructDef:
        if name in self._structs:
            raise ValueError(f"struct {name} is defined twice in one message")
        struct = StructDef(name, name, [], used_at)
        self._structs[name] = struct
        for raw in raw_fields:
            struct.fields.append(self._field(raw, f"{used_at or name}.{snake(raw['name'])}"))
        self._order.append(struct)
        return struct

    def _field(self, raw: dict[str, Any], path: str) -> Field:
        type_ = raw["type"].removeprefix("[]")
        is_array = raw["type"].startswith("[]")
        versions = Versions.parse(raw["versions"])
        if "tag" in raw and raw["taggedVersions"] != raw["versions"]:
            raise ValueError(f"{path}: tagged in {raw['taggedVersions']} but present in {raw['versions']}")
        struct = None
        if type_ not in FIXED and type_ not in VARIABLE:
            struct = self._referred(type_, raw, f"{path}[]" if is_array else path)
        return Field(
            name=raw["name"],
            attr=snake(raw["name"]),
            type=type_,
            is_array=is_array,
            versions=versions,
            nullable=Versions.parse(raw.get("nullableVersions")),
            tag=raw.get("tag"),
            default=_default(type_, is_array, struct is not None, "tag" in raw, raw.get("default")),
            ignorable=raw.get("ignorable", False),
            flexible=Versions.parse(raw["flexibleVersions"]) if "flexibleVersions" in raw else None,
            struct=struct,
        )

    def _referred(self, name: str, raw: dict[str, Any], path: str) -> StructDef:
        if "fields" in raw:
            return self._struct(name, raw["fields"], path)
        if name in self._structs:
            self._structs[name].shared = True
            return self._structs[name]
        return self._struct(name, self._raw_common[name]["fields"], path)


def _default(type_: str, is_array: bool, is_struct: bool, tagged: bool, raw: object) -> object:
    if raw == "null":
        return None
    if is_array:
        return ()
    if is_struct:
        return None if tagged else ()
    if type_ == "records":
        return None
    if type_ == "string":
        return raw if isinstance(raw, str) else ""
    if type_ == "bytes":
        return b""
    if type_ == "uuid":
        return bytes(16)
    if type_ == "bool":
        return raw in (True, "true")
    if type_ == "float64":
        return float(str(raw or 0))
    return raw if isinstance(raw, int) else int(str(raw or "0"), 0)
