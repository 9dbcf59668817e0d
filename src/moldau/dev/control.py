"""How `moldau dev kill 2` in another terminal speaks to the cluster that runs: a Unix socket in a folder that only this user can enter.

One line comes (`kill 2`), one answer goes: `ok` or `error` as its first line, then text for a person. The port of the first broker names the cluster.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from .errors import DevError

OK: Final = "ok"
ERROR: Final = "error"
_REQUEST_BYTES_MAX: Final = 1024
_ANSWER_SECONDS: Final = 90.0

Answer = Callable[[str, str], Awaitable[str]]
"""A verb and a node, maybe empty, to the text of the answer. Raises DevError."""


def socket_path(port: int) -> Path:
    """Where the cluster of this port listens, if there is one. Raises DevError where the folder is not ours."""
    folder = Path(tempfile.gettempdir()) / f"moldau-dev-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DevError(f"{folder} belongs to somebody else, or others may enter it: remove it")
    return folder / f"{port}.sock"


class Control:
    """The side of the cluster: `open`, then `close`."""

    def __init__(self, port: int, answer: Answer) -> None:
        self._port = port
        self._path = socket_path(port)
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Raises DevError when a cluster of this port is there."""
        try:
            ask(self._port, "status", seconds=5.0)
        except DevError:
            self._path.unlink(missing_ok=True)
        else:
            raise DevError(f"a cluster of port {self._port} runs already ('moldau dev status'): choose another --port")
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_REQUEST_BYTES_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            verb, _, node = (await reader.readline()).decode("utf-8", "replace").strip().partition(" ")
            if not verb:
                return
            try:
                told = f"{OK}\n{await self._answer(verb, node)}\n"
            except DevError as error:
                told = f"{ERROR}\n{error}\n"
            writer.write(told.encode())
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # whoever asked is gone, or never was one of ours
        finally:
            writer.close()


def ask(port: int, verb: str, node: str = "", *, seconds: float = _ANSWER_SECONDS) -> str:
    """The answer of the cluster that runs on `port`; blocks. Raises DevError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(seconds)
        try:
            link.connect(str(socket_path(port)))
            link.sendall(f"{verb} {node}\n".encode())
            with link.makefile(encoding="utf-8") as answer:
                first, text = answer.readline().strip(), answer.read().rstrip("\n")
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise DevError(
                f"no cluster of 'moldau dev' runs on port {port}: start one, or say which with --port"
            ) from error
        except TimeoutError as error:
            raise DevError(f"the cluster on port {port} did not answer within {seconds:.0f} s") from error
        except OSError as error:
            raise DevError(f"the cluster on port {port} cannot be asked: {error.strerror or error}") from error
    if first != OK:
        raise DevError(text or f"the cluster on port {port} ended")
    return text
