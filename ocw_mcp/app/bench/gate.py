"""The duration of one gate evaluation."""

from typing import Any, Final

from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.runtime.clock import SimulatedClock

EVALUATIONS: Final = 50_000


def measure() -> dict[str, Any]:
    """Return the microseconds per gate evaluation in a calm market whose price still changes."""
    clock = SimulatedClock()
    gate = Gate(load_policies(None).policies.gate, MINUTE, ("BTCUSDT",))
    closes = [100.0 + (index * 7919 % 101) / 1_000 for index in range(EVALUATIONS)]
    started = clock.wall_ms()
    for index, close in enumerate(closes):
        gate.evaluate(
            "BTCUSDT", close, (MINUTE,), at=index * MINUTE, read=_unknown, after_hole=False, in_position=False
        )
        gate.wake(index * MINUTE, busy=False)
    return {"looks": EVALUATIONS, "us_per_look": round((clock.wall_ms() - started) * 1_000 / EVALUATIONS, 3)}


def _unknown(symbol: str, metric: str) -> Reading:
    return Unknown("not measured here")
