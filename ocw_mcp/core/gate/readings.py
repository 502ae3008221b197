"""The outlier test of derivatives readings: each of `EXTREMES`, and the forced liquidations of five minutes.

A reading is reported when it reaches its size, and again when it has grown by a step; a size that was reached in the
quiet time is not reported again.
"""

import math

from ocw_mcp.core.gate.conditions import Read
from ocw_mcp.core.gate.levels import Reached, reports_level
from ocw_mcp.domain.extremes import EXTREMES
from ocw_mcp.domain.metrics import LIQUIDATIONS
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Reading, Unknown

_WITH_CANDLES = (LIQUIDATIONS, "liquidations_1h")
"""Readings that are tested at the close of a candle whose liquidations are known."""


class ReadingOutliers:
    """Finds the derivatives readings of one symbol to report. A reading is tested when new data of the symbol came."""

    def __init__(self, policy: GatePolicy) -> None:
        self._sizes = policy.outlier_readings
        self._metrics = tuple(metric for metric in self._sizes if metric not in _WITH_CANDLES)
        self._log_step = math.log(policy.outlier_reading_step)
        self._quiet = policy.outlier_reading_quiet_s * SECOND
        self._reached: Reached = {}
        self.restore({})

    def evaluate(self, symbol: str, read: Read, at: int) -> list[WakeReason]:
        """Return a wake reason for each metric whose size is new at `at` (ms). An unknown metric gives none."""
        return [reason for metric in self._metrics if (reason := self._test(metric, read(symbol, metric), at))]

    def evaluate_liquidations(self, symbol: str, value: Reading, read: Read, at: int) -> list[WakeReason]:
        """Return the wake reasons of new sizes of liquidations at `at` (ms); `value` is the reading of five minutes."""
        found = [self._test(LIQUIDATIONS, value, at)] if LIQUIDATIONS in self._sizes else []
        if "liquidations_1h" in self._sizes:
            found.append(self._test("liquidations_1h", read(symbol, "liquidations_1h"), at))
        return [reason for reason in found if reason is not None]

    def _test(self, name: str, value: Reading, at: int) -> WakeReason | None:
        """Return the wake reason of a reading if its size is new at `at` (ms)."""
        if isinstance(value, Unknown):
            return None
        neutral = EXTREMES[name].neutral if name in EXTREMES else 0.0
        bases = (value - neutral) / self._sizes[name]
        if abs(bases) < 1 or not reports_level(self._reached, name, bases, self._log_step, self._quiet, at):
            return None
        return WakeReason(WakeKind.OUTLIER, name, _detail(name, value, value - neutral))

    def state(self) -> Reached:
        """Return all that must survive a restart."""
        return self._reached

    def restore(self, state: Reached, /) -> None:
        """Restore a state that `state` returned; readings that a changed policy adds begin without levels."""
        self._reached = {metric: state.get(metric, ([], [])) for metric in self._sizes}


def _detail(name: str, value: float, size: float) -> str:
    """Return the size of a reading as text; its sign is the direction of the outlier."""
    match name:
        case "liquidations":
            return f"{100 * value:+.3g} % of 1h volume, {'longs' if value > 0 else 'shorts'}"
        case "liquidations_1h":
            return f"{value / 1e6:+.3g} M in quote currency"
        case _:
            return f"{size:+.3g}" if size == value else f"{size:+.3g} from {value - size:g}, now {value:.3g}"
