"""The fitted numbers of the simulated market, each with the measure it comes from.

`python -m ocw_mcp.app.calibrate DIRECTORY` measures them again on recorded candles, metrics and funding. They were
taken over the medians of several months and symbols (hours of BTC, ETH and SOL over 27 months; minutes of eight months
between 2024 and 2026, two crashes among them) and rounded, since the market is meant and not its recordings.
"""

import hashlib
import math
from typing import NamedTuple

from ocw_mcp.domain.time import DAY, HOUR, MINUTE


class Swing(NamedTuple):
    """A part of log volatility, or of another logarithm, that swings around zero and forgets (Ornstein-Uhlenbeck)."""

    deviation: float
    """Standard deviation in the long run, of the natural logarithm."""
    half_life: int
    """Time (ms) in which half of it is forgotten."""


# Volatility: the autocovariance of ln|return|, season taken out, is that of log volatility at every lag above zero.
# Minutes read .22 at 1 min, .16 at 10 min, .15 at 1 h, .10 at 8 h and .07 at 1 d; hours .26 at 1 h, .19 at 8 h, .14 at
# 1 d, .15 at 7 d, .03 at 30 d. The quicker swings are above that by half, as kurtosis of 15 min and 1 h asks: real
# volatility has a longer upper tail than a lognormal one.
BURST = Swing(0.24, 4 * MINUTE)
FAST = Swing(0.24, 40 * MINUTE)
MEDIUM = Swing(0.30, 5 * HOUR)
SLOW = Swing(0.20, 40 * DAY)
REGIME_LEVELS = (-0.26, 0.0, 0.44)
"""Log volatility of the calm, the normal and the stormy regime: with SLOW, what is left at lags above a day."""
REGIME_DWELL = (10 * DAY, 7 * DAY, 5 * DAY)
"""Mean time (ms) in each regime."""
REGIME_TURNS = ((0.0, 0.9, 0.1), (0.65, 0.0, 0.35), (0.25, 0.75, 0.0))
"""Where each regime turns to when it ends."""
OWN = 0.3
"""Share of a symbol's own in the variance of BURST, FAST and FLICKER: ln|return| correlates by 0.45."""
FLICKER = 0.38
"""Deviation of log activity from one minute to the next, remembered by none: kurtosis 4 to 8 within an hour."""
LEVERAGE = -0.3
"""Correlation of returns with what MEDIUM makes of the same minute: an hour's return against ln|return| of the next
is -0.02 to -0.04."""

JUMPS_PER_DAY = 0.7
OWN_JUMPS = 0.3
"""Jumps of the whole market, and of each symbol alone. Moves beyond six local deviations come once or twice a day, and
half of those are flicker."""
JUMP_LEAST, JUMP_TAIL, JUMP_MOST = 4.0, 3.0, 30.0
"""Sizes in local deviations: Pareto from the least on. Hill's index of minutes is 3 to 4, the median of jumps 7."""
JUMP_DOWN = 0.5
"""Share of jumps that go down: 0.36 to 0.49 in minutes, but the longer falls of crashes."""
AFTERSHOCK, AFTERSHOCK_HALF_LIFE = 0.6, 7 * MINUTE
TREMOR, TREMOR_HALF_LIFE = 0.35, 90 * MINUTE
"""What a jump adds to log volatility: returns are 2.1 times as large right after one, 1.3 times after half an hour."""
SHAKEN = 0.07
"""Log by which aftershocks lift volatility on average, over eight simulated years; taken off again."""

HOURS = (1.04, 1.10, 0.96, 0.85, 0.81, 0.81, 0.84, 0.87, 0.92, 0.84, 0.83, 0.83,
         0.94, 1.19, 1.42, 1.33, 1.12, 1.20, 1.13, 1.08, 1.02, 1.04, 1.06, 0.81)  # fmt: skip
"""Volatility of each hour of the day, UTC, against the mean: hours of 27 months and three symbols, cut at 5σ."""
WEEKDAYS = (1.17, 1.09, 1.07, 1.05, 1.08, 0.71, 0.84)
"""The same of each day of the week, from Monday on."""
QUARTER = 1.12
"""The same of the first minute of each quarter of an hour, where clocks of many programs strike."""

HOMING_HALF_LIFE = 365 * DAY
"""Pull towards the first price: not measured, but an endless market must stay within bounds."""
BRIDGE = 0.86
"""Deviation of the path within a minute over that of minutes: range over |return| is 1.6 to 1.9, and not 2.0, as
books are coarser than Brownian motion."""

VOLUME_ON_VOLATILITY = 1.37
"""Log volume per log volatility, of season and weather alike (1.3 to 1.5 in regressions)."""
VOLUME_ON_FLICKER = 1.3
"""Log volume per log activity of the minute: gives 0.38 per |return| in local deviations, as measured."""
VOLUME_BEYOND = 2.5
"""Local deviations beyond which volume grows with the move itself: jumps trade ten times the median."""
VOLUME_NOISE = 0.30
VOLUME_SPELL = Swing(0.42, 7 * MINUTE)
VOLUME_MOOD = Swing(0.25, 12 * HOUR)
"""What is left of log volume: deviation 0.73, with autocorrelation .45 at 1 min, .28 at 5 min, .10 at 4 h."""

TAKER_ON_RETURN, TAKER_NOISE = 0.36, 0.62
"""Log odds of the taker's buys: per return in local deviations, and their noise (0.39 to 0.54, and 0.63 to 0.84)."""

