"""Which modules are generated, and from which definitions."""

from __future__ import annotations

from pathlib import Path

from tools.codegen import emit_api_keys, emit_error_codes
from tools.codegen.definitions import read
from tools.codegen.emit_module import module
from tools.codegen.jar import Archive
from tools.codegen.names import snake

PROTOCOL = "src/moldau/protocol"
MESSAGES = f"{PROTOCOL}/messages"

# Keys that clients and tools use. The others are spoken between controllers and brokers of Apache Kafka only.
CLIENT_KEYS = frozenset(
    [*range(4), *range(8, 52), 55, 57, 60, 61, 64, 65, 66, 68, 69, 71, 72, *range(74, 80), *range(88, 94)]
)

# Messages without an API key, by module.
OTHERS = {
    "headers": ["RequestHeader", "ResponseHeader"],
    "control_records": ["EndTxnMarker"],
    "consumer_protocol": ["ConsumerProtocolSubscription", "ConsumerProtocolAssignment"],
}


def generate(path: Path) -> dict[str, str]:
    """Text of every generated module, by its path in the repository."""
    archive = Archive(path)
    everything = [message for text in archive.message_texts().values() if (message := read(text))]
    by_name = {message.name: message for message in everything}
    requests = sorted((m for m in everything if m.kind == "request"), key=lambda m: m.api_key)
    texts = {}
    for request in requests:
        if request.api_key in CLIENT_KEYS:
            api = request.name.removesuffix("Request")
            pair = [request, by_name[f"{api}Response"]]
            texts[f"{MESSAGES}/{snake(api)}.py"] = module(pair, f"{api} (key {request.api_key}).")
    for stem, names in OTHERS.items():
        texts[f"{MESSAGES}/{stem}.py"] = module([by_name[name] for name in names], f"{', '.join(names)}.")
    missing = CLIENT_KEYS - {request.api_key for request in requests}
    if missing:
        raise ValueError(f"no definition for the API keys {sorted(missing)}")
    texts[f"{PROTOCOL}/api_keys.py"] = emit_api_keys.text(requests, CLIENT_KEYS)
    texts[f"{PROTOCOL}/error_codes.py"] = emit_error_codes.text(archive)
    return texts
