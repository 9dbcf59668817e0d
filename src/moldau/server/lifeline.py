"""Between a parent and one of its processes: a socket on which the child says that it serves, and whose end is the end of the child.

A thread of the child waits for the end of the socket, which comes when the parent has closed it or is gone, however it ended, and kills the child
at once, whatever the child's loop is doing. The parent's end is inherited by nobody.

The child says one line of JSON: {"ready": {...}} once it serves, or {"error": "..."} when it cannot.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from typing import Any

LINE_BYTES_MAX = 1 << 16


class Lifeline:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        self._link = socket.socket(fileno=descriptor)
        self._link.setblocking(True)
        os.set_inheritable(descriptor, False)
        threading.Thread(target=self._watch, name="moldau-lifeline", daemon=True).start()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while self._link.recv(4096):
                pass
        os.kill(os.getpid(), signal.SIGKILL)

    def ready(self, told: dict[str, Any]) -> None:
        """It serves."""
        self._say({"ready": told})

    def failed(self, why: str) -> None:
        """It does not."""
        self._say({"error": why})

    def _say(self, what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and so is this process in a moment
            self._link.sendall(json.dumps(what).encode()[: LINE_BYTES_MAX - 1] + b"\n")
