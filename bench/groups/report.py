"""Turn the figures of a run into a table for the terminal, and ``docs/benchmarks-groups.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.groups.workloads import ALL_METRICS, BY_NAME, SEATS
from bench.report import WORDS, Results, Verdict, median_of, verdicts
from bench.workloads import Workload


def figure(value: float | None, metric: str) -> str:
    return "" if value is None else ALL_METRICS[metric][1].format(value)


def rows(results: Results) -> Iterator[tuple[Workload, str, list[str], Verdict | None]]:
    """A line for each metric: the medians of both seats, and what they were held against."""
    for name in results:
        workload = BY_NAME[name]
        found = {v.target.metric: v for v in verdicts(results, workload)}
        for metric in workload.metrics:
            cells = [figure(median_of(results, name, seat, metric), metric) for seat in SEATS]
            yield workload, metric, cells, found.get(metric)


def told(v: Verdict | None) -> tuple[str, str, str]:
    """The ratio, what was wanted of it, and the word for it."""
    if v is None:
        return "", "", ""
    sign = "≥" if v.target.higher_is_better else "≤"
    return (
        f"{v.value:.2f}x ({v.low:.2f}-{v.high:.2f})",
        f"{sign} {v.target.bound:g}x (aim {v.target.aim:g}x)",
        v.word,
    )


def print_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Medians; ratios are medians of the rounds' ratios")
    for column in ("work", "figure", "Moldau", "Kafka", "ours / Kafka", "wanted (aim)", ""):
        table.add_column(column, justify="left" if column in ("work", "figure", "") else "right")
    before = ""
    for workload, metric, cells, verdict in rows(results):
        title, before = ("" if workload.name == before else workload.title), workload.name
        ratio, wanted, word = told(verdict)
        coloured = f"[{'red' if word == WORDS['missed'] else 'green'}]{word}[/]" if word else ""
        table.add_row(title, ALL_METRICS[metric][0], *cells, ratio, wanted, coloured)
    Console(width=180).print(table)


def markdown(results: Results, about: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks of groups",
        "",
        "Written by `make bench GROUPS=1 ARGS=--write`. One broker of ours beside one of Apache Kafka 4.3.1 on the same machine in one run, interleaved round by",
        "round; each figure is the median of the rounds, each ratio the median of the rounds' ratios (lowest and highest in brackets). Only ratios mean anything:",
        "absolute figures move by a factor of two with the machine.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in about.items()),
        "",
        "Both are asked by the same programs, which say on plain sockets what Kafka's Java client says: a member of a group reports at once what has changed",
        "with it, and else every heartbeat interval that the broker asks for; a share consumer asks for 500 records and accepts them with its next request. Ours answers a",
        "commit and an accepted record after an fsync, Kafka from the page cache. How long a group is in motion is set by the heartbeat interval more than by the broker:",
        "a change reaches a member in the answer to its next heartbeat. A member is killed directly after a heartbeat, so that the whole session time-out is in that figure.",
        "What is expected, and the sketch behind it, stands in `bench/groups/workloads.py`.",
        "",
        "| work | figure | Moldau | Kafka | ratio | wanted (aim) | |",
        "|---|---|--:|--:|---|---|---|",
    ]
    before = ""
    for workload, metric, cells, verdict in rows(results):
        title, before = ("" if workload.name == before else workload.title), workload.name
        lines.append(f"| {title} | {ALL_METRICS[metric][0]} | {' | '.join(cells)} | {' | '.join(told(verdict))} |")
    return "\n".join([*lines, ""])
