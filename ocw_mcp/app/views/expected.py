"""What the checks of `ocw doctor` expect: their bounds, and one clause for each check."""

from typing import Final

from ocw_mcp import __version__
from ocw_mcp.adapters.control.commands import HALT
from ocw_mcp.adapters.feeds.binance.clock import LIMIT_MS
from ocw_mcp.app.views.market_checks import MUCH_WEIGHT

LITTLE_SPACE, TOO_LITTLE_SPACE = 1_000_000_000, 100_000_000
"""Bytes of free disk space below which a check warns, or reports a problem."""
BUILT_AFTER = 1_767_225_600
"""2026-01-01, in seconds: a clock that shows an earlier time is wrong, since this version was made later."""
STUCK_AFTER_S = 90
"""The age of a running engine's heartbeat above which it counts as stuck: three beats are missing."""
SOON_DAYS = 3
"""The rest of a mandate, in days, below which a check warns."""
FAR_AWAY = 4_102_444_800
"""2100-01-01, in seconds: a clock that shows a later time is wrong."""
OLDEST_SQLITE = (3, 35, 0)
"""The oldest version with which the journal was tested."""
SLOW_SYNC_MS, TOO_SLOW_SYNC_MS = 50, 1_000
"""Time of a small synced write above which a check warns, or reports a problem: each order waits for one."""
EXPECTED: Final[dict[str, str]] = {
    "python": "3.11 or later",
    "sqlite": "3.35 or later",
    "ocw-mcp": f"{__version__}, installed as a package",
    "settings": "settings that can be read, and one mode",
    "settings file": "open to its owner only (mode 0600)",
    "policies": "a valid policy file with all keys",
    "ta-lib": "it can be imported",
    "clock": "the present time, not before the last write of the journal",
    "disk": f"{LITTLE_SPACE / 1e9:g} GB free or more",
    "disk sync": f"{SLOW_SYNC_MS} ms or less",
    "state": "your own directory, open to you only (mode 0700)",
    "heartbeat": f"written in the last {STUCK_AFTER_S} s, while an engine runs",
    "journal": "events whose chain is whole, and tables that follow from them",
    "trading state": "ACTIVE",
    "positions": "a stop at the venue for each position",
    "commands": "none that waits without an engine, none that was refused",
    "halt file": f"no file {HALT}",
    "passphrase": "a file that only its owner can read, if it is set",
    "keys": "keys that were checked, if any; they are never shown",
    "mandate": "one that has not expired, for live mode",
    "exchange": "an answer to requests",
    "clock offset": f"{LIMIT_MS} ms or less",
    "streams": "a price on each stream connection",
    "symbols": "status TRADING for each symbol",
    "filters": "tick, step, least quantity and least notional of each symbol",
    "request weight": f"{MUCH_WEIGHT:.0%} of the limit or less",
}
"""The expected result of each check, by the name of the check. The checks of optional parts have none."""
