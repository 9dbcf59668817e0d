"""See `histories.cli`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests import each other as pytest lets them

from histories.cli import main

sys.exit(main())
