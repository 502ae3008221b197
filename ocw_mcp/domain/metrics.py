"""The metrics of a symbol: one name for a reading in snapshots, tools and wake conditions.

A metric is a plain name (`price`, `return_4h`, `funding_8h`), or an indicator at the closed candles of a timeframe
(`rsi_14@1h`; the schema of a condition has the two as `metric` and `timeframe`). Returns, rates and changes are shares;
prices and indicators in price units are in quote currency.
"""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from ocw_mcp.domain.unknown import Unknown

RETURNS: Final = ("return_1h", "return_4h", "return_24h")
DERIVATIVES: Final = (
    *("composite", "funding_8h", "open_interest_change_24h", "taker_ratio_1h", "long_short", "long_short_z"),
    *("basis", "liquidations_1h"),
)
LIQUIDATIONS: Final = "liquidations"
"""The reading of forced liquidations, which only the gate uses: it is no metric of wake conditions."""
PLAIN: Final = ("price", *RETURNS, *DERIVATIVES)
"""The metrics without a timeframe."""
INDICATORS: Final = (
    *("close", "ema_9", "ema_21", "ema_50", "rsi_14", "atr_14", "adx_14", "rsi_7", "stoch_rsi_k", "stoch_rsi_d"),
    *("macd", "macd_signal", "macd_histogram", "percent_b", "bandwidth", "vwap_deviation", "mfi_14", "obv_change_14"),
    *("obv_divergence_14", "supertrend", "supertrend_direction"),
)
"""The metrics on a timeframe, which is named after an `@`."""
TIMEFRAMES: Final = ("15m", "1h", "4h")
"""The timeframes that have indicators, if base candles are not longer."""
_OTHER_NAMES: Final = {
    "last": "price",
    "lastprice": "price",
    "funding": "funding_8h",
    "fundingrate": "funding_8h",
    **{f"ret{span}": f"return_{span}" for span in ("1h", "4h", "24h")},
    **{f"returns{span}": f"return_{span}" for span in ("1h", "4h", "24h")},
    "openinterest": "open_interest_change_24h",
    "takerratio": "taker_ratio_1h",
    "longshortz": "long_short_z",
    "perpspotbasis": "basis",
    "atr": "atr_14",
    "adx": "adx_14",
    "mfi": "mfi_14",
    "hist": "macd_histogram",
    "macdhist": "macd_histogram",
    "stochk": "stoch_rsi_k",
    "stochd": "stoch_rsi_d",
    "pctb": "percent_b",
    "bollinger": "percent_b",
}
"""Other spellings, without punctuation: each means one metric only."""
_NAMES: Final = {re.sub("[^a-z0-9]", "", each): each for each in (*PLAIN, *INDICATORS)} | _OTHER_NAMES
_NEAREST: Final = 3


def is_metric(text: str) -> bool:
    """Return whether a text is the exact name of a metric."""
    name, at, timeframe = text.partition("@")
    return name in INDICATORS and timeframe in TIMEFRAMES if at else name in PLAIN


def spelt_metric(text: str) -> str:
    """Return the metric that a text names in an obvious spelling: `rsi14@1h` is `rsi_14@1h`; otherwise the text."""
    name, _, timeframe = text.strip().lower().partition("@")
    known = _NAMES.get("percentb" if name.strip() == "%b" else re.sub("[^a-z0-9]", "", name))
    timeframe = re.sub("[^a-z0-9]", "", timeframe)
    if known in PLAIN and not timeframe:
        return known
    return f"{known}@{timeframe}" if known in INDICATORS and timeframe in TIMEFRAMES else text


def metric_on(name: str, timeframe: str) -> str:
    """Return the metric of a name and a timeframe, both in an obvious spelling: `rsi_14` on `1h` is `rsi_14@1h`.

    The name may have the same timeframe. A name with another one gives no metric, nor does `price` with a timeframe.
    """
    timeframe = timeframe.strip().lower()
    has_it = not timeframe or spelt_metric(name).endswith(f"@{timeframe}")
    return spelt_metric(name if has_it else f"{name}@{timeframe}")


def no_metric(text: str, timeframes: Iterable[str] = TIMEFRAMES) -> Unknown:
    """Return why a text is no metric, with the nearest ones on these timeframes."""
    shown, there = text[:40], tuple(timeframes)
    wrong = "not kept here" if is_metric(text) else "no metric"
    return Unknown(f"{shown!r} is {wrong}; nearest: {', '.join(_near(shown, there) if there else PLAIN)}")


def _near(text: str, timeframes: Collection[str]) -> list[str]:
    """Return the metrics that a text may mean: those that contain its name, or else those with similar names."""
    name, _, timeframe = text.strip().lower().partition("@")
    squashed = re.sub("[^a-z0-9]", "", name)
    begins = [each for each in (*PLAIN, *INDICATORS) if squashed and squashed[:4] in each.replace("_", "")]
    close = get_close_matches(squashed, _NAMES, _NEAREST, 0.5)
    names = list(dict.fromkeys([*(_NAMES[each] for each in close), *begins])) or ["price", "rsi_14"]
    spans = [timeframe] if timeframe in timeframes else list(timeframes)
    found = [names[0]] if names[0] in PLAIN else [f"{names[0]}@{each}" for each in spans]
    found += [each if each in PLAIN else f"{each}@{spans[0]}" for each in names[1:]]
    return found[: _NEAREST + 1]
