"""`python -m tools.s3_servers`: provides the object stores that the tests run against, where they are missing, and prints where they are.

Pinned versions, kept in `~/.cache/moldau`: MinIO, versitygw and fake-gcs-server, which speaks for GCS, are built from source by `go install` (one to
two minutes each, once), Azurite, which speaks for Azure, is installed by npm (half a minute, once). What cannot be had is told, and the tests that need it are
skipped; of the S3 servers that is an error with CI set.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.go_program import GoProgram
from tools.kept_program import provide
from tools.node_program import NodeProgram

_KEPT: Final = "s3-servers"
SERVERS: Final = {
    program.name: program
    for program in (
        GoProgram("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c", _KEPT),
        GoProgram("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", _KEPT),
    )
}
"""(MinIO has no versions that Go knows: a date and a commit name one.)"""
FAKE_GCS: Final = GoProgram("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1", _KEPT)
AZURITE: Final = NodeProgram("azurite", "azurite", "3.35.0", main="dist/src/blob/main.js", before="2026-01-01")
"""(The last one that runs on Node 20.) Only its blob service is used."""


def program(name: str) -> Path:
    """Where the pinned version of a server is, or will be."""
    return SERVERS[name].path


if __name__ == "__main__":
    status = provide([*SERVERS.values()])
    for cloud in (FAKE_GCS, AZURITE):
        try:
            provide([cloud])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"an emulator of a cloud cannot be had: {error}; its tests are skipped", file=sys.stderr)
    sys.exit(status)
