"""Turn the figures of a run into a table for the terminal, a plot, and ``docs/benchmarks.md``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from bench.workloads import BY_NAME, FLUSH, KAFKA, METRICS, OURS, Target, Workload

# workload -> seat -> the figures of each round (a round that failed is an empty dict)
Results = dict[str, dict[str, list[dict[str, float]]]]

SEAT_TITLES = {OURS: "Moldau", KAFKA: "Kafka, page cache", FLUSH: "Kafka, flush.messages=1"}
WORDS = {"aim": "aim", "met": "met", "missed": "MISSED"}


class Verdict(NamedTuple):
    target: Target
    value: float
    low: float
    high: float
    word: str


def median_of(results: Results, workload: str, seat: str, metric: str) -> float | None:
    values = [r[metric] for r in results.get(workload, {}).get(seat, []) if metric in r]
    return statistics.median(values) if values else None


def ratios(results: Results, workload: str, metric: str, against: str) -> list[float]:
    """Ours over theirs, round by round: only what ran next to each other is compared. ``against`` "": our figure."""
    seats = results.get(workload, {})
    ours = seats.get(OURS, [])
    if not against:
        return [r[metric] for r in ours if metric in r]
    pairs = zip(ours, seats.get(against, []), strict=False)
    return [a[metric] / b[metric] for a, b in pairs if metric in a and b.get(metric)]


def verdicts(results: Results, workload: Workload) -> Iterator[Verdict]:
    for target in workload.targets:
        values = ratios(results, workload.name, target.metric, target.against)
        if values:
            value = statistics.median(values)
            yield Verdict(target, value, min(values), max(values), WORDS[target.verdict(value)])


def figure(value: float | None, metric: str) -> str:
    return "" if value is None else METRICS[metric][1].format(value)


def against_title(target: Target) -> str:
    return {KAFKA: "x page cache", FLUSH: "x flush", "": METRICS[target.metric][0]}[target.against]


def target_text(target: Target) -> str:
    sign, unit = ("≥" if target.higher_is_better else "≤"), ("x" if target.against else "")
    return f"{sign} {target.bound:g}{unit} (aim {target.aim:g}{unit})"


def print_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Medians; ratios are medians of the rounds' ratios", show_lines=False)
    for column in ("work", "figure", *SEAT_TITLES.values(), "ours / Kafka", "at least (aim)", ""):
        table.add_column(column, justify="left" if column in ("work", "figure", "") else "right")
    for name in results:
        workload, title = BY_NAME[name], BY_NAME[name].title
        found = {(v.target.metric, v.target.against): v for v in verdicts(results, workload)}
        for metric in workload.metrics:
            mine = [v for (m, _), v in found.items() if m == metric]
            cells = [figure(median_of(results, name, seat, metric), metric) for seat in SEAT_TITLES]
            ratio = "\n".join(f"{v.value:.2f}{against_title(v.target)}" if v.target.against else "" for v in mine)
            bounds = "\n".join(target_text(v.target) for v in mine)
            words = "\n".join(f"[red]{v.word}[/]" if v.word == "MISSED" else f"[green]{v.word}[/]" for v in mine)
            table.add_row(title, METRICS[metric][0], *cells, ratio, bounds, words)
            title = ""
        table.add_section()
    Console(width=200).print(table)


def plot(results: Results) -> str:
    """An SVG of the ratios: a bar for each target against Kafka, the bound as a tick; right of 1x ours is better.

    Where less is better (CPU, latency) the inverse is drawn, so that longer is always better.
    """
    rows: list[tuple[str, Verdict]] = []
    for name in results:
        rows += [(BY_NAME[name].title, v) for v in verdicts(results, BY_NAME[name]) if v.target.against and v.value > 0]
    left, right, row, top, longest = 400, 380, 20, 46, 6.0
    width, height = left + right + 70, top + row * len(rows) + 12
    unit = right / longest

    def length(v: float, target: Target) -> float:
        return min(longest, v if target.higher_is_better else 1 / v) * unit

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="16" font-weight="bold">times as good as Apache Kafka (tick: the least wanted)</text>',
    ]
    for times in range(int(longest) + 1):
        x = left + times * unit
        colour = "#333333" if times == 1 else "#dddddd"
        out.append(f'<line x1="{x:.0f}" y1="{top - 8}" x2="{x:.0f}" y2="{height - 8}" stroke="{colour}"/>')
        out.append(f'<text x="{x:.0f}" y="{top - 12}" text-anchor="middle" fill="#555555">{times}x</text>')
    for i, (title, v) in enumerate(rows):
        y, wide = top + i * row, length(v.value, v.target)
        label = f"{title}: {METRICS[v.target.metric][0]}".replace("broker CPU s per million records", "CPU")
        colour = {"aim": "#2a7f4f", "met": "#6aa84f", "MISSED": "#c0504d"}[v.word]
        if v.target.against == FLUSH:
            label += " (flush)"
        tick = left + length(v.target.bound, v.target)
        shown = v.value if v.target.higher_is_better else 1 / v.value
        out += [
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{escape(label[:72])}</text>',
            f'<rect x="{left}" y="{y + 2}" width="{wide:.1f}" height="12" fill="{colour}"/>',
            f'<line x1="{tick:.1f}" y1="{y}" x2="{tick:.1f}" y2="{y + 16}" stroke="#000000" stroke-width="2"/>',
            f'<text x="{left + wide + 5:.1f}" y="{y + 12}">{shown:.2f}</text>',
        ]
    return "\n".join([*out, "</svg>", ""])


def markdown(results: Results, about: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench ARGS=--write`. Ours beside Apache Kafka 4.3.1 on the same machine in one run, interleaved",
        "round by round; each figure is the median of the rounds, each ratio the median of the rounds' ratios (lowest and",
        "highest in brackets). Only ratios mean anything: absolute figures move by a factor of two with the machine.",
        "",
        "![ratios](benchmarks.svg)",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in about.items()),
        "",
        "Ours answers `acks=all` after an fsync. Kafka's default is to answer from the page cache; `flush.messages=1` makes",
        "it fsync as well, and is what compares like with like. The disk is synced before each measurement, so that nobody",
        "pays for what another left behind. Both were warmed, so ours writes over write-ahead files of its own, as it does after",
        "its first seconds under load; on a new data directory 16 KB requests and Kafka's producer have been 0.7 and 0.85 times as fast",
        "([decision 20](decisions/0020-files-are-written-over.md)). What is expected, and the sketch behind it, stands in",
        "`bench/workloads.py`.",
        "",
        "| work | figure | Moldau | Kafka, page cache | Kafka, `flush.messages=1` | ratio | at least (aim) | |",
        "|---|---|--:|--:|--:|---|---|---|",
    ]
    for name in results:
        workload, title = BY_NAME[name], BY_NAME[name].title
        found = list(verdicts(results, workload))
        for metric in workload.metrics:
            mine = [v for v in found if v.target.metric == metric]
            cells = " | ".join(figure(median_of(results, name, seat, metric), metric) for seat in SEAT_TITLES)
            text = "<br>".join(
                f"{v.value:.2f}{against_title(v.target)} ({v.low:.2f}-{v.high:.2f})" if v.target.against else ""
                for v in mine
            )
            bounds = "<br>".join(target_text(v.target) for v in mine)
            words = "<br>".join(v.word for v in mine)
            lines.append(f"| {title} | {METRICS[metric][0]} | {cells} | {text} | {bounds} | {words} |")
            title = ""
    return "\n".join([*lines, ""])
