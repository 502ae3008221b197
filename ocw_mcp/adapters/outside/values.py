"""Sources of one number each. Their addresses and formats are those of November 2026, and need no key."""

from datetime import date
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.outside.http import OutsideHttp, decode
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.time import HOUR, SECOND, day_begins

FEAR_GREED: Final = "https://api.alternative.me/fng/"
STABLECOINS: Final = "https://stablecoins.llama.fi/stablecoinchains"
DOMINANCE: Final = "https://api.coingecko.com/api/v3/global"
ETF_FLOW: Final = "https://api.sosovalue.xyz/openapi/v2/etf/historicalInflowChart"


class _Index(msgspec.Struct):
    value: float
    timestamp: int


class _Indices(msgspec.Struct):
    data: list[_Index]


class FearGreed:
    """The fear & greed index of alternative.me: 0 extreme fear, 100 extreme greed; a value a day."""

    name = "fear_greed"
    every_ms = HOUR

    def __init__(self, http: OutsideHttp, url: str = FEAR_GREED) -> None:
        self._http, self._url = http, url

    async def fetch(self, now: int) -> tuple[ContextItem, ...]:
        """Return the index of today. Raises SourceUnavailable."""
        found = decode(await self._http.get(self._url, {"limit": "1"}), _Indices, self.name).data
        if not found or not 0 <= found[0].value <= 100:
            raise SourceUnavailable("fear_greed has no value from 0 to 100")
        as_of = found[0].timestamp * SECOND
        return (ContextItem(self.name, now, min(as_of, now), value=found[0].value, unit="of 100"),)


class _Chain(msgspec.Struct):
    totalCirculatingUSD: dict[str, float | None] = {}  # noqa: N815 - the name in the answer


class Stablecoins:
    """The supply of all stablecoins on all chains, from DefiLlama."""

    name = "stablecoins"
    every_ms = HOUR

    def __init__(self, http: OutsideHttp, url: str = STABLECOINS) -> None:
        self._http, self._url = http, url

    async def fetch(self, now: int) -> tuple[ContextItem, ...]:
        """Return the sum of all chains in USD; the source states no time. Raises SourceUnavailable."""
        chains = decode(await self._http.get(self._url), list[_Chain], self.name)
        total = sum(value or 0.0 for chain in chains for value in chain.totalCirculatingUSD.values())
        if not 0 < total < 1e15:
            raise SourceUnavailable("stablecoins has no supply")
        return (ContextItem(self.name, now, None, value=round(total), unit="USD"),)


class _Global(msgspec.Struct):
    market_cap_percentage: dict[str, float]
    updated_at: int | None = None


class _Globals(msgspec.Struct):
    data: _Global


class Dominance:
    """The share of Bitcoin in the value of all coins, from CoinGecko."""

    name = "btc_dominance"
    every_ms = HOUR

    def __init__(self, http: OutsideHttp, url: str = DOMINANCE) -> None:
        self._http, self._url = http, url

    async def fetch(self, now: int) -> tuple[ContextItem, ...]:
        """Return the share in percent. Raises SourceUnavailable."""
        found = decode(await self._http.get(self._url), _Globals, self.name).data
        share = found.market_cap_percentage.get("btc")
        if share is None or not 0 <= share <= 100:
            raise SourceUnavailable("btc_dominance has no share of btc")
        as_of = None if found.updated_at is None else min(found.updated_at * SECOND, now)
        return (ContextItem(self.name, now, as_of, value=round(share, 2), unit="%"),)


class _Flow(msgspec.Struct):
    date: str
    totalNetInflow: float | None = None  # noqa: N815 - the name in the answer


class EtfFlow:
    """The net flow of a day into the US spot Bitcoin ETFs, from SoSoValue, the only free source with an interface."""

    name = "etf_flow"
    every_ms = HOUR

    def __init__(self, http: OutsideHttp, url: str = ETF_FLOW) -> None:
        self._http, self._url = http, url

    async def fetch(self, now: int) -> tuple[ContextItem, ...]:
        """Return the flow of the newest day in USD. Raises SourceUnavailable."""
        content = await self._http.get(self._url, body={"type": "us-btc-spot"})
        found: dict[str, Any] = decode(content, dict[str, Any], self.name)
        rows = found.get("data")
        try:
            days = msgspec.convert(rows.get("list") if isinstance(rows, dict) else rows, list[_Flow], strict=False)
            known = {date.fromisoformat(each.date[:10]): each.totalNetInflow for each in days}
        except (msgspec.MsgspecError, ValueError) as error:
            raise SourceUnavailable(f"etf_flow has another format than expected ({str(error)[:120]})") from None
        flows = {day: flow for day, flow in known.items() if flow is not None and abs(flow) < 1e12}
        if not flows:
            raise SourceUnavailable("etf_flow has no flow of a day")
        last = max(flows)
        as_of = min(day_begins(last.isoformat()), now)
        return (ContextItem(self.name, now, as_of, value=round(flows[last]), unit="USD"),)
