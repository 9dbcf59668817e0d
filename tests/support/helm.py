"""Helm, built by `make helm`, which `make test` does too; and YAML read by it, for there is no other reader of YAML here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.clients.port import absent

from tools.helm import HELM

_SECONDS = 60


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Skips the test where Helm is not built."""
    if not HELM.path.exists():
        absent("helm is not built: run make helm (it needs Go)")
    return subprocess.run([str(HELM.path), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False)


def parsed(text: str, folder: Path) -> Any:
    """A YAML document as Python has it. Raises AssertionError."""
    chart = folder / "reader"
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: reader\nversion: 0.1.0\n")
    (chart / "templates" / "all.yaml").write_text("all: {{ .Values.document | toJson | quote }}\n")
    (folder / "document.yaml").write_text("document:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    done = helm("template", "reader", str(chart), "--values", str(folder / "document.yaml"))
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("all: "))
    return json.loads(json.loads(line.removeprefix("all: ")))
