"""Turn the figures of a run into a table for the terminal, and ``docs/benchmarks-cluster.md``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.cluster.workloads import BY_NAME, FILES, KAFKA, METRICS, OURS, Work
from bench.workloads import METRICS as COMMON
from bench.workloads import Target

# work -> seat -> the figures of each round (a round that failed is an empty dict)
Results = dict[str, dict[str, list[dict[str, float]]]]

SEAT_TITLES = {OURS: "Moldau, S3", FILES: "Moldau, directory", KAFKA: "Kafka"}
_ALL = {**COMMON, **METRICS}


class Verdict(NamedTuple):
    target: Target
    seat: str
    value: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """aim, met or MISSED."""
        return {"missed": "MISSED"}.get(word := self.target.verdict(self.value), word)


def figure(value: float | None, metric: str) -> str:
    return "" if value is None else _ALL[metric][1].format(value)


def median_of(results: Results, name: str, seat: str, metric: str) -> float | None:
    values = [r[metric] for r in results[name].get(seat, []) if metric in r]
    return statistics.median(values) if values else None


def verdicts(results: Results, work: Work) -> Iterator[Verdict]:
    """Of each of our seats: the median of the rounds' ratios, or of our own figures."""
    seats = results[work.name]
    for target in work.targets:
        for seat in (OURS, FILES):
            ours = seats.get(seat, [])
            if target.against:
                pairs = zip(ours, seats.get(target.against, []), strict=False)
                values = [a[target.metric] / b[target.metric] for a, b in pairs if a and b.get(target.metric)]
            else:
                values = [r[target.metric] for r in ours if target.metric in r]
            if values:
                yield Verdict(target, seat, statistics.median(values), min(values), max(values))


def _told(v: Verdict) -> tuple[str, str]:
    """The ratio, and what was wanted of it."""
    sign, unit = ("≥" if v.target.higher_is_better else "≤"), ("x" if v.target.against else "")
    ratio = f"{SEAT_TITLES[v.seat].removeprefix('Moldau, ')} {v.value:.2f}x ({v.low:.2f}-{v.high:.2f})" if unit else ""
    return ratio, f"{sign} {v.target.bound:g}{unit} (aim {v.target.aim:g}{unit})"


def _rows(results: Results) -> Iterator[tuple[Work, str, list[str], list[Verdict]]]:
    for name in results:
        work = BY_NAME[name]
        found = list(verdicts(results, work))
        for metric in work.metrics:
            cells = [figure(median_of(results, name, seat, metric), metric) for seat in SEAT_TITLES]
            yield work, metric, cells, [v for v in found if v.target.metric == metric]


def _unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def print_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Medians; ratios are medians of the rounds' ratios")
    for column in ("work", "figure", *SEAT_TITLES.values(), "ours / Kafka", "at least (aim)", ""):
        table.add_column(column, justify="left" if column in ("work", "figure", "") else "right")
    before = ""
    for work, metric, cells, mine in _rows(results):
        words = [f"[red]{v.word}[/]" if v.word == "MISSED" else f"[green]{v.word}[/]" for v in mine]
        told = [_told(v) for v in mine]
        title = work.title if work.name != before else ""
        if title and before:
            table.add_section()
        before = work.name
        bounds = _unique([bound for _, bound in told])
        table.add_row(
            title,
            _ALL[metric][0],
            *cells,
            "\n".join(ratio for ratio, _ in told if ratio),
            "\n".join(bounds),
            "\n".join(words),
        )
    Console(width=220).print(table)


def markdown(results: Results, about: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks of brokers together",
        "",
        "Written by `make bench CLUSTER=1 ARGS=--write`. Three brokers beside three of Apache Kafka 4.3.1 on the same machine in one run, interleaved round by",
        "round; each figure is the median of the rounds, each ratio the median of the rounds' ratios (lowest and highest in brackets). Only ratios mean anything:",
        "absolute figures move by a factor of two with the machine.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in about.items()),
        "",
        "All servers and the clients share the same cores, so what is compared is work: CPU is that of all servers together, PostgreSQL and the S3 server,",
        "or Kafka's controller, among them. Kafka keeps three replicas with `min.insync.replicas=2` and answers from the page cache; ours answers when a record",
        "is in the object store and PostgreSQL has synced its commit. versitygw does not sync what is put, MinIO does; a shared directory is synced. What an object",
        "store does to keep an object on several machines is not in these figures, as the network is not in either's.",
        "",
        "Clients that watch for stalls (`bench/cluster/stalls.py`, `Stalls.java`) have default settings and write and read 50 records a second in each of 12 partitions.",
        "A stall is the longest time between two acknowledgements, or two records read, of any partition; one that does not end while they watch counts as long",
        "as they watched (25 s on Kafka). What is expected, and the sketch behind it, stands in `bench/cluster/workloads.py`; what follows for larger",
        "clusters in [scale.md](internals/scale.md).",
        "",
        "Kafka's ProducerPerformance makes a record's random letters one by one, 5 us for a kilobyte: with `acks=0`, batches of 1 MB and a broker that had nearly a core for",
        "itself it ended at 175,000 records/s, and at 350,000 when the records came from a file. So with large batches they come from a file here, or the program would be all that is",
        "measured; what random letters give is shown below it, without a bound.",
        "",
        "| work | figure | Moldau, S3 | Moldau, directory | Kafka | ratio | at least (aim) | |",
        "|---|---|--:|--:|--:|---|---|---|",
    ]
    before = ""
    for work, metric, cells, mine in _rows(results):
        told = [_told(v) for v in mine]
        title = work.title if work.name != before else ""
        before = work.name
        ratio = "<br>".join(ratio for ratio, _ in told if ratio)
        bounds = "<br>".join(_unique([bound for _, bound in told]))
        words = "<br>".join(v.word for v in mine)
        lines.append(f"| {title} | {_ALL[metric][0]} | {' | '.join(cells)} | {ratio} | {bounds} | {words} |")
    return "\n".join([*lines, ""])
