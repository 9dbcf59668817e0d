"""A pinned program built from source by `go install`: some minutes, once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tools.kept_program import KeptProgram, run_maker


@dataclass(frozen=True)
class GoProgram(KeptProgram):
    """`package` is what Go builds."""

    maker: ClassVar[str] = "go"

    def _make_in(self, place: Path) -> None:
        env = {**os.environ, "GOBIN": str(place), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        run_maker(["go", "install", "-ldflags=-s -w", f"{self.package}@{self.version}"], env)
        os.replace(place / self.name, self.path)
