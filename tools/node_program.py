"""A pinned program installed by npm."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tools.kept_program import KeptProgram, run_maker

_QUIETLY = ("--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")


@dataclass(frozen=True)
class NodeProgram(KeptProgram):
    """`main` is the script within the package that node runs, `before` the day (YYYY-MM-DD) that pins what it needs itself."""

    maker: ClassVar[str] = "npm"

    kept: str = "node-programs"
    main: str = ""
    before: str = ""

    @property
    def path(self) -> Path:
        """The script of this version, there or not."""
        return super().path / "node_modules" / self.package / self.main

    def _make_in(self, place: Path) -> None:
        pinned = ["--before", self.before, f"{self.package}@{self.version}"]
        run_maker(["npm", "install", "--prefix", str(place), *_QUIETLY, *pinned])
        (home := place / "home").mkdir()
        os.replace(place / "node_modules", home / "node_modules")
        os.replace(home, super().path)
