"""The outlier test of derivatives readings, such as the funding rate and the change of open interest."""

import math

from ocw_mcp.core.gate.conditions import Read
from ocw_mcp.core.gate.levels import Reached, reports_level
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown


class ReadingOutliers:
    """Finds the derivatives readings of one symbol to report. A reading is tested when new data of the symbol came."""

    def __init__(self, policy: GatePolicy) -> None:
        self._sizes = policy.outlier_readings
        self._log_step = math.log(policy.outlier_reading_step)
        self._quiet = policy.outlier_reading_quiet_s * SECOND
        self._reached: Reached = {}
        self.restore({})

    def evaluate(self, symbol: str, read: Read, at: int) -> list[WakeReason]:
        """Return a wake reason for each reading whose size is new at `at` (ms). An unknown reading gives none."""
        found = list[WakeReason]()
        for metric, size in self._sizes.items():
            value = read(symbol, metric)
            if isinstance(value, Unknown) or abs(value) < size:
                continue
            if reports_level(self._reached, metric, value / size, self._log_step, self._quiet, at):
                found.append(WakeReason(WakeKind.OUTLIER, metric, f"{value:+.3g}"))
        return found

    def state(self) -> Reached:
        """Return all that must survive a restart."""
        return self._reached

    def restore(self, state: Reached, /) -> None:
        """Restore a state that `state` returned; readings that a changed policy adds begin without levels."""
        self._reached = {metric: state.get(metric, ([], [])) for metric in self._sizes}
