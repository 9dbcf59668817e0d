"""`python -m tools.s3_servers`: builds the S3 servers that the tests run against, where they are missing, and prints where they are.

Pinned versions, built from source by `go install` (two minutes each, once) and kept in `~/.cache/moldau/s3-servers`. Without Go nothing is built,
which is said, and the tests that need them are skipped; with CI set it is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tools.go_program import GoProgram, provide

_KEPT: Final = "s3-servers"
SERVERS: Final = {
    program.name: program
    for program in (
        GoProgram("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c", _KEPT),
        GoProgram("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", _KEPT),
    )
}
"""(MinIO has no versions that Go knows: a date and a commit name one.)"""


def program(name: str) -> Path:
    """Where the pinned version of a server is, or will be."""
    return SERVERS[name].path


if __name__ == "__main__":
    sys.exit(provide([*SERVERS.values()]))
