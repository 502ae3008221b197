"""The macro regime from FRED: with a key from its interface, without one from the public CSV."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

import msgspec
from pydantic import SecretStr

from ocw_mcp.adapters.outside.apart import run_apart
from ocw_mcp.adapters.outside.fred_worker import FredAnswers, is_first_release
from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.core.macro.series import ALL, CONTEXT, day_of
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown

PUBLIC: Final = "https://fred.stlouisfed.org/graph/fredgraph.csv"
KEYED: Final = "https://api.stlouisfed.org/fred/series/observations"
LARGEST: Final = 4 << 20
"""The largest answer (bytes) of one series: four times that of daily values since 1980 in JSON."""
BEGIN: Final = date(1999, 1, 1)
"""The first value of the deciding series that is asked for; the quadrants begin in 2003."""
_RECENT: Final = timedelta(120)
"""How far back the series of context are asked for."""
_WORKER: Final = "ocw_mcp.adapters.outside.fred_worker"


class Fred:
    """Reads the deciding series, and those of context that answer."""

    name = "macro"
    every_ms = 6 * HOUR

    def __init__(
        self,
        http: OutsideHttp,
        machine_ms: Callable[[], int],
        key: SecretStr | None = None,
        public: str = PUBLIC,
        keyed: str = KEYED,
    ) -> None:
        """`machine_ms` returns the time of this machine (ms), at which the answers are read."""
        self._http, self._machine_ms, self._key = http, machine_ms, key
        self._public, self._keyed = public, keyed

    @staticmethod
    def unread(problem: str) -> Unknown:
        """Return the macro regime while FRED was never read."""
        return Unknown(f"FRED cannot be read: {problem}")

    async def fetch(self, now: int) -> MacroReading | Unknown:
        """Return the macro regime at `now` (ms). Raises SourceUnavailable if a deciding series does not answer."""
        answers = await self.ask_all(now)
        found = await run_apart(_WORKER, msgspec.msgpack.encode(answers))
        reading: MacroReading | Unknown = msgspec.json.decode(found, type=MacroReading | Unknown)
        return reading

    async def ask_all(self, now: int, context_since: date | None = None) -> FredAnswers:
        """Return the answers for all series that answer, those of context since some day, by default four months.

        Raises SourceUnavailable if a deciding series does not answer.
        """
        texts: dict[str, bytes] = {}
        for name, series in ALL.items():
            begin = (context_since or day_of(now) - _RECENT) if series in CONTEXT else BEGIN
            try:
                texts[name] = await self.ask(name, begin)
            except SourceUnavailable as error:
                if series not in CONTEXT:
                    raise SourceUnavailable(f"{name}: {error}") from None
        return FredAnswers(now, self._machine_ms(), self._key is not None, texts)

    async def ask(self, name: str, begin: date) -> bytes:
        """Return the answer for one series from a day on. Raises SourceUnavailable."""
        if self._key is None:
            return await self._http.get(self._public, {"id": name, "cosd": begin.isoformat()}, most=LARGEST)
        query = {
            "series_id": name,
            "api_key": self._key.get_secret_value(),
            "file_type": "json",
            "observation_start": begin.isoformat(),
        }
        if is_first_release(name):
            # 4: the initial release only. These dates mean all releases.
            query |= {"output_type": "4", "realtime_start": "1776-07-04", "realtime_end": "9999-12-31"}
        return await self._http.get(self._keyed, query, most=LARGEST)
