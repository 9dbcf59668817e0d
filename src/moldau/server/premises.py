"""What the parent of workers does about the place where their data are: before the first starts, and after the last has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from moldau.blobs.local import LocalBlobs
from moldau.broker.recovery import recover
from moldau.clock import now_ms
from moldau.metadata.errors import StoreError
from moldau.metadata.sqlite import turns
from moldau.metadata.sqlite.engine import SqliteEngine

from . import at_rest, ephemeral
from .data_dir import DataDir, refuse_migrated

log = logging.getLogger(__name__)


class Premises:
    """Stores that are somewhere else: nothing is to be done. `open`, `prepare`, then `close`."""

    data: Path | None = None
    """The data directory, if there is one."""
    syncs = True

    def open(self) -> None:
        """Take what nobody else may have. Raises DataDirError."""

    async def prepare(self) -> None:
        """Put right what the last run left. Raises StoreError, BlobError, DataDirError, OSError."""

    async def close(self, *, served: bool) -> None:
        """Everything in order for whoever comes next; `served`: `prepare` succeeded, and the workers have ended."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """Descriptors that each worker keeps open."""
        return ()

    def told(self) -> dict[str, str]:
        """For the banner."""
        return {}


class Directory(Premises):
    """A data directory. The workers share its lock, so it is free when the last of all these processes is gone."""

    def __init__(self, data: Path, *, syncs: bool = True) -> None:
        self.data: Path = data
        self.syncs = syncs
        self._folder = DataDir(data, workers=True)

    def open(self) -> None:
        refuse_migrated(self.data)
        self._folder.open()

    async def prepare(self) -> None:
        loop = asyncio.get_running_loop()
        folder = self._folder
        ended = await loop.run_in_executor(None, at_rest.check_and_remove_sum, self.data)
        engine = SqliteEngine(
            self.data / "metadata.sqlite",
            loop,
            syncs=self.syncs,
            power_kept=folder.power_kept,
            was_shared=folder.by_workers,
        )
        blobs = None
        try:
            engine.open()
            blobs = LocalBlobs(self.data / "blobs", syncs=self.syncs)
            engine.before_sync = blobs.sync
            unclean = folder.by_workers and not ended
            await recover(engine, blobs, now_ms, power_kept=folder.power_kept, unclean=unclean, alone=None)
        finally:
            await loop.run_in_executor(None, engine.close)
            if blobs is not None:
                await blobs.close()
        turns.remove(self.data)
        folder.recovered()

    async def close(self, *, served: bool) -> None:
        if served:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._at_rest)
            except (StoreError, OSError) as error:  # a full disk: the next start does without
                log.warning("event=no_checksum_of_metadata error='%s'", error)
        self._folder.close()

    def _at_rest(self) -> None:
        """The log of the rows is taken in, also when the last worker was killed."""
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            engine = SqliteEngine(self.data / "metadata.sqlite", loop, shared=True)
            engine.open()
            engine.close()
        turns.remove(self.data)
        at_rest.write_sum(self.data)

    @property
    def inherited(self) -> tuple[int, ...]:
        return (self._folder.descriptor,)

    def told(self) -> dict[str, str]:
        return {
            "data": str(self.data),
            "durable": "acks=all is synced to disk before it is acknowledged; acks=1 survives the broker, not the machine",
        }


class Temporary(Directory):
    """A directory that goes with the workers; nothing is synced."""

    def __init__(self) -> None:
        super().__init__(ephemeral.make(), syncs=False)

    async def close(self, *, served: bool) -> None:
        ephemeral.remove(self.data)
        self._folder.close()

    def told(self) -> dict[str, str]:
        return {
            "data": f"{self.data} (goes with the broker)",
            "durable": "nothing: this broker is --ephemeral",
        }
