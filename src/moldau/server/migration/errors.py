"""What ends a migration."""

from __future__ import annotations


class MigrationError(Exception):
    """A migration that cannot be; the text says why and what to do. The source is as it was."""
