"""The outlier test of derivatives readings: the funding rate, the change of open interest, forced liquidations."""

import math

from ocw_mcp.core.gate.conditions import Read
from ocw_mcp.core.gate.levels import Reached, reports_level
from ocw_mcp.domain.metrics import LIQUIDATIONS
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Reading, Unknown


class ReadingOutliers:
    """Finds the derivatives readings of one symbol to report. A reading is tested when new data of the symbol came."""

    def __init__(self, policy: GatePolicy) -> None:
        self._sizes = policy.outlier_readings
        self._metrics = tuple(metric for metric in self._sizes if metric != LIQUIDATIONS)
        self._log_step = math.log(policy.outlier_reading_step)
        self._quiet = policy.outlier_reading_quiet_s * SECOND
        self._reached: Reached = {}
        self.restore({})

    def evaluate(self, symbol: str, read: Read, at: int) -> list[WakeReason]:
        """Return a wake reason for each metric whose size is new at `at` (ms). An unknown metric gives none."""
        found: list[WakeReason] = []
        for metric in self._metrics:
            value = read(symbol, metric)
            if not isinstance(value, Unknown) and self._is_new(metric, value, at):
                found.append(WakeReason(WakeKind.OUTLIER, metric, f"{value:+.3g}"))
        return found

    def evaluate_liquidations(self, value: Reading, at: int) -> list[WakeReason]:
        """Return a wake reason if the reading of liquidations has a new size at `at` (ms), with size and side."""
        if isinstance(value, Unknown) or LIQUIDATIONS not in self._sizes or not self._is_new(LIQUIDATIONS, value, at):
            return []
        detail = f"{100 * value:+.3g} % of 1h volume, {'longs' if value > 0 else 'shorts'}"
        return [WakeReason(WakeKind.OUTLIER, LIQUIDATIONS, detail)]

    def _is_new(self, name: str, value: float, at: int) -> bool:
        bases = value / self._sizes[name]
        return abs(bases) >= 1 and reports_level(self._reached, name, bases, self._log_step, self._quiet, at)

    def state(self) -> Reached:
        """Return all that must survive a restart."""
        return self._reached

    def restore(self, state: Reached, /) -> None:
        """Restore a state that `state` returned; readings that a changed policy adds begin without levels."""
        self._reached = {metric: state.get(metric, ([], [])) for metric in self._sizes}
