"""The readings of the whole market and the anomaly of a symbol as lines for a model."""

from typing import Final

from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.time import utc_day
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
    lasting = "" if regime.expected_days is None else f", expected to last {regime.expected_days:.0f} days"
    return (
        f"regime of volatility at the last daily close: {regime.level} (probability {regime.probability:.0%}) since "
        f"{utc_day(regime.since)}{lasting}, volatility of 14 days {regime.volatility:.0%} a year"
    )


def anomaly_line(view: SymbolView) -> str:
    """Return an unusual last hour with the features that make it unusual; empty if it is usual, or unknown."""
    anomaly = view.anomaly
    if isinstance(anomaly, Unknown) or anomaly.quantile < ANOMALY_SHOWN:
        return ""
    drivers = ", ".join(f"{name} {share:.0%}" for name, share in anomaly.drivers[:3] if share > 0)
    return f"anomaly: the last hour is more unusual than {anomaly.quantile:.1%} of those before ({drivers})"
