"""Simulated derivatives of a day: open interest, long/short ratios, taker ratio and funding rates."""

from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.paths import (
    Floats,
    Generator,
    Memory,
    PricePath,
    decaying_sum,
    mean_reverting,
    usual_deviation,
)
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

ROWS = DAY // p.METRICS_EVERY
_MINUTES_PER_ROW = p.METRICS_EVERY // MINUTE
_RATES = DAY // p.FUNDING_EVERY


class DerivativesDay(NamedTuple):
    """Logarithms of a day's five-minute rows, and its funding rates."""

    interest: Floats
    """Log of open interest over its usual level."""
    top_accounts: Floats
    top_positions: Floats
    accounts: Floats
    rates: Floats


def simulate_derivatives(draw: Generator, model: p.SymbolModel, path: PricePath, memory: Memory) -> DerivativesDay:
    """Return a day of positions that follow the price, continued from the memory, which then holds its end."""
    moves = path.returns.reshape(ROWS, _MINUTES_PER_ROW).sum(axis=1)
    noise = draw.standard_normal((4, ROWS))
    long_memory = decaying_sum(memory, "long_memory", moves, p.LONG_MEMORY, p.METRICS_EVERY)
    short_memory = decaying_sum(memory, "short_memory", moves, p.SHORT_MEMORY, p.METRICS_EVERY)
    trend = long_memory - short_memory
    usual = usual_deviation(model, p.METRICS_EVERY)
    liquidated = -p.LIQUIDATED * np.maximum(np.abs(moves) - p.LIQUIDATION_FROM * usual, 0.0)
    interest = mean_reverting(memory, "interest", noise[0], p.INTEREST, p.METRICS_EVERY)
    # The liquidations of earlier days are part of the interest that the memory holds.
    interest += decaying_sum({}, "liquidated", liquidated, p.INTEREST.half_life, p.METRICS_EVERY)
    memory["interest"] = float(interest[-1])
    top_accounts = mean_reverting(memory, "top_accounts", noise[1], p.TOP_ACCOUNTS, p.METRICS_EVERY)
    top_positions = mean_reverting(memory, "top_positions", noise[2], p.TOP_POSITIONS, p.METRICS_EVERY)
    accounts = mean_reverting(memory, "accounts", noise[3], p.ACCOUNTS, p.METRICS_EVERY)
    levels = mean_reverting(memory, "funding", draw.standard_normal(_RATES), p.FUNDING_LEVEL, p.FUNDING_EVERY)
    # The trend is an exponential memory of a random walk, which has this long-run deviation.
    usual_trend = usual_deviation(model, p.LONG_MEMORY) / float(np.sqrt(2 * np.log(2)))
    trends = long_memory[ROWS // _RATES - 1 :: ROWS // _RATES] / usual_trend
    rest = np.sqrt(1 - p.FUNDING_LEVEL.deviation**2 - p.FUNDING_ON_TREND**2)
    scores = levels + p.FUNDING_ON_TREND * trends + rest * draw.standard_normal(_RATES)
    # More volatile symbols do not have wider ratios, so the trend counts in the usual moves of a calm symbol.
    slope = min(1.0, 0.66 / model.volatility)
    return DerivativesDay(
        interest=interest + p.INTEREST_ON_TREND * trend + p.INTEREST_AT_ONCE * short_memory,
        top_accounts=_bounded(top_accounts + slope * p.TOP_ACCOUNTS_ON_TREND * trend),
        top_positions=_bounded(top_positions),
        accounts=_bounded(accounts + slope * p.ACCOUNTS_ON_TREND * trend),
        rates=np.round(np.interp(scores, p.FUNDING_SCORES, model.funding) * 1e-4, 8),
    )


def _bounded(logs: Floats) -> Floats:
    """Return log ratios that saturate at RATIO_WIDEST, so that no rally produces an absurd ratio."""
    result: Floats = p.RATIO_WIDEST * np.tanh(logs / p.RATIO_WIDEST)
    return result


def metrics_of(symbol: str, model: p.SymbolModel, day: DerivativesDay, minutes: Floats, midnight: int) -> list[Metrics]:
    """Return the metrics of the day that begins at `midnight` (ms).

    `minutes` has three rows: closes, volumes and taker volumes.
    """
    prices = minutes[0, _MINUTES_PER_ROW - 1 :: _MINUTES_PER_ROW]
    volume, bought = minutes[1:].reshape(2, ROWS, _MINUTES_PER_ROW).sum(axis=2)
    interest = np.round(model.interest / model.price * np.exp(day.interest), 3)
    # Takers sold the volume that they did not buy. When they sold nothing, one lot keeps the ratio finite.
    takers = np.round(bought / np.maximum(volume - bought, 10.0**-model.lot_decimals), 6)
    levels = [
        np.round(level * np.exp(logs), 6)
        for level, logs in zip(p.RATIO_LEVELS, (day.top_accounts, day.top_positions, day.accounts), strict=True)
    ]
    columns = [column.tolist() for column in (interest, np.round(interest * prices, 4), *levels, takers)]
    stamps = range(midnight + p.METRICS_EVERY, midnight + DAY + 1, p.METRICS_EVERY)
    return [Metrics(symbol, at, *row) for at, row in zip(stamps, zip(*columns, strict=True), strict=True)]


def funding_of(symbol: str, day: DerivativesDay, midnight: int) -> list[Funding]:
    """Return the rates of a day, settled every eight hours, the last at the midnight (ms) that ends it."""
    hours = p.FUNDING_EVERY // HOUR
    stamps = range(midnight + p.FUNDING_EVERY, midnight + DAY + 1, p.FUNDING_EVERY)
    return [Funding(symbol, at, rate, hours) for at, rate in zip(stamps, day.rates.tolist(), strict=True)]
