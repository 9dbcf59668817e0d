"""`python -m tools.helm`: builds Helm, which checks the chart of `deploy/helm`, where it is missing, and prints where it is."""

from __future__ import annotations

import sys
from typing import Final

from tools.go_program import GoProgram
from tools.kept_program import provide

HELM: Final = GoProgram("helm", "helm.sh/helm/v4/cmd/helm", "v4.3.2")

if __name__ == "__main__":
    sys.exit(provide([HELM]))
