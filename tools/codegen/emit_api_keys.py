"""`api_keys.py`: numbers and names of the APIs, and the versions of those that clients use."""

from __future__ import annotations

from tools.codegen.definitions import NEVER, Message
from tools.codegen.emit_module import HEADER
from tools.codegen.names import constant


def text(requests: list[Message], client_keys: frozenset[int]) -> str:
    apis = [(m.name.removesuffix("Request"), m) for m in requests]
    clients = [(api, m) for api, m in apis if m.api_key in client_keys]
    lines = [
        HEADER,
        '"""Kafka\'s API keys. Every one has a name here; those that clients use have versions and messages."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        *(f"{constant(api)}: Final = {m.api_key}" for api, m in apis),
        "",
        "# Lowest and highest stable version.",
        "RANGES: Final[dict[int, tuple[int, int]]] = {",
        *(f"    {constant(api)}: ({m.valid.low}, {m.stable_high})," for api, m in clients),
        "}",
        "",
        f"# First flexible version; {NEVER}: there is none.",
        "FLEXIBLE_FROM: Final[dict[int, int]] = {",
        *(f"    {constant(api)}: {flexible_from(m)}," for api, m in clients),
        "}",
        "",
        "_NAMES: Final[dict[int, str]] = {",
        *(f'    {constant(api)}: "{api}",' for api, m in apis),
        "}",
        "",
        "",
        "def name(key: int) -> str:",
        '    """Kafka\'s name of an API: `Produce` for 0; `ApiKey(4711)` for a key that Kafka does not have."""',
        '    return _NAMES.get(key) or f"ApiKey({key})"',
    ]
    return "\n".join(lines) + "\n"


def flexible_from(message: Message) -> int:
    return message.flexible.low if message.flexible.low <= message.flexible.high else NEVER
