"""The fitted numbers of the simulated market, each with the measurement that it comes from.

`python -m tools.calibrate DIRECTORY` repeats the measurements on recorded candles, metrics and funding. The
numbers are medians over several months and symbols (hours of BTC, ETH and SOL over 27 months; minutes of eight months
between 2024 and 2026, with two crashes), rounded, because they describe the market and not the recordings.
"""

import hashlib
import math
from typing import NamedTuple

from ocw_mcp.domain.time import DAY, HOUR, MINUTE


class MeanReversion(NamedTuple):
    """An Ornstein-Uhlenbeck process around zero: a part of log volatility, or of another logarithm."""

    deviation: float
    """Long-run standard deviation of the natural logarithm."""
    half_life: int
    """Time (ms) in which half of a deviation decays."""


# Volatility: without the season, the autocovariance of ln|return| at a lag above zero is that of log volatility.
# Minutes have .22 at 1 min, .16 at 10 min, .15 at 1 h, .10 at 8 h and .07 at 1 d; hours .26 at 1 h, .19 at 8 h, .14 at
# 1 d, .15 at 7 d, .03 at 30 d. BURST and FAST are half larger than that, to match the kurtosis of 15 min and 1 h: real
# volatility has a longer upper tail than a lognormal one.
BURST = MeanReversion(0.24, 4 * MINUTE)
FAST = MeanReversion(0.24, 40 * MINUTE)
MEDIUM = MeanReversion(0.30, 5 * HOUR)
SLOW = MeanReversion(0.20, 40 * DAY)
REGIME_LEVELS = (-0.26, 0.0, 0.44)
"""Log volatility in the calm, normal and stormy regime; beyond a day, only regimes and SLOW correlate volatility."""
REGIME_DURATIONS = (10 * DAY, 7 * DAY, 5 * DAY)
"""Mean time (ms) in each regime."""
REGIME_TRANSITIONS = ((0.0, 0.9, 0.1), (0.65, 0.0, 0.35), (0.25, 0.75, 0.0))
"""Probability of each next regime when one ends."""
OWN = 0.3
"""Fraction of the variance of BURST, FAST and FLICKER not shared by symbols; their ln|return| correlates by 0.45."""
FLICKER = 0.38
"""Standard deviation of log activity, drawn anew for each minute; it gives a kurtosis of 4 to 8 within an hour."""
LEVERAGE = -0.3
"""Correlation of a minute's return with MEDIUM's noise; measured -0.02 to -0.04 with ln|return| of the next hour."""

JUMPS_PER_DAY = 0.7
OWN_JUMPS = 0.3
"""Jumps per day, of the market and of a symbol; of 1 to 2 returns a day beyond 6 deviations, FLICKER makes half."""
JUMP_LEAST, JUMP_TAIL, JUMP_MOST = 4.0, 3.0, 30.0
"""Pareto distribution of jump sizes (local deviations). Measured: Hill's tail index 3 to 4 (minutes), median jump 7."""
JUMP_DOWN = 0.5
"""Fraction of jumps that go down; 0.36 to 0.49 is measured within a minute, but falls in crashes last longer."""
AFTERSHOCK, AFTERSHOCK_HALF_LIFE = 0.6, 7 * MINUTE
TREMOR, TREMOR_HALF_LIFE = 0.35, 90 * MINUTE
"""Log volatility that a jump adds: returns are 2.1 times as large right after it, 1.3 times after half an hour."""
MEAN_AFTERSHOCK = 0.07
"""Mean log volatility that aftershocks add over eight simulated years; `log_normalisation` subtracts it."""

HOUR_FACTORS = (1.04, 1.10, 0.96, 0.85, 0.81, 0.81, 0.84, 0.87, 0.92, 0.84, 0.83, 0.83,
         0.94, 1.19, 1.42, 1.33, 1.12, 1.20, 1.13, 1.08, 1.02, 1.04, 1.06, 0.81)  # fmt: skip
"""Volatility of each hour of the day (UTC) over the mean, from 27 months of three symbols; returns limited to 5σ."""
WEEKDAY_FACTORS = (1.17, 1.09, 1.07, 1.05, 1.08, 0.71, 0.84)
"""Volatility of each day of the week over the mean, from Monday on."""
QUARTER_FACTOR = 1.12
"""Volatility of the first minute of each quarter of an hour over the mean: many programs trade on the clock."""

PRICE_HALF_LIFE = 365 * DAY
"""Half-life (ms) of the distance from the first price; an assumption that keeps prices within bounds."""
INNER_DEVIATION = 0.86
"""Deviation within a minute over that of its return: range/|return| is 1.6 to 1.9 (Brownian motion: 2.0)."""

VOLUME_ON_VOLATILITY = 1.37
"""Slope of log volume on log volatility, for season and regimes (1.3 to 1.5 in regressions)."""
VOLUME_ON_FLICKER = 1.3
"""Slope of log volume on the minute's log activity: log volume then grows by 0.38 per deviation of |return|."""
VOLUME_BEYOND = 2.5
"""Return (local deviations) beyond which volume grows with the return: jumps trade ten times the median volume."""
VOLUME_NOISE = 0.30
SYMBOL_VOLUME = MeanReversion(0.42, 7 * MINUTE)
MARKET_VOLUME = MeanReversion(0.25, 12 * HOUR)
"""Log volume that activity does not explain: deviation 0.73; autocorrelation .45 at 1 min, .28 at 5 min, .10 at 4 h."""

