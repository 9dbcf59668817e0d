"""The report of the benchmark of groups: who is better, and by which words; and what its share consumers refuse."""

from __future__ import annotations

import pytest

from bench.groups.report import markdown, rows, told
from bench.groups.sharing import Progress, taken
from bench.groups.workloads import ALL_METRICS, WORKLOADS
from bench.rawwire import Failed
from bench.workloads import KAFKA, OURS
from moldau.protocol.messages.share_fetch import (
    AcquiredRecords,
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchResponse,
)


def line_of(page: str, metric: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if f"| {ALL_METRICS[metric][0]} |" in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_are_those_of_each_round_and_words_follow_the_targets() -> None:
    ours = [{"requests_s": 40_000.0, "cpu_us_per_request": cpu} for cpu in (30.0, 80.0, 90.0)]
    kafka = [{"requests_s": 20_000.0, "cpu_us_per_request": cpu} for cpu in (100.0, 100.0, 100.0)]
    page = markdown({"heartbeat": {OURS: ours, KAFKA: kafka}}, {"date": "today"})
    assert "| date | today |" in page
    assert line_of(page, "cpu_us_per_request")[2:] == ["80", "100", "0.80x (0.30-0.90)", "≤ 1x (aim 0.5x)", "met"]
    assert line_of(page, "requests_s")[2:] == ["40,000", "20,000", "", "", ""]


def test_more_is_better_for_records_and_less_for_seconds() -> None:
    results = {
        "share-1": {OURS: [{"records_s": 2.0}], KAFKA: [{"records_s": 1.0}]},
        "rebalance": {OURS: [{"join_s": 2.0}], KAFKA: [{"join_s": 1.0}]},
    }
    words = {metric: told(verdict)[2] for _, metric, _, verdict in rows(results)}
    assert words["records_s"] == "aim"
    assert words["join_s"] == "MISSED"
    assert words["start_s"] == ""


def test_a_round_that_failed_leaves_its_neighbour_without_a_ratio() -> None:
    results = {"share-8": {OURS: [{}, {"records_s": 3.0}], KAFKA: [{"records_s": 9.0}, {"records_s": 2.0}]}}
    (ratio,) = [told(verdict)[0] for _, metric, _, verdict in rows(results) if metric == "records_s"]
    assert ratio == "1.50x (1.50-1.50)"


def test_every_figure_has_words() -> None:
    assert {metric for w in WORKLOADS for metric in w.metrics} <= set(ALL_METRICS)
    assert all(t.metric in w.metrics and t.against == KAFKA for w in WORKLOADS for t in w.targets)


def handed_out(*, delivery_count: int = 1, error: int = 0, acknowledged: int = 0) -> ShareFetchResponse:
    run = AcquiredRecords(first_offset=5, last_offset=9, delivery_count=delivery_count)
    place = PartitionData(
        partition_index=3, error_code=error, acknowledge_error_code=acknowledged, acquired_records=[run]
    )
    return ShareFetchResponse(responses=[ShareFetchableTopicResponse(partitions=[place])])


def test_what_is_handed_out_once_is_taken() -> None:
    assert taken(handed_out()) == {3: [(5, 9)]}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (handed_out(delivery_count=2), "came 2 times"),
        (handed_out(error=6), "error code 6"),
        (handed_out(acknowledged=121), "error code 121"),
        (ShareFetchResponse(error_code=122), "ShareFetch: 122"),
    ],
)
def test_a_share_consumer_refuses_what_is_wrong(answer: ShareFetchResponse, words: str) -> None:
    with pytest.raises(Failed, match=words):
        taken(answer)


def test_the_window_is_from_a_tenth_to_nineteen_twentieths(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000)
    said = []
    for _ in range(10):
        progress.add(100)
        said.append(capsys.readouterr().out.strip())
    assert said == ["ready", "", "", "", "", "", "", "", "", "over"]
    assert progress.figures()["records"] == 900
