"""The outlier test of the anomaly of a symbol: an hour that is unusual in several features together."""

from ocw_mcp.core.gate.levels import Reached
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND

ANOMALY = "anomaly"
"""The subject of the wake reason."""


class AnomalyOutliers:
    """Finds the unusual hours of one symbol to report: at most one in the quiet time."""

    def __init__(self, policy: GatePolicy) -> None:
        self._least = policy.anomaly
        self._quiet = policy.outlier_reading_quiet_s * SECOND
        self._reached: Reached = {}

    def evaluate(self, reading: AnomalyReading, at: int) -> list[WakeReason]:
        """Return the wake reason of an hour whose quantile is reached at `at` (ms), unless one came a short time ago.

        An hour in the quiet time extends it.
        """
        if self._least >= 1 or reading.quantile < self._least:
            return []
        _, times = self._reached.setdefault(ANOMALY, ([], []))
        fires = not times or at - times[0] > self._quiet
        times[:] = [at]
        drivers = ", ".join(f"{name} {share:.0%}" for name, share in reading.drivers[:2])
        return [WakeReason(WakeKind.OUTLIER, ANOMALY, f"+{reading.quantile:.3g} {drivers}")] if fires else []

    def state(self) -> Reached:
        """Return all that must survive a restart."""
        return self._reached

    def restore(self, state: Reached, /) -> None:
        """Restore a state that `state` returned."""
        self._reached = state
