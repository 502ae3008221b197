"""The results of the tools about derivatives, regimes and reports from outside, as types."""

from pydantic import BaseModel

from ocw_mcp.interfaces.mcp.results import Quantity, Readings, Result, Time


class DerivativesOut(BaseModel):
    """The derivatives readings of a symbol."""

    readings: Readings
    parts: dict[str, float]
    """What each known component adds to the reading `composite`."""
    extremes: list[str]
    """The names of the readings that are extreme."""
    next_funding: Time | None
    as_of: Time | None
    """The time of the newest row of metrics; null if the market has reported none."""


class DerivativesResult(Result):
    """The derivatives readings by symbol; an unknown value is null, and `unknown` has the reasons."""

    symbols: dict[str, DerivativesOut]
    unknown: dict[str, str]


class RegimeOut(BaseModel):
    """The volatility regime at the last daily close."""

    level: str
    as_of: Time
    since: Time
    probabilities: dict[str, float]
    """By level. They are those of the close, while `level` waits for a confirmation before it falls."""
    expected_days: float | None
    """The days until the market is expected to leave the level; null if it never is."""
    volatility: float
    """The realised volatility of 14 days, as a share a year."""
    fitted: Time
    """The last close from which the model was fitted."""


class SeriesOut(BaseModel):
    """The newest published value of a series, in the unit of its source."""

    name: str
    value: float
    date: str
    change: float | None


class MacroOut(BaseModel):
    """The macro regime as published; above 0 growth or inflation rises."""

    quadrant: str
    growth: float
    inflation: float
    as_of: Time
    stale: bool
    series: list[SeriesOut]


class RegimeResult(Result):
    """The regimes, null if unknown; `scale` is the product of `factors`, at most 1, on size limits."""

    regime: RegimeOut | None
    macro: MacroOut | None
    scale: Quantity
    factors: dict[str, Quantity]
    unknown: dict[str, str]


class ContextOut(BaseModel):
    """A report of a source outside of the exchange: a value, or a text by others."""

    source: str
    name: str
    value: float | None
    unit: str
    as_of: Time | None
    """The time of the value, as the source states it."""
    read: Time
    stale: bool
    untrusted_text: str | None


class ContextResult(Result):
    """What sources outside of the exchange reported; empty if none is configured or none has answered."""

    items: list[ContextOut]
    truncated: int
    """The number of texts left out for length."""


class WeightsResult(Result):
    """What was learned from closed trades, and the parameters of the rules."""

    mode: str
    regime: str
    trades: int
    decisions: int
    """HOLDs, refusals and exits that count as evidence of the signals."""
    excluded: dict[str, int]
    columns: list[str]
    """Of a row of `signals` and of `groups`: reliability `p` in the regime, its 90 % interval, evidence, and a draw."""
    signals: list[list[str | float]]
    groups: list[list[str | float]]
    meanings: dict[str, str]
    """By signal, the meaning of a value above 0."""
    size: dict[str, float]
    choices: dict[str, dict[str, float]]
    """Of each meta-parameter the value to `try`, the `best` so far, and the evidence `n`."""
    exits: dict[str, float]
    """The mean result in R of holding on longer."""
    claim_columns: list[str]
    claims: list[list[str | float]]
    """The signals that deciders named in closed trades, and how often these were right. They change no posterior."""
    rules: dict[str, str]
