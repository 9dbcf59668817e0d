"""The command line that the benchmarks of ``bench/cluster``, ``bench/groups`` and ``bench/transactions`` have in common.

Results are kept in ``bench/out/NAME.json`` after each piece of work, so that a run which breaks off is not lost, and one piece may be taken anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from bench import machine
from bench.programs import LoadError
from bench.report import Results
from conformance.common.brokers import CHECKOUT, BrokerError

OUT = CHECKOUT / "bench" / "out"
Keep = Callable[[Results], None]
"""Told of all results after each piece of work."""


class Named(Protocol):
    """A piece of work."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...


class Session(NamedTuple):
    """`name` is that of the mode, of the file in ``bench/out`` and of the page ``docs/benchmarks-NAME.md``."""

    name: str
    description: str | None
    work: Sequence[Named]
    print_table: Callable[[Results], None]
    markdown: Callable[[Results, dict[str, Any]], str]

    def parser(self) -> argparse.ArgumentParser:
        """With the options of all of them."""
        names = [w.name for w in self.work]
        parser = argparse.ArgumentParser(
            prog=f"bench --{self.name}", description=self.description, formatter_class=argparse.RawTextHelpFormatter
        )
        parser.add_argument("--only", action="append", metavar="NAME", choices=names, help="this one; repeatable")
        parser.add_argument("--quick", action="store_true", help="one round of small loads")
        parser.add_argument("--rounds", type=int, help="default 3, with --quick 1; slow works take fewer")
        parser.add_argument("--write", action="store_true", help=f"write docs/benchmarks-{self.name}.md")
        parser.add_argument(
            "--keep", action="store_true", help=f"what bench/out/{self.name}.json has of other works stays in it"
        )
        parser.add_argument(
            "--again", action="store_true", help=f"report bench/out/{self.name}.json again, without running"
        )
        parser.add_argument("--list", action="store_true", help="list what is measured")
        return parser

    def main(
        self, o: argparse.Namespace, settings: str, engine: str, run: Callable[[list[Any], int, bool, Keep], int]
    ) -> int:
        """The exit status. `run` is told which work, how many rounds, and whether they are quick; it answers how many measurements failed."""
        if o.list:
            for w in self.work:
                print(f"{w.name:18} {w.title}")
            return 0
        OUT.mkdir(parents=True, exist_ok=True)
        kept = OUT / f"{self.name}.json"
        failures = 0
        before = json.loads(kept.read_text()) if (o.keep or o.again) and kept.exists() else {"results": {}, "about": {}}
        if o.again:
            results, about = before["results"], before["about"]
        else:
            rounds = o.rounds or (1 if o.quick else 3)
            about = {
                **machine.describe(),
                "settings": f"{rounds} rounds{', quick' if o.quick else ''}; {settings}",
                "engine": engine,
            }

            def keep(found: Results) -> None:
                merged = {**before["results"], **found}
                ordered = {w.name: merged[w.name] for w in self.work if w.name in merged}
                kept.write_text(json.dumps({"about": about, "results": ordered}, indent=1))

            wanted = [w for name in o.only for w in self.work if w.name == name] if o.only else list(self.work)
            try:
                failures = run(wanted, rounds, o.quick, keep)
            except (BrokerError, LoadError, TimeoutError) as e:
                print(e, file=sys.stderr)
                return 1
            results = json.loads(kept.read_text())["results"]
        self.print_table(results)
        if o.write:
            page = CHECKOUT / "docs" / f"benchmarks-{self.name}.md"
            page.write_text(self.markdown(results, about))
            print(f"wrote {page}")
        return 1 if failures else 0
