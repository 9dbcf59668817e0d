"""`python -m tests.simulation`: as many schedules as there is time for, on one core.

    python -m tests.simulation --seconds 60
    python -m tests.simulation --of log --seed 1392        one schedule, with its story

Ends with status 1 when a promise was not kept, and names the seed.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import group_run, log_run
from .world import Broken


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Brokers on a virtual clock.")
    parser.add_argument("--of", choices=("log", "groups"), help="one kind of schedules only")
    parser.add_argument("--seed", type=int, help="run this one schedule, and tell its story")
    parser.add_argument("--from", type=int, dest="first", help="the first of many seeds; without it a random one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time, for each kind")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="add a line about each kind to it")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many of a kind")
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # thousands of refused commits are nothing to report
    runs: dict[str, Callable[[int, bool], object]] = {
        "log": lambda seed, tells: log_run.run(seed, tells=tells),
        "groups": lambda seed, tells: group_run.run(seed, tells=tells),
    }
    if asked.of:
        runs = {asked.of: runs[asked.of]}
    if asked.seed is not None:
        return max(_tell(name, run, asked.seed) for name, run in runs.items())
    first = random.randrange(1 << 40) if asked.first is None else asked.first
    return max(_many(name, run, first, asked.seconds, asked.failures, asked.ledger) for name, run in runs.items())


def _tell(name: str, run: Callable[[int, bool], object], seed: int) -> int:
    try:
        run(seed, True)
    except Broken as broken:
        print("\n".join([*getattr(broken, "__notes__", []), f"{name}: {broken}"]))
        return 1
    print(f"{name}: seed {seed} kept all promises")
    return 0


def _many(
    name: str, run: Callable[[int, bool], object], first: int, seconds: float, failures_max: int, ledger: Path | None
) -> int:
    began = time.process_time()
    seed, failures = first, 0
    gc.disable()  # worlds are rings of references; they are collected together
    try:
        while time.process_time() - began < seconds and failures < failures_max:
            try:
                run(seed, False)
            except Broken as broken:
                failures += 1
                print(f"{name}: {broken}", flush=True)
            seed += 1
            if seed % 50 == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.collect()
    took = time.process_time() - began
    count = seed - first
    print(
        f"{name}: {count} schedules from seed {first}, {failures} broken, {count / took * 60:.0f} a minute of one core"
    )
    if ledger is not None:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        run_line = {"day": day, "of": name, "first": first, "schedules": count, "seconds": took, "broken": failures}
        with ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run_line) + "\n")
    return 1 if failures else 0
