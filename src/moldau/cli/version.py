"""``moldau version``: what runs here."""

import platform

import click

from moldau.cli.options import format_option
from moldau.version import VERSION


@click.command()
@format_option
def version(output: str) -> None:
    """Print the versions of what runs here."""
    from moldau.cli.output import print_fields

    print_fields(
        {
            "moldau": VERSION,
            "python": platform.python_version(),
            "librdkafka": _librdkafka(),
            "platform": platform.platform(),
        },
        output,
    )


def _librdkafka() -> str | None:
    """The version of the Kafka client library, or None where the ``cli`` extra is not installed."""
    try:
        from confluent_kafka import libversion
    except ImportError:
        return None
    return libversion()[0]