SPREAD_ON_VOLATILITY = 0.6
"""Log spread per log volatility. An assumption: the recordings of the book are minutes long. Never below a tick."""
SPREAD = 0.00008
"""Spread of a symbol of middling liquidity over its price, in its usual volatility; an assumption like the above."""
DEPTH = 2.0
"""What rests on either side within 0.2 % of the middle, in volumes of the minute: an assumption, on the thin side for
large symbols. That books thin out when it is lively, as real ones do, is not in it."""

# Derivatives: five-minute metrics of 26 days of ETH, and one of SOL; slopes against the returns of 5 min to 1 d.
PRICE_TREND, PRICE_TURN = 3 * DAY, 75 * MINUTE
"""Half-lives (ms) of two memories of returns. What positions follow is the long one less the short one: they answer
to a move over hours, hardly within five minutes."""
INTEREST_ON_TREND, INTEREST_AT_ONCE = 0.85, 0.12
"""Log open interest per log return, in the end and at once (measured .83 over a day, .12 over 5 min)."""
LIQUIDATED = 0.35
"""Open interest that a five-minute return beyond LIQUIDATION_FROM takes away, per return beyond."""
LIQUIDATION_FROM = 4.0
"""Usual deviations of five minutes."""
INTEREST = Swing(0.02, DAY)
ACCOUNTS_ON_TREND, TOP_ACCOUNTS_ON_TREND = -8.0, -9.5
"""Log long/short ratio of accounts per log return: the many sell into strength."""
ACCOUNTS = Swing(0.08, DAY)
TOP_ACCOUNTS = Swing(0.10, DAY)
TOP_POSITIONS = Swing(0.08, 2 * DAY)
RATIO_LEVELS = (1.50, 1.13, 1.65)
"""Medians of the ratios: top accounts, top positions, all accounts."""
RATIO_WIDEST = 1.2
"""Natural logarithm by which no ratio goes away from its level."""

FUNDING_SCORES = (-2.326, -1.645, -1.282, -0.674, 0.0, 0.253, 0.772, 1.175, 1.282, 1.645, 2.326, 3.5)
"""Scores of a standard normal distribution at 1, 5, 10, 25, 50, 60, 78, 88, 90, 95 and 99 %, and the end."""
FUNDING_BP = (-0.65, -0.19, 0.0, 0.31, 0.84, 1.0, 1.0, 1.0, 1.07, 2.3, 4.9, 10.0)
"""Funding rates of BTC and ETH at those quantiles, in basis points of 8 h, over 32 months: one in three is the fixed
1.0 of the exchange's formula."""
FUNDING_BP_LATER = (-2.3, -1.28, -0.88, -0.39, 0.21, 0.43, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0)
"""The same of SOL over seven months; taken for all other symbols."""
FUNDING_MOOD = Swing(0.80, 15 * DAY)
FUNDING_ON_TREND = 0.45
"""Deviations of funding's mood per usual deviation of the trend; the rest is forgotten from rate to rate."""
FUNDING_EVERY = 8 * HOUR
METRICS_EVERY = 5 * MINUTE


class Personality(NamedTuple):
    """What makes a symbol itself."""

    price: float
    """Where it begins, quote currency."""
    decimals: int
    """Of its prices."""
    lot_decimals: int
    """Of its volumes."""
    volatility: float
    """Annual standard deviation of log returns: hourly candles of 27 months, in the long run."""
    load: float
    """Correlation with the market; two symbols correlate by the product of theirs (0.77, 0.75 and 0.76 at 1 min)."""
    turnover: float
    """Quote currency traded in a usual minute."""
    interest: float
    """Open interest, quote currency."""
    spread: float
    """Spread over price in usual volatility."""
    funding: tuple[float, ...]


_KNOWN = {
    "BTCUSDT": Personality(90_000.0, 1, 3, 0.47, 0.90, 8e6, 8e9, 0.00001, FUNDING_BP),
    "ETHUSDT": Personality(3_000.0, 2, 3, 0.66, 0.925, 5e6, 5e9, 0.00001, FUNDING_BP),
    "SOLUSDT": Personality(130.0, 2, 2, 0.90, 0.895, 1.7e6, 9e8, 0.00008, FUNDING_BP_LATER),
}
"""Volatility of the hours, loads and turnover of the minutes of 2025 and 2026, open interest of 2026."""

_LEVELS = {
    "BNBUSDT": (850.0, 2, 2),
    "XRPUSDT": (1.9, 4, 1),
    "ADAUSDT": (0.36, 4, 0),
    "DOGEUSDT": (0.13, 5, 0),
    "AVAXUSDT": (13.0, 3, 0),
    "NEARUSDT": (1.6, 3, 0),
    "LINKUSDT": (12.5, 3, 2),
    "LTCUSDT": (78.0, 2, 3),
}
"""Price, its decimals and those of volumes, where they are common knowledge."""


def personality(symbol: str) -> Personality:
    """A known symbol's numbers; for any other, numbers derived from its name within the range of what was measured."""
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    dice = hashlib.sha256(symbol.encode()).digest()
    shares = [int.from_bytes(dice[place : place + 4]) / 2**32 for place in range(0, 20, 4)]
    price = float(f"{10 ** (3 * shares[0] - 1):.3g}")
    magnitude = math.floor(math.log10(price))
    price, decimals, lot_decimals = _LEVELS.get(symbol, (price, 4 - magnitude, max(0, magnitude)))
    turnover = 10 ** (4.7 + 0.7 * shares[1])
    return Personality(
        price=price,
        decimals=decimals,
        lot_decimals=lot_decimals,
        volatility=round(0.8 + 0.5 * shares[2], 3),
        load=round(0.84 + 0.10 * shares[3], 3),
        turnover=turnover,
        interest=turnover * (300 + 400 * shares[4]),
        spread=SPREAD * (1 + 2 * shares[4]),
        funding=FUNDING_BP_LATER,
    )
