"""What the client makes of brokers that are not there."""

import pytest

from moldau.cli.client import attempts_needed, error_name, error_text, told


@pytest.mark.parametrize(
    ("bootstrap", "attempts"),
    [
        ("127.0.0.1:9092", 1),
        ("[::1]:9092", 1),
        ("127.0.0.1", 1),
        ("PLAINTEXT://127.0.0.1:9092", 1),
        ("localhost:9092", 4),
        ("kafka-1:9092,kafka-2:9092,10.0.0.1:9092", 9),
    ],
)
def test_names_are_tried_more_than_once(bootstrap: str, attempts: int) -> None:
    assert attempts_needed(bootstrap) == attempts


def test_errors_of_the_client_library_are_told_in_its_words() -> None:
    from confluent_kafka import KafkaError, KafkaException

    error = KafkaException(KafkaError(3, "no such topic"))
    assert (error_name(error), error_text(error)) == ("UNKNOWN_TOPIC_OR_PART", "no such topic")
    line = told(error)
    assert line is not None
    assert (line.message, line.exit_code) == ("no such topic", 1)


def test_errors_of_ours_are_not_told_as_if_they_were_the_clients() -> None:
    assert told(ValueError("x")) is None
    assert (error_name(ValueError("x")), error_text(ValueError("x"))) == ("", "x")
