"""Batches made by other programs, to hold our own reading against."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, bytes]:
    """Batches as Apache Kafka 4.3.1 stored them, by name: what librdkafka and the Java client had sent (12 records per
    codec), two transactional ones, and the markers the broker itself wrote after them."""
    lines = (Path(__file__).parent / "golden_batches.txt").read_text().splitlines()
    return {name: bytes.fromhex(raw) for name, raw in (line.split() for line in lines)}
