"""Turn the figures of a run into a table for the terminal, and ``docs/benchmarks-transactions.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.report import WORDS, Results, Verdict, median_of, verdicts
from bench.transactions.workloads import ALL_METRICS, BY_NAME, SEATS
from bench.workloads import FLUSH, KAFKA, Workload

SEAT_TITLES = dict(zip(SEATS, ("Moldau", "Kafka, page cache", "Kafka, every append synced"), strict=True))


def figure(value: float | None, metric: str) -> str:
    return "" if value is None else ALL_METRICS[metric][1].format(value)


def _rows(results: Results) -> Iterator[tuple[Workload, str, list[str], list[Verdict]]]:
    for name in results:
        workload = BY_NAME[name]
        found = list(verdicts(results, workload))
        for metric in workload.metrics:
            cells = [figure(median_of(results, name, seat, metric), metric) for seat in SEATS]
            yield workload, metric, cells, [v for v in found if v.target.metric == metric]


def _told(v: Verdict) -> tuple[str, str]:
    """The ratio, and what was wanted of it."""
    sign, unit = ("≥" if v.target.higher_is_better else "≤"), ("x" if v.target.against else "")
    against = {KAFKA: " page cache", FLUSH: " synced"}.get(v.target.against, "")
    ratio = f"{v.value:.2f}{unit}{against} ({v.low:.2f}-{v.high:.2f})"
    return ratio, f"{sign} {v.target.bound:g}{unit} (aim {v.target.aim:g}{unit})"


def print_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Medians; ratios are medians of the rounds' ratios")
    for column in ("work", "figure", *SEAT_TITLES.values(), "ours / Kafka", "at least (aim)", ""):
        table.add_column(column, justify="left" if column in ("work", "figure", "") else "right")
    before = ""
    for workload, metric, cells, mine in _rows(results):
        title, before = ("" if workload.name == before else workload.title), workload.name
        told = [_told(v) for v in mine]
        words = [f"[red]{v.word}[/]" if v.word == WORDS["missed"] else f"[green]{v.word}[/]" for v in mine]
        columns = ["\n".join(ratio for ratio, _ in told), "\n".join(bound for _, bound in told), "\n".join(words)]
        table.add_row(title, ALL_METRICS[metric][0], *cells, *columns)
    Console(width=200).print(table)


def markdown(results: Results, about: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks of transactions and compaction",
        "",
        "Written by `make bench TRANSACTIONS=1 ARGS=--write`. One broker of ours beside one of Apache Kafka 4.3.1 on the same machine in one run, interleaved round by",
        "round; each figure is the median of the rounds, each ratio the median of the rounds' ratios (lowest and highest in brackets). Only ratios mean anything:",
        "absolute figures move by a factor of two with the machine.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in about.items()),
        "",
        "Ours answers after an fsync, Kafka from the page cache; the third column is a Kafka with `log.flush.interval.messages=1`, which syncs every append. EndTxn of ours is answered when the transaction is over: its markers are there, and the next one",
        "may begin. Kafka answers when it has written its decision down, and finishes afterwards; so both times are measured. The compacted topic is filled before",
        "its policy becomes `compact`; what the two brokers' logs say is read and timed is compared (Kafka leaves its active segment out, ours what is younger",
        "than five seconds). What is expected, and the sketch behind it, stands in `bench/transactions/workloads.py`.",
        "",
        "| work | figure | Moldau | Kafka, page cache | Kafka, synced | ratio | at least (aim) | |",
        "|---|---|--:|--:|--:|---|---|---|",
    ]
    before = ""
    for workload, metric, cells, mine in _rows(results):
        title, before = ("" if workload.name == before else workload.title), workload.name
        told = [_told(v) for v in mine]
        columns = ["<br>".join(ratio for ratio, _ in told), "<br>".join(bound for _, bound in told)]
        words = "<br>".join(v.word for v in mine)
        lines.append(f"| {title} | {ALL_METRICS[metric][0]} | {' | '.join(cells)} | {' | '.join(columns)} | {words} |")
    return "\n".join([*lines, ""])
