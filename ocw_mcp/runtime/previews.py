"""Previews of orders: what was checked and at which mark price, so that placing one cannot mean anything else."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.asks import PREVIEW_GOOD_FOR_S
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.engine.idempotency import CALLERS_KEPT, drop_oldest, token_of

MOST: Final = 32
"""Previews that are kept of one caller."""
MOST_NAMES: Final = 8
"""Attached clients name themselves; of so many names of one token previews are kept."""


class Preview(msgspec.Struct, frozen=True):
    """One entry or exit as it was checked. Quantity in the base asset, prices in quote currency."""

    preview_id: str
    leg: Leg
    quantity: Decimal | None
    """None for what closes a position."""
    quoted: Decimal
    side: Side
    made_at: float
    """Wall time in ms, as the clock counts it."""


class Previews:
    """The newest previews of each caller, in this process: one that is lost is asked for again."""

    def __init__(self, wall_ms: Callable[[], float], fresh: Callable[[], str]) -> None:
        """`fresh` gives names that nobody had before."""
        self._wall_ms = wall_ms
        self._fresh = fresh
        self._kept: dict[str, dict[str, Preview]] = {}

    def keep(self, who: str, leg: Leg, quantity: Decimal | None, quoted: Decimal, side: Side) -> Preview:
        """Keep one, and let go of a caller's oldest where there are too many."""
        made = Preview(self._fresh(), leg, quantity, quoted, side, self._wall_ms())
        kept = self._kept[who] = self._kept.pop(who, {})
        kept[made.preview_id] = made
        drop_oldest(kept, MOST)
        self._drop_names(token_of(who))
        return made

    def _drop_names(self, token: str) -> None:
        """Let go of a token's oldest names where it has too many, and of the token that was silent for the longest."""
        theirs = [name for name in self._kept if token_of(name) == token]
        tokens = list(dict.fromkeys(token_of(name) for name in reversed(self._kept)))
        silent = set(tokens[CALLERS_KEPT:])
        for name in [*theirs[:-MOST_NAMES], *(each for each in self._kept if token_of(each) in silent)]:
            del self._kept[name]

    def spend(self, who: str, preview_id: str) -> Preview:
        """Take one to place it: it is good for one order. Raises RequestError."""
        found = self.find(who, preview_id)
        del self._kept[who][preview_id]
        return found

    def find(self, who: str, preview_id: str) -> Preview:
        """One of a caller's own, while it is good. Raises RequestError."""
        found = self._kept.get(who, {}).get(preview_id)
        if found is None:
            raise RequestError(
                RequestCode.UNKNOWN_PREVIEW,
                limit="a preview_id that orders_preview gave this caller",
                actual=repr(preview_id[:40]),
                next_="preview the order again with orders_preview",
            )
        age_s = (self._wall_ms() - found.made_at) / 1_000
        if age_s > PREVIEW_GOOD_FOR_S:
            raise RequestError(
                RequestCode.STALE_PREVIEW,
                limit=f"{PREVIEW_GOOD_FOR_S}s",
                actual=f"{age_s:.0f}s",
                next_="preview the order again with orders_preview",
            )
        return found
