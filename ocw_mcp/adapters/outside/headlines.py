"""Headlines of feeds that the user names."""

from typing import Final

import msgspec

from ocw_mcp.adapters.outside.apart import Apart, run_apart
from ocw_mcp.adapters.outside.feed_worker import Headline
from ocw_mcp.adapters.outside.http import REDIRECTS, OutsideHttp
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.time import DAY, MINUTE

LARGEST: Final = 1 << 18
"""The largest feed (bytes): that of a news site has about 50,000."""
MOST: Final = 10
"""The headlines that are kept of all feeds: the newest."""
LONGEST_AGE: Final = 3 * DAY
"""The age (ms) from which on a headline is no news."""
_WORKER: Final = "ocw_mcp.adapters.outside.feed_worker"


class Headlines:
    """The newest headlines of some feeds. A feed that fails is left out if another one answers."""

    name = "headlines"
    every_ms = 30 * MINUTE

    def __init__(self, http: OutsideHttp, feeds: tuple[str, ...], apart: Apart = run_apart) -> None:
        self._http = http
        self._apart = apart
        self._feeds = feeds

    async def fetch(self, now: int) -> tuple[ContextItem, ...]:
        """Return the newest headlines. Raises SourceUnavailable if no feed can be read."""
        found: list[ContextItem] = []
        failure: SourceUnavailable | None = None
        answered = False
        for number, url in enumerate(self._feeds):
            try:
                text = await self._http.get(url, most=LARGEST, redirects=REDIRECTS)
                parsed = msgspec.json.decode(await self._apart(_WORKER, text), type=list[Headline])
            except SourceUnavailable as error:
                failure = error
                continue
            answered = True
            # The date of a feed is not trusted to be in the past.
            found += [
                ContextItem(
                    self.name, now, None if each.at is None else min(each.at, now), f"feed {number + 1}", text=each.text
                )
                for each in parsed
                if each.at is None or now - each.at <= LONGEST_AGE
            ]
        if not answered and failure is not None:
            raise failure
        return tuple(sorted(found, key=lambda each: -(each.as_of or 0))[:MOST])
