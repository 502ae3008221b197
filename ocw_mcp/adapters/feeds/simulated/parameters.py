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
"""The logarithm of volatility that the calm, the normal and the stormy regime add."""
REGIME_DURATIONS = (10 * DAY, 7 * DAY, 5 * DAY)
"""The mean duration (ms) of each regime."""
REGIME_TRANSITIONS = ((0.0, 0.9, 0.1), (0.65, 0.0, 0.35), (0.25, 0.75, 0.0))
"""Per ending regime, the probability of each regime that may follow it."""
OWN = 0.3
"""The part of the variance of BURST, FAST and FLICKER that each symbol has of its own."""
# With it the ln|return| of two symbols correlates by 0.45.
FLICKER = 0.38
"""The standard deviation of the volatility's logarithm that is drawn anew for each minute."""
# It gives returns within an hour a kurtosis of 4 to 8.
LEVERAGE = -0.3
"""The correlation of a minute's return with the noise of MEDIUM: volatility rises when prices fall."""
# Measured: -0.02 to -0.04 between a return and ln|return| of the next hour.

JUMPS_PER_DAY = 0.7
OWN_JUMPS = 0.3
"""The number of price jumps a day: those of the whole market, and those of one symbol."""
# Measured: 1 to 2 returns a day beyond 6 deviations. FLICKER alone makes half of them.
JUMP_LEAST, JUMP_TAIL, JUMP_MOST = 4.0, 3.0, 30.0
"""The Pareto distribution of jump sizes: smallest size, tail index, largest size, in deviations of a minute."""
# Measured on minutes: Hill's tail index 3 to 4, median jump 7.
JUMP_DOWN = 0.5
"""The share of jumps that go down."""
# Measured within a minute: 0.36 to 0.49; falls in crashes last longer.
AFTERSHOCK, AFTERSHOCK_HALF_LIFE = 0.6, 7 * MINUTE
TREMOR, TREMOR_HALF_LIFE = 0.35, 90 * MINUTE
"""The logarithm of volatility that a jump adds, and its half-life (ms): a short part and a long part."""
# Measured: returns are 2.1 times as large right after a jump, and 1.3 times after half an hour.
MEAN_AFTERSHOCK = 0.07
"""The mean logarithm of volatility that jumps add in eight simulated years; `log_normalisation` subtracts it."""

HOUR_FACTORS = (1.04, 1.10, 0.96, 0.85, 0.81, 0.81, 0.84, 0.87, 0.92, 0.84, 0.83, 0.83,
         0.94, 1.19, 1.42, 1.33, 1.12, 1.20, 1.13, 1.08, 1.02, 1.04, 1.06, 0.81)  # fmt: skip
"""The volatility of each hour of the day (UTC), divided by its mean."""
# From 27 months of three symbols, with returns limited to 5 standard deviations.
WEEKDAY_FACTORS = (1.17, 1.09, 1.07, 1.05, 1.08, 0.71, 0.84)
"""The volatility of each day of the week, divided by its mean; Monday is the first."""
QUARTER_FACTOR = 1.12
"""The volatility of the first minute of each quarter of an hour, divided by the mean of all minutes."""

PRICE_HALF_LIFE = 365 * DAY
"""The time (ms) in which half of a price's distance from its first price decays; assumed, to keep prices bounded."""
INNER_DEVIATION = 0.86
"""The standard deviation of the price path within a minute, divided by that of the minute's return."""
# Measured: the range of a minute is 1.6 to 1.9 times its |return|; for a Brownian motion it is 2.0.

VOLUME_ON_VOLATILITY = 1.37
"""The growth of the logarithm of volume per logarithm of volatility, for season and regimes."""
# Regressions give 1.3 to 1.5.
VOLUME_ON_FLICKER = 1.3
"""The growth of the logarithm of a minute's volume per logarithm of its FLICKER."""
# With it the logarithm of volume grows by 0.38 per standard deviation of |return|.
VOLUME_BEYOND = 2.5
"""The return, in standard deviations of a minute, beyond which volume grows with the return."""
# Measured: ten times the median volume is traded in a jump.
VOLUME_NOISE = 0.30
SYMBOL_VOLUME = MeanReversion(0.42, 7 * MINUTE)
MARKET_VOLUME = MeanReversion(0.25, 12 * HOUR)
"""The logarithm of volume that volatility does not explain: of one symbol, and of the whole market."""
# Measured: deviation 0.73; autocorrelation .45 at 1 min, .28 at 5 min, .10 at 4 h.

