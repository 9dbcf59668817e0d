"""Modules of the requests that nearly every client makes, imported soon after the start, by a thread.

A handler and its messages are imported when they are first asked for, so that a broker starts quickly. That first time takes 10 to 50 ms, on the
loop, while all other connections wait; after a rolling restart each broker would meet all of them within its first seconds. The thread
shares the interpreter with the loop by turns (`SWITCH_INTERVAL_SECONDS`), and leaves it alone between two modules.

A broker that joins others imports them before it says that it is there (`load`): a second after that word clients are sent to it all at once,
and until then the others serve them.

Sketch: 19 APIs, 0.2 s of CPU altogether, 10 MB, most of which a broker in use has anyway.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from importlib import import_module

from moldau.broker import served
from moldau.protocol import api_keys
from moldau.protocol.registry import module_name

DELAY_SECONDS = 0.5
"""After the start: who waits for it is served first."""
PAUSE_SECONDS = 0.01
APIS = (
    api_keys.API_VERSIONS,
    api_keys.METADATA,
    api_keys.PRODUCE,
    api_keys.FETCH,
    api_keys.INIT_PRODUCER_ID,
    api_keys.OFFSET_FOR_LEADER_EPOCH,
    api_keys.LIST_OFFSETS,
    api_keys.FIND_COORDINATOR,
    api_keys.OFFSET_COMMIT,
    api_keys.OFFSET_FETCH,
    api_keys.HEARTBEAT,
    api_keys.JOIN_GROUP,
    api_keys.SYNC_GROUP,
    api_keys.LEAVE_GROUP,
    api_keys.CONSUMER_GROUP_HEARTBEAT,
    api_keys.ADD_PARTITIONS_TO_TXN,
    api_keys.ADD_OFFSETS_TO_TXN,
    api_keys.TXN_OFFSET_COMMIT,
    api_keys.END_TXN,
)


def modules() -> list[str]:
    """What is imported, in this order: of each API the messages, then the handler."""
    return [name for key in APIS for name in (module_name(key), served.MODULES[key])]


def load() -> None:
    """Import them now."""
    for name in modules():
        import_module(name)


def begin(loop: asyncio.AbstractEventLoop) -> None:
    """Import them a little later; the process may end meanwhile."""
    threading.Thread(target=_run, args=(loop,), name="moldau-preload", daemon=True).start()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    time.sleep(DELAY_SECONDS)
    for name in modules():
        import_module(name)
        time.sleep(PAUSE_SECONDS)
    try:
        loop.call_soon_threadsafe(gc.freeze)  # they stay: the collector need not look at them
    except RuntimeError:
        pass  # the loop is closed
