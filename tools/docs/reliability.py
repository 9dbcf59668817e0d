"""`docs/reliability.md`: the parts between the markers, from the lines that runs of histories and simulated schedules left. The rest is written by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reliability.md"
HISTORIES = ROOT / "tests/histories/runs.jsonl"
SCHEDULES = ROOT / "tests/simulation/runs.jsonl"

STORES = {
    "single": "one broker, embedded stores",
    "file": "PostgreSQL, a shared folder",
    "minio": "PostgreSQL, MinIO",
    "versitygw": "PostgreSQL, versitygw",
    "replicated": "PostgreSQL with a synchronous standby, a shared folder",
}


def render() -> str:
    """The whole page."""
    text = PAGE.read_text("utf-8")
    for name, part in (("histories", histories(_lines(HISTORIES))), ("schedules", schedules(_lines(SCHEDULES)))):
        begin, end = f"<!-- {name}: written by python -m tools.docs -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n\n{part}\n\n{end}{tail}"
    return text


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text("utf-8").splitlines()] if path.exists() else []


def histories(runs: list[dict[str, Any]]) -> str:
    """A table of those without transactions, and one of those with; then which faults there were, and how often."""
    plain = [run for run in runs if "transactions" not in run]
    transactional = [run for run in runs if "transactions" in run]
    lines = _table(plain, [])
    if transactional:
        lines += ["", "With `--transactions`:", "", *_table(transactional, ["transactions", "committed"])]
    faults: Counter[str] = Counter()
    for run in runs:
        faults.update(run["faults"])
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(faults.items()))
    days = sorted({run["day"] for run in runs})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"
    return "\n".join([*lines, "", f"Run on {when}. Faults: {told or 'none'}."])


def _table(runs: list[dict[str, Any]], more: list[str]) -> list[str]:
    """A row for each kind of cluster, and one for all; `more` are further sums."""
    columns = [*more, "records acknowledged", "records read", "operations checked"]
    lines = [
        f"| stores | brokers | runs | minutes | faults | {' | '.join(columns)} | anomalies | seeds |",
        f"|---|--:|--:|--:|--:|{'--:|' * len(columns)}---|---|",
    ]
    sums = [*more, "records", "read", "operations"]
    for kind in STORES:
        of_kind = [run for run in runs if run["cluster"] == kind]
        if of_kind:
            brokers = "-".join(map(str, sorted({run["brokers"] for run in of_kind})))
            seeds = _ranges(run["seed"] for run in of_kind)
            lines.append(f"| {STORES[kind]} | {brokers} | {_row(of_kind, sums)} | {seeds} |")
    lines.append(f"| **all** | | {_row(runs, sums)} | |")
    return lines


def _row(runs: list[dict[str, Any]], names: list[str]) -> str:
    wrong: Counter[str] = Counter()
    for run in runs:
        wrong.update(run["wrong"])
    sums = [sum(sum(run["faults"].values()) for run in runs)]
    sums += [sum(run[name] for run in runs) for name in names]
    minutes = sum(run["seconds"] for run in runs) / 60
    anomalies = ", ".join(f"{count} {name}" for name, count in sorted(wrong.items())) or "none"
    return f"{len(runs)} | {minutes:.1f} | {' | '.join(f'{each:,}' for each in sums)} | {anomalies}"


def _ranges(seeds: Iterable[int]) -> str:
    """1-3, 7"""
    found: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if found and seed == found[-1][1] + 1:
            found[-1][1] = seed
        else:
            found.append([seed, seed])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def schedules(runs: list[dict[str, Any]]) -> str:
    """A row for each run."""
    lines = ["| of | schedules | first seed | promises broken | day |", "|---|--:|--:|--:|---|"]
    lines += [
        f"| {run['of']} | {run['schedules']:,} | {run['first']} | {run['broken'] or 'none'} | {run['day']} |"
        for run in runs
    ]
    if runs:
        lines.append(
            f"| **all** | {sum(run['schedules'] for run in runs):,} | | {sum(run['broken'] for run in runs) or 'none'} | |"
        )
    return "\n".join(lines)