TAKER_ON_RETURN, TAKER_NOISE = 0.36, 0.62
"""The logarithm of taker buy volume over taker sell volume: its growth per standard deviation of return, its noise."""
# Measured: 0.39 to 0.54, and 0.63 to 0.84.

SPREAD_ON_VOLATILITY = 0.6
"""The growth of the logarithm of the spread per logarithm of volatility; assumed."""
SPREAD = 0.00008
"""The spread of a symbol of medium liquidity in usual volatility, as a share of its price; assumed."""
DEPTH = 2.0
"""The quantity offered within 0.2 % of the mid price, divided by the minute's volume; assumed, and low for BTC."""

# Derivatives: five-minute metrics of 26 days of ETH, and one of SOL; slopes against the returns of 5 min to 1 d.
LONG_MEMORY, SHORT_MEMORY = 3 * DAY, 75 * MINUTE
"""The half-lives (ms) of two decaying sums of returns. Open interest and ratios follow their difference."""
INTEREST_ON_TREND, INTEREST_AT_ONCE = 0.85, 0.12
"""The growth of the logarithm of open interest per log return: in the long run, and immediately."""
# Measured: .83 in a day, and .12 in five minutes.
LIQUIDATED = 0.35
"""The logarithm of open interest that liquidations remove, per log return of five minutes beyond LIQUIDATION_FROM."""
LIQUIDATION_FROM = 4.0
"""The return of five minutes beyond which positions are liquidated, in its usual standard deviations."""
INTEREST = MeanReversion(0.02, DAY)
ACCOUNTS_ON_TREND, TOP_ACCOUNTS_ON_TREND = -8.0, -9.5
"""The growth of the logarithm of the accounts' long/short ratio per log return: most accounts sell a rising price."""
ACCOUNTS = MeanReversion(0.08, DAY)
TOP_ACCOUNTS = MeanReversion(0.10, DAY)
TOP_POSITIONS = MeanReversion(0.08, 2 * DAY)
RATIO_LEVELS = (1.50, 1.13, 1.65)
"""The median long/short ratios of the top traders' accounts, of their positions, and of all accounts."""
RATIO_WIDEST = 1.2
"""The largest distance of the logarithm of a long/short ratio from that of its median."""

FUNDING_SCORES = (-2.326, -1.645, -1.282, -0.674, 0.0, 0.253, 0.772, 1.175, 1.282, 1.645, 2.326, 3.5)
"""Scores of a standard normal distribution at 1, 5, 10, 25, 50, 60, 78, 88, 90, 95 and 99 %, and the upper end."""
FUNDING_BP = (-0.65, -0.19, 0.0, 0.31, 0.84, 1.0, 1.0, 1.0, 1.07, 2.3, 4.9, 10.0)
"""Funding rates (bp per 8 h) of BTC and ETH at the quantiles of FUNDING_SCORES in 32 months; one in three is 1.0."""
FUNDING_BP_LATER = (-2.3, -1.28, -0.88, -0.39, 0.21, 0.43, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0)
"""Funding rates (bp per 8 h) of SOL at the quantiles of FUNDING_SCORES in seven months; used for all other symbols."""
FUNDING_LEVEL = MeanReversion(0.80, 15 * DAY)
FUNDING_ON_TREND = 0.45
"""The correlation of the funding score with the price trend."""
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
    """The annual standard deviation of log returns."""
    load: float
    """The correlation of the symbol's returns with those of the whole market."""
    turnover: float
    """Quote currency traded in a usual minute."""
    interest: float
    """Open interest, in quote currency."""
    spread: float
    """The spread in usual volatility, as a share of the price."""
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
