"""What only futures answer: mark prices, funding, open interest, and the statistics of `/futures/data`."""

from collections.abc import Callable
from typing import Any

from ocw_mcp.adapters.feeds.tape.options import STAMP_CHANGE
from ocw_mcp.domain.market import Metrics
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.sandbox.binance.answers import CONTRACTS, Answers, Payload
from ocw_mcp.sandbox.binance.derivatives import FUNDING_HOURS, INTEREST_RATE
from ocw_mcp.sandbox.binance.intervals import PERIODS
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

_REACH = 30 * DAY
"""The age (ms) of the oldest rows of `/futures/data`."""
_ROWS = 500
_RATES = 1000
_CAP = "0.00300"


class FuturesAnswers(Answers):
    """Answers of USD-M futures."""

    def premium_index(self, parameters: Parameters, now: int) -> Payload:
        """Return mark price, index price and next funding, of one symbol or of all."""
        symbols, is_single = self._symbols(parameters, now)
        rows = []
        for symbol in symbols:
            mark = self.market.mark(symbol, now)
            if mark is not None:
                rows.append(
                    {
                        "symbol": symbol,
                        "markPrice": f"{mark.mark:.8f}",
                        "indexPrice": f"{mark.index:.8f}",
                        "estimatedSettlePrice": f"{mark.index:.8f}",
                        "lastFundingRate": f"{mark.rate:.8f}",
                        "interestRate": f"{INTEREST_RATE:.8f}",
                        "nextFundingTime": mark.next_funding_at,
                        "time": now,
                    }
                )
        return rows[0] if is_single else rows

    def funding_rates(self, parameters: Parameters, now: int) -> Payload:
        """Return settled funding rates: the latest ones, or those from startTime on."""
        symbol = parameters.optional_symbol()
        start, end = parameters.times()
        limit = parameters.limit(100, _RATES)
        until = now if end is None else min(end, now)
        since = self.market.begins_at if start is None else start - 1
        symbols = self.market.symbols if symbol is None else (symbol,)
        rows = [row for each in symbols for row in self.market.funding(each, since, until)]
        rows.sort(key=lambda row: (row.at, row.symbol))
        answer = []
        for row in rows[-limit:] if start is None else rows[:limit]:
            mark = self.market.mark(row.symbol, row.at)
            answer.append(
                {
                    "symbol": row.symbol,
                    "fundingTime": row.at,
                    "fundingRate": f"{row.rate:.8f}",
                    "markPrice": "" if mark is None else f"{mark.mark:.8f}",
                }
            )
        return answer

    def funding_info(self, parameters: Parameters, now: int) -> Payload:
        """Return the funding interval and the bounds of the rates of all symbols."""
        rows = []
        for symbol in self.market.symbols:
            settled = self.market.funding(symbol, now - 2 * DAY, now)
            rows.append(
                {
                    "symbol": symbol,
                    "adjustedFundingRateCap": _CAP,
                    "adjustedFundingRateFloor": f"-{_CAP}",
                    "fundingIntervalHours": settled[-1].interval_hours if settled else FUNDING_HOURS,
                    "disclaimer": True,
                    "updateTime": None,
                }
            )
        return rows

    def open_interest(self, parameters: Parameters, now: int) -> Payload:
        """Return the latest open interest (base asset); 0 if the source has none of the last day."""
        symbol = parameters.symbol()
        rows = [row for row in self.market.metrics(symbol, now - DAY, now) if row.open_interest is not None]
        interest = rows[-1].open_interest if rows else 0.0
        return {"openInterest": f"{interest or 0.0:.3f}", "symbol": symbol, "time": now}

    def open_interest_history(self, parameters: Parameters, now: int) -> Payload:
        """Return open interest at the end of each period."""

        def row(metrics: Metrics) -> dict[str, Any] | None:
            if metrics.open_interest is None or metrics.open_interest_value is None:
                return None
            return {
                "symbol": metrics.symbol,
                "sumOpenInterest": f"{metrics.open_interest:.8f}",
                "sumOpenInterestValue": f"{metrics.open_interest_value:.8f}",
            }

        return self._stock(parameters, now, row)

    def top_position_ratio(self, parameters: Parameters, now: int) -> Payload:
        """Return the long/short ratio of the positions of top traders at the end of each period."""
        return self._stock(parameters, now, lambda row: _ratio(row.symbol, row.top_positions_ratio))

    def top_account_ratio(self, parameters: Parameters, now: int) -> Payload:
        """Return the long/short ratio of the accounts of top traders at the end of each period."""
        return self._stock(parameters, now, lambda row: _ratio(row.symbol, row.top_accounts_ratio))

    def account_ratio(self, parameters: Parameters, now: int) -> Payload:
        """Return the long/short ratio of all accounts at the end of each period."""
        return self._stock(parameters, now, lambda row: _ratio(row.symbol, row.accounts_ratio))

    def taker_ratio(self, parameters: Parameters, now: int) -> Payload:
        """Return the volumes that takers bought and sold in each period."""
        symbol = parameters.symbol()

        def row(end: int, length: int) -> dict[str, Any] | None:
            kline = self.market.kline(symbol, length, end - length, now)
            if kline is None or not kline.volume:
                return None
            bought = kline.taker_volume
            sold = kline.volume - bought
            least = 10.0 ** -self.market.decimals(symbol)[1]
            return {
                "buySellRatio": f"{bought / max(sold, least):.4f}",
                "buyVol": f"{bought:.4f}",
                "sellVol": f"{sold:.4f}",
            }

        return self._periods(parameters, now, row)

    def basis(self, parameters: Parameters, now: int) -> Payload:
        """Return the distance of the last price from the index price at the end of each period."""
        pair = parameters.symbol("pair")
        contract = parameters.one_of("contractType", CONTRACTS)

        def row(end: int, _length: int) -> dict[str, Any] | None:
            marked = self.market.marked(pair, end)
            if marked is None:
                return None
            mark, last = marked
            return {
                "indexPrice": f"{mark.index:.8f}",
                "contractType": contract,
                "basisRate": f"{round((last.price - mark.index) / mark.index, 4) + 0.0:.4f}",
                "futuresPrice": self.market.price_text(pair, last.price),
                "annualizedBasisRate": "",
                "basis": f"{last.price - mark.index:.8f}",
                "pair": pair,
            }

        rows = self._periods(parameters, now, row)
        return rows if contract == "PERPETUAL" else []

    def _stock(
        self, parameters: Parameters, now: int, row: Callable[[Metrics], dict[str, Any] | None]
    ) -> list[dict[str, Any]]:
        symbol = parameters.symbol()
        known: dict[int, Metrics] = {}

        def at_end(end: int, _length: int) -> dict[str, Any] | None:
            if end not in known:
                begin = end // DAY * DAY - DAY
                known.update({each.at: each for each in self.market.metrics(symbol, begin, min(begin + 2 * DAY, now))})
            return row(known[end]) if end in known else None

        return self._periods(parameters, now, at_end)

    def _periods(
        self, parameters: Parameters, now: int, row: Callable[[int, int], dict[str, Any] | None]
    ) -> list[dict[str, Any]]:
        """Return `row(end, length)` (ms) of the requested periods, in order of time; None leaves a period out."""
        name = parameters.required("period")
        if name not in PERIODS:
            raise ApiError(-1130, "parameter 'period' is invalid.")
        length = PERIODS[name]
        start, end = parameters.times()
        limit = parameters.number("limit")
        limit = 30 if limit is None else limit
        if not 1 <= limit <= _ROWS:
            raise ApiError(-1130, "parameter 'limit' is invalid.")
        if start is not None and start < now - _REACH - MINUTE:
            raise ApiError(-1130, "parameter 'startTime' is invalid.")
        oldest = max(now - _REACH, self.market.begins_at) if start is None else start
        stamped_until = now if end is None else end
        ends = range(now // length * length, oldest - 1, -length)
        rows = []
        # Without startTime the latest rows count, with it the first ones.
        for each in ends if start is None else reversed(ends):
            stamp = _stamp(each, length)
            if oldest <= stamp <= stamped_until and (found := row(each, length)) is not None:
                rows.append(found | {"timestamp": stamp})
            if len(rows) == limit:
                break
        return rows[::-1] if start is None else rows


def _stamp(end: int, length: int) -> int:
    """Return the timestamp of the row of the period that ends at `end` (ms): its end, after STAMP_CHANGE its begin."""
    return end if end <= STAMP_CHANGE else end - length


def _ratio(symbol: str, ratio: float | None) -> dict[str, Any] | None:
    if ratio is None:
        return None
    return {
        "symbol": symbol,
        "longShortRatio": f"{ratio:.4f}",
        "longAccount": f"{ratio / (1 + ratio):.4f}",
        "shortAccount": f"{1 / (1 + ratio):.4f}",
    }
