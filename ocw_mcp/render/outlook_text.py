"""The readings of the whole market and the anomaly of a symbol as lines for a model."""

from collections.abc import Mapping
from typing import Final

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.regime import RegimeReading
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.time import DAY, utc_day
from ocw_mcp.domain.unknown import Unknown

ANOMALY_SHOWN: Final = 0.9
"""The quantile from which an anomaly is shown."""


def regime_name(snapshot: Snapshot) -> str:
    """Return the level of the regime, or `unknown`."""
    return "unknown" if isinstance(snapshot.regime, Unknown) else snapshot.regime.level.value


def macro_name(snapshot: Snapshot) -> str:
    """Return the quadrant of the macro regime, or `unknown`."""
    return "unknown" if isinstance(snapshot.macro, Unknown) else snapshot.macro.quadrant.value


def regime_line(snapshot: Snapshot) -> str:
    """Return the regime with its probability, beginning and expected end; empty if it is unknown."""
    regime = snapshot.regime
    if isinstance(regime, Unknown):
        return ""
    more = "" if regime.expected_days is None else f", expected {regime.expected_days:.0f} days more"
    return (
        f"regime {regime.level} ({100 * regime.probability:.0f} %) since {utc_day(regime.since)}{more}; "
        f"volatility of 14 days {100 * regime.volatility:.0f} % a year"
    )


def model_line(regime: RegimeReading, now: int) -> str:
    """Return the probabilities of the levels, and the age of their model at `now` (ms)."""
    levels = ", ".join(f"{level} {100 * share:.1f} %" for level, share in regime.by_level.items())
    age = (now - regime.fitted_at) // DAY
    return (
        f"at the daily close of {utc_day(regime.at - 1)}: probabilities {levels}; "
        f"model of {regime.states} states, fitted {age} days ago"
    )


def scale_text(snapshot: Snapshot, factors: Mapping[str, object]) -> str:
    """Return the factor on size limits with its parts; `factors` are those of `regime` and `macro`, if known."""
    names = {"regime": regime_name(snapshot), "macro": macro_name(snapshot)}
    parts = [
        f"{name} {mood}{'' if (factor := factors.get(name)) is None else f' ×{factor}'}" for name, mood in names.items()
    ]
    return f"size limits ×{plain(snapshot.scale)} ({', '.join(parts)})"


def anomaly_line(view: SymbolView) -> str:
    """Return an unusual last hour with the features that make it unusual; empty if it is usual, or unknown."""
    anomaly = view.anomaly
    if isinstance(anomaly, Unknown) or anomaly.quantile < ANOMALY_SHOWN:
        return ""
    drivers = ", ".join(f"{name} {100 * share:.0f} %" for name, share in anomaly.drivers[:3] if share > 0)
    return f"anomaly: the last hour is more unusual than {100 * anomaly.quantile:.1f} % of those before ({drivers})"
