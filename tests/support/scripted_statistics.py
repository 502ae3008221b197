"""A scripted exchange with the derivatives data of perpetuals, and runs of the derivatives monitor on it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.adapters.feeds.binance.derivatives import DerivativesMonitor
from ocw_mcp.adapters.feeds.binance.notices import Notices
from ocw_mcp.adapters.feeds.binance.rest import RestClient
from ocw_mcp.domain.market import FeedNotice, Metrics, Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.live_feeds import jitter
from tests.support.scripted_market import BEGIN, ScriptedMarket

FIVE = 5 * MINUTE


def taker_ratio(end: int) -> float:
    """Return the taker ratio of the five minutes that end at a time (ms)."""
    return round(0.9 + end // FIVE * 7_919 % 211 / 1_000, 4)


class StatisticsMarket(ScriptedMarket):
    """The exchange. Rows are published `lag_ms` after the end of their five minutes."""

    def __init__(self, symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"), start: int = BEGIN + 30_000) -> None:
        super().__init__(start, symbols)
        self.lag_ms = 5_000
        self.most_rows = 500
        """The largest number of rows of an answer."""
        self.begins = False
        """Whether a time stamp is the beginning of five minutes, and not the end."""
        self.ratio: Callable[[int], float] = taker_ratio
        self.premium: dict[str, float] = {}
        """The premium of the mark price over the index, by symbol."""
        self.rates: dict[str, float] = {}
        """The rate of the next funding, by symbol."""
        self.hours: dict[str, int] = {}
        self.left_out: set[str] = set()
        """The columns that no row has."""
        self.delay_s: Callable[[str], float] = lambda path: 0.0
        """The time (s) that an answer of a path takes longer than others."""

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        await pause(self.delay_s(path))
        return await super().get(path, query)

    def _answer(self, path: str, query: Mapping[str, str | int]) -> Any:
        name, now = path.rsplit("/", 1)[-1], self.exchange_ms()
        match name:
            case "premiumIndex":
                rows = [self._premium(each, now) for each in self.symbols if query.get("symbol", each) == each]
                return rows[0] if "symbol" in query else rows
            case "openInterest":
                return {"symbol": query["symbol"], "openInterest": "1050.5", "time": now}
            case "fundingInfo":
                return [{"symbol": each, "fundingIntervalHours": hours} for each, hours in self.hours.items()]
            case _ if path.startswith("/futures/data/"):
                last = (now - self.lag_ms) // FIVE * FIVE
                ends = range(last - (min(int(query["limit"]), self.most_rows) - 1) * FIVE, last + 1, FIVE)
                return [self._row(name, end) for end in ends]
        return super()._answer(path, query)

    def _premium(self, symbol: str, now: int) -> dict[str, Any]:
        mark = 100.0 * (1 + self.premium.get(symbol, 0.0))
        prices = {"markPrice": f"{mark:.8f}", "indexPrice": "100.00000000"}
        return {"symbol": symbol, **prices, "lastFundingRate": f"{self.rates.get(symbol, 0.0001):.8f}", "time": now}

    def _row(self, name: str, end: int) -> dict[str, Any]:
        columns = {
            "takerlongshortRatio": {"buySellRatio": f"{self.ratio(end):.4f}", "buyVol": "1", "sellVol": "1"},
            "openInterestHist": {"sumOpenInterest": f"{end // FIVE % 89 + 1000}", "sumOpenInterestValue": "100000"},
            "basis": {"futuresPrice": "100.01", "indexPrice": "100", "annualizedBasisRate": ""},
        }.get(name, {"longShortRatio": f"{1.5 + end // FIVE % 5 / 100:.4f}"})
        kept = {column: value for column, value in columns.items() if column not in self.left_out}
        return {**kept, "timestamp": end - FIVE if self.begins else end}

    def asked(self, part: str) -> list[dict[str, str | int]]:
        """Return the queries of the requests whose path contains a text."""
        return [query for path, query in self.requests if part in path]


class MonitorRun:
    """What a run of the monitor yielded, by the exchange's time (ms), and reported."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Metrics]] = []
        self.notices: list[FeedNotice] = []
        self.hours: dict[str, int] = {}
        self.weights: Counter[int] = Counter()
        """The weight that was used in each minute (number since 1970)."""

    def ends(self, symbol: str = "BTCUSDT") -> list[int]:
        """Return the ends (ms) of the five-minute rows of a symbol, as they were yielded."""
        return [row.at for _, row in self.rows if row.symbol == symbol and not row.is_interim]

    def interim(self, symbol: str = "BTCUSDT") -> list[tuple[int, Metrics]]:
        """Return the interim rows of a symbol with the times (ms) at which they were known."""
        return [(at, row) for at, row in self.rows if row.symbol == symbol and row.is_interim]


def run_monitor(
    market: StatisticsMarket,
    until: int,
    begin: Callable[[DerivativesMonitor], None] = lambda monitor: None,
    script: Mapping[int, Callable[[DerivativesMonitor], None]] | None = None,
) -> MonitorRun:
    """Run the monitor alone until the exchange's time `until` (ms); `script` has what happens by that time (ms)."""

    async def go() -> MonitorRun:
        run, loop = MonitorRun(), asyncio.get_running_loop()
        notices = Notices(market.exchange_ms, loop.time, lambda: None)
        rest = RestClient(market, Product.UM, jitter())
        parts = (notices, market.exchange_ms, lambda: None, jitter(), run.hours.update)
        monitor = DerivativesMonitor(rest, market.symbols, *parts)
        begin(monitor)
        task, waiting = asyncio.ensure_future(monitor.run()), sorted((script or {}).items())
        while (now := market.exchange_ms()) < until:
            while waiting and waiting[0][0] <= now:
                waiting.pop(0)[1](monitor)
            minute = now // MINUTE
            run.weights[minute] = max(run.weights[minute], rest.weights.used_weight)
            while monitor.waiting:
                run.rows += [(now, row) for row in monitor.take()]
            run.notices += notices.take()
            await pause(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        return run

    return run_in_virtual_time(go())


def refusal(status: int, code: int, text: str) -> RestResponse:
    """Return the answer of REST that refuses a request."""
    return RestResponse(status, msgspec.json.encode({"code": code, "msg": text}), {})
