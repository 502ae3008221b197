"""What derivatives tell of a day: open interest, long/short ratios, the taker's ratio, and the funding rate."""

from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.path import PricePath, usual_deviation
from ocw_mcp.adapters.feeds.simulated.randomness import Generator
from ocw_mcp.adapters.feeds.simulated.swings import Floats, fade, swing
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

ROWS = DAY // p.METRICS_EVERY
_TOGETHER = p.METRICS_EVERY // MINUTE
_RATES = DAY // p.FUNDING_EVERY


class SimulatedDerivativesState(NamedTuple):
    """What a symbol's next day needs to know of the days before."""

    trend: float = 0.0
    turn: float = 0.0
    interest: float = 0.0
    top_accounts: float = 0.0
    top_positions: float = 0.0
    accounts: float = 0.0
    funding: float = 0.0


class Day(NamedTuple):
    """Logarithms of a day's five-minute rows, and its funding rates."""

    interest: Floats
    """Log open interest over its usual one."""
    top_accounts: Floats
    top_positions: Floats
    accounts: Floats
    rates: Floats


def a_day(
    draw: Generator, who: p.Personality, path: PricePath, before: SimulatedDerivativesState
) -> tuple[Day, SimulatedDerivativesState]:
    """A day of positions that follow the price, and what the next one starts from."""
    moves = path.returns.reshape(ROWS, _TOGETHER).sum(axis=1)
    noise = draw.standard_normal((4, ROWS))
    trends = fade(before.trend, moves, p.PRICE_TREND, p.METRICS_EVERY)
    turns = fade(before.turn, moves, p.PRICE_TURN, p.METRICS_EVERY)
    lean = trends - turns
    usual = usual_deviation(who, p.METRICS_EVERY)
    washed = -p.LIQUIDATED * np.maximum(np.abs(moves) - p.LIQUIDATION_FROM * usual, 0.0)
    interest = swing(before.interest, noise[0], p.INTEREST, p.METRICS_EVERY)
    interest += fade(0.0, washed, p.INTEREST.half_life, p.METRICS_EVERY)
    top_accounts = swing(before.top_accounts, noise[1], p.TOP_ACCOUNTS, p.METRICS_EVERY)
    top_positions = swing(before.top_positions, noise[2], p.TOP_POSITIONS, p.METRICS_EVERY)
    accounts = swing(before.accounts, noise[3], p.ACCOUNTS, p.METRICS_EVERY)
    moods = swing(before.funding, draw.standard_normal(_RATES), p.FUNDING_MOOD, p.FUNDING_EVERY)
    leaning = trends[ROWS // _RATES - 1 :: ROWS // _RATES] / _usual_trend(who)
    rest = np.sqrt(1 - p.FUNDING_MOOD.deviation**2 - p.FUNDING_ON_TREND**2)
    scores = moods + p.FUNDING_ON_TREND * leaning + rest * draw.standard_normal(_RATES)
    # Symbols whose moves are larger have no wider ratios: the lean is measured in the usual day of a calm symbol.
    slope = min(1.0, 0.66 / who.volatility)
    day = Day(
        interest=interest + p.INTEREST_ON_TREND * lean + p.INTEREST_AT_ONCE * turns,
        top_accounts=_within(top_accounts + slope * p.TOP_ACCOUNTS_ON_TREND * lean),
        top_positions=_within(top_positions),
        accounts=_within(accounts + slope * p.ACCOUNTS_ON_TREND * lean),
        rates=np.round(np.interp(scores, p.FUNDING_SCORES, who.funding) * 1e-4, 8),
    )
    after = SimulatedDerivativesState(
        *(float(each[-1]) for each in (trends, turns, interest, top_accounts, top_positions, accounts, moods))
    )
    return day, after


def _usual_trend(who: p.Personality) -> float:
    """Deviation of the trend in the long run: that of an exponential memory of a random walk."""
    return usual_deviation(who, p.PRICE_TREND) / float(np.sqrt(2 * np.log(2)))


def _within(logs: Floats) -> Floats:
    """Saturating, so that no rally makes a ratio absurd."""
    result: Floats = p.RATIO_WIDEST * np.tanh(logs / p.RATIO_WIDEST)
    return result


def metrics_of(symbol: str, who: p.Personality, day: Day, minutes: Floats, midnight: int) -> list[Metrics]:
    """The rows of a day, each known at its stamp. `minutes` are closes, volumes and the taker's part, as three rows."""
    prices = minutes[0, _TOGETHER - 1 :: _TOGETHER]
    volume, bought = minutes[1:].reshape(2, ROWS, _TOGETHER).sum(axis=2)
    held = np.round(who.interest / who.price * np.exp(day.interest), 3)
    # Sold by takers is what they did not buy; where they sold nothing, one lot keeps the ratio finite.
    takers = np.round(bought / np.maximum(volume - bought, 10.0**-who.lot_decimals), 6)
    levels = [
        np.round(level * np.exp(logs), 6)
        for level, logs in zip(p.RATIO_LEVELS, (day.top_accounts, day.top_positions, day.accounts), strict=True)
    ]
    columns = [column.tolist() for column in (held, np.round(held * prices, 4), *levels, takers)]
    stamps = range(midnight + p.METRICS_EVERY, midnight + DAY + 1, p.METRICS_EVERY)
    return [Metrics(symbol, at, *row) for at, row in zip(stamps, zip(*columns, strict=True), strict=True)]


def funding_of(symbol: str, day: Day, midnight: int) -> list[Funding]:
    """The rates of a day, settled every eight hours, the last at the midnight that ends it."""
    hours = p.FUNDING_EVERY // HOUR
    stamps = range(midnight + p.FUNDING_EVERY, midnight + DAY + 1, p.FUNDING_EVERY)
    return [Funding(symbol, at, rate, hours) for at, rate in zip(stamps, day.rates.tolist(), strict=True)]
