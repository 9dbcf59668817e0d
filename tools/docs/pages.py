"""The generated pages: where each goes, and what makes its text."""

from __future__ import annotations

from collections.abc import Callable

from tools.docs import compatibility, configuration, differences, reliability

PAGES: dict[str, Callable[[], str]] = {
    "docs/compatibility.md": compatibility.render,
    "docs/configuration.md": configuration.page,
    "docs/differences.md": differences.render,
    "docs/reliability.md": reliability.render,
}
"""Path from the root of the project, and a function without arguments that gives the whole text."""
