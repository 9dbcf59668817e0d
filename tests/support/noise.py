"""Another process that writes the same metadata file, and changes nothing that can be seen: the contracts of stores hold beside it.

As a program it reads lines: `open URL` begins, `close` ends and is answered with the number of its commits.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from moldau.metadata.opening import open_stores


class Noise:
    """The side of the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.noise"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )

    def open(self, url: str) -> None:
        """It writes when this returns."""
        self._ask(f"open {url}")

    def close(self) -> int:
        """Its commits since."""
        return int(self._ask("close"))

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the other process has died"
        return answer.strip()


async def _write(stores: Any) -> None:
    async def body(tx: Any) -> None:
        row = (await tx.run("cluster_get"))[0]
        await tx.run("cluster_set_features", features=row[1])

    while True:
        await stores.engine.write(body)
        await asyncio.sleep(0)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stores: Any = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, _, url = line.strip().partition(" ")
        if verb == "open":
            stores = await open_stores(url, 1, 1)
            commits = stores.engine.commits
            writing = loop.create_task(_write(stores))
            while stores.engine.commits == commits:
                await asyncio.sleep(0.001)
            print("ok", flush=True)
        else:
            writing.cancel()
            await asyncio.wait([writing])
            made = stores.engine.commits - commits
            await stores.close()
            print(made, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
