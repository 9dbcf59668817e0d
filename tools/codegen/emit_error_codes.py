"""`error_codes.py`: numbers and names of Kafka's errors, and which of them a client may retry.

Read from the class file of Kafka's `Errors` enum: each constant passes its code, a message (not copied) and the
constructor of its exception. An error is retriable when the exception is a `RetriableException`.
"""

from __future__ import annotations

from tools.codegen.classfile import ClassFile, Lambda
from tools.codegen.emit_module import HEADER
from tools.codegen.jar import Archive

ERRORS = "org/apache/kafka/common/protocol/Errors"
RETRIABLE = "org/apache/kafka/common/errors/RetriableException"


def errors(archive: Archive) -> list[tuple[int, str, bool]]:
    """Code, name and retriable of every error, by code."""
    found = []
    for name, _, code, _, builder in ClassFile(archive.class_bytes(ERRORS)).enum_arguments():
        if not isinstance(name, str) or not isinstance(code, int) or not isinstance(builder, Lambda):
            raise ValueError(f"the Errors enum has another shape than expected at {name!r}")
        found.append((code, name, _is_retriable(archive, builder.target)))
    return sorted(found)


def _is_retriable(archive: Archive, name: str | None) -> bool:
    while name is not None and name.startswith("org/apache/kafka/") and name != ERRORS:
        if name == RETRIABLE:
            return True
        name = ClassFile(archive.class_bytes(name)).super_name
    return False


def text(archive: Archive) -> str:
    table = errors(archive)
    lines = [
        HEADER,
        '"""Kafka\'s error codes."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        *(f"{name}: Final = {code}" for code, name, _ in table),
        "",
        "_NAMES: Final[dict[int, str]] = {",
        *(f'    {code}: "{name}",' for code, name, _ in table),
        "}",
        "",
        "# Errors whose exception in Kafka's Java client is a RetriableException.",
        "_RETRIABLE: Final = frozenset(",
        "    {",
        *(f"        {name}," for _, name, retriable in table if retriable),
        "    }",
        ")",
        "",
        "",
        "def name(code: int) -> str:",
        '    """Kafka\'s name of an error: `NONE` for 0; `ErrorCode(4711)` for a code that Kafka does not have."""',
        '    return _NAMES.get(code) or f"ErrorCode({code})"',
        "",
        "",
        "def is_retriable(code: int) -> bool:",
        '    """The same request may succeed later, after new metadata or a pause."""',
        "    return code in _RETRIABLE",
    ]
    return "\n".join(lines) + "\n"
