"""How many files and connections the process may have open."""

from __future__ import annotations

import resource

WANTED = 65_536
ENOUGH = 4_096
"""Below it a few thousand connections are already too many."""


def raise_limit() -> int:
    """Raise the soft limit as far as the hard one allows; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    target = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    while target > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            return target
        except (OSError, ValueError):
            target //= 2  # macOS: the kernel's own limit is lower than the hard one it tells
    return soft


def warning(limit: int) -> str | None:
    """What to say of a limit that is too low."""
    if limit >= ENOUGH:
        return None
    return (
        f"at most {limit} files may be open, connections among them; for more than a few hundred clients raise it"
        f" (ulimit -n {WANTED}, or LimitNOFILE={WANTED} in the systemd unit)"
    )
