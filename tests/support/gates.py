"""A gate over three symbols, with a policy of its own."""

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Reading

BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
SYMBOLS = (BTC, ETH, SOL)
POLICY = GatePolicy(
    close_wakes=("4h",),
    close_wakes_in_position=("1h",),
    timer_min_s=60,
    timer_max_s=7_200,
    outlier_sigmas={},
    outlier_moves={"1m": 0.05},
    outlier_readings={},
    anchor=0.9,
    cooldown_s=120,
    condition_max_s=604_800,
)
KEPT = 16
T0 = 1_767_225_600_000


def with_policy(**changes: object) -> GatePolicy:
    return GatePolicy.model_validate(POLICY.model_dump() | changes)


def gate_of(interval: int = MINUTE, **changes: object) -> Gate:
    return Gate(with_policy(**changes), interval, SYMBOLS)


def unread(symbol: str, metric: str) -> Reading:
    raise AssertionError("nothing is read without a condition")