TAKER_ON_RETURN, TAKER_NOISE = 0.36, 0.62
"""Log odds of a taker buy: slope on the return in local deviations (measured 0.39 to 0.54), noise (0.63 to 0.84)."""

SPREAD_ON_VOLATILITY = 0.6
"""Slope of log spread on log volatility; an assumption, because order books were recorded for minutes only."""
SPREAD = 0.00008
"""Spread over price of a symbol of medium liquidity in usual volatility; an assumption like SPREAD_ON_VOLATILITY."""
DEPTH = 2.0
"""Quantity within 0.2 % of the mid price on each side, over the minute's volume; an assumption, low for BTC."""

# Derivatives: five-minute metrics of 26 days of ETH, and one of SOL; slopes against the returns of 5 min to 1 d.
LONG_MEMORY, SHORT_MEMORY = 3 * DAY, 75 * MINUTE
"""Half-lives (ms) of two decaying sums of returns; positions follow the difference, so they react over hours."""
INTEREST_ON_TREND, INTEREST_AT_ONCE = 0.85, 0.12
"""Slope of log open interest on the log return, in the long run and immediately (measured .83 in 1 d, .12 in 5 min)."""
LIQUIDATED = 0.35
"""Log open interest removed by liquidations, per log return of five minutes beyond LIQUIDATION_FROM."""
LIQUIDATION_FROM = 4.0
"""Five-minute return, in usual deviations, beyond which liquidations begin."""
INTEREST = MeanReversion(0.02, DAY)
ACCOUNTS_ON_TREND, TOP_ACCOUNTS_ON_TREND = -8.0, -9.5
"""Slope of the log long/short ratio of accounts on the log return: most accounts sell into strength."""
ACCOUNTS = MeanReversion(0.08, DAY)
TOP_ACCOUNTS = MeanReversion(0.10, DAY)
TOP_POSITIONS = MeanReversion(0.08, 2 * DAY)
RATIO_LEVELS = (1.50, 1.13, 1.65)
"""Medians of the ratios: top accounts, top positions, all accounts."""
RATIO_WIDEST = 1.2
"""Largest distance of a ratio from its median, as a natural logarithm."""

FUNDING_SCORES = (-2.326, -1.645, -1.282, -0.674, 0.0, 0.253, 0.772, 1.175, 1.282, 1.645, 2.326, 3.5)
"""Scores of a standard normal distribution at 1, 5, 10, 25, 50, 60, 78, 88, 90, 95 and 99 %, and the upper end."""
FUNDING_BP = (-0.65, -0.19, 0.0, 0.31, 0.84, 1.0, 1.0, 1.0, 1.07, 2.3, 4.9, 10.0)
"""Funding rates (bp per 8 h) of BTC and ETH at the quantiles of FUNDING_SCORES in 32 months; one in three is 1.0."""
FUNDING_BP_LATER = (-2.3, -1.28, -0.88, -0.39, 0.21, 0.43, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0)
"""Funding rates (bp per 8 h) of SOL at the quantiles of FUNDING_SCORES in seven months; used for all other symbols."""
FUNDING_LEVEL = MeanReversion(0.80, 15 * DAY)
FUNDING_ON_TREND = 0.45
"""Deviations of the funding score per usual deviation of the trend. The remaining part is independent noise."""
FUNDING_EVERY = 8 * HOUR
METRICS_EVERY = 5 * MINUTE


class SymbolModel(NamedTuple):
    """The parameters that differ from symbol to symbol."""

    price: float
    """First price, in quote currency."""
    decimals: int
    """Decimals of prices."""
    lot_decimals: int
    """Decimals of volumes."""
    volatility: float
    """Annual long-run standard deviation of log returns, from hourly candles of 27 months."""
    load: float
    """Correlation with the market; two symbols correlate by the product of their loads (0.75 to 0.77 at 1 min)."""
    turnover: float
    """Quote currency traded in a usual minute."""
    interest: float
    """Open interest, in quote currency."""
    spread: float
    """Spread over price in usual volatility."""
    funding: tuple[float, ...]


_KNOWN = {
    "BTCUSDT": SymbolModel(90_000.0, 1, 3, 0.47, 0.90, 8e6, 8e9, 0.00001, FUNDING_BP),
    "ETHUSDT": SymbolModel(3_000.0, 2, 3, 0.66, 0.925, 5e6, 5e9, 0.00001, FUNDING_BP),
    "SOLUSDT": SymbolModel(130.0, 2, 2, 0.90, 0.895, 1.7e6, 9e8, 0.00008, FUNDING_BP_LATER),
}
"""Fitted symbols: volatility from 1h candles; load and turnover from 1m candles of 2025 and 2026."""

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
"""First price, decimals of prices and decimals of volumes, for other well-known symbols."""


def symbol_model(symbol: str) -> SymbolModel:
    """Return the parameters of a symbol; those of an unknown symbol derive from its name, within the measured range."""
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    digest = hashlib.sha256(symbol.encode()).digest()
    shares = [int.from_bytes(digest[place : place + 4]) / 2**32 for place in range(0, 20, 4)]
    price = float(f"{10 ** (3 * shares[0] - 1):.3g}")
    magnitude = math.floor(math.log10(price))
    price, decimals, lot_decimals = _LEVELS.get(symbol, (price, 4 - magnitude, max(0, magnitude)))
    turnover = 10 ** (4.7 + 0.7 * shares[1])
    return SymbolModel(
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
