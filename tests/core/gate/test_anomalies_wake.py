"""The outlier test of anomalies: the least quantile, the quiet time, and the gate that wakes."""

from ocw_mcp.core.gate.anomalies import AnomalyOutliers
from ocw_mcp.core.gate.gate import Gate, GateState
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown

QUIET = 6 * HOUR
POLICY = GatePolicy(
    anomaly=0.99, outlier_reading_quiet_s=QUIET // 1_000, outlier_sigmas={}, outlier_moves={}, cooldown_s=0
)


def unusual(at: int, quantile: float = 0.995) -> AnomalyReading:
    return AnomalyReading(at, 9.0, quantile, (("volume", 0.8), ("return", 0.25), ("range", -0.05)))


def evaluate(gate: Gate, hour: int, anomaly: AnomalyReading | None) -> list[str]:
    """The reasons of the wake at the close of an hour."""
    gate.evaluate(
        "BTCUSDT",
        100.0,
        (HOUR,),
        at=hour * HOUR,
        close_time=hour * HOUR,
        read=lambda symbol, metric: Unknown("none"),
        in_position=False,
        anomaly=anomaly,
    )
    return [str(reason) for wake in gate.wake(hour * HOUR, busy=False) for reason in wake.reasons]


def test_unusual_hour_wakes_once_in_the_quiet_time() -> None:
    outliers = AnomalyOutliers(POLICY)
    fired = [
        hour for hour in range(1, 30) if hour not in range(5, 20) and outliers.evaluate(unusual(hour), hour * HOUR)
    ]
    assert fired == [1, 20]


def test_quantile_below_the_policy_or_a_policy_of_1_reports_nothing() -> None:
    assert AnomalyOutliers(POLICY).evaluate(unusual(1, 0.985), HOUR) == []
    assert AnomalyOutliers(POLICY.model_copy(update={"anomaly": 1.0})).evaluate(unusual(1, 0.995), HOUR) == []


def test_gate_wakes_with_the_features_of_the_hour_also_after_a_restart() -> None:
    gate = Gate(POLICY, HOUR, ("BTCUSDT",))
    assert evaluate(gate, 1, None) == []
    assert evaluate(gate, 2, unusual(2)) == ["outlier:anomaly +0.995 volume 80%, return 25%"]
    restored = Gate(POLICY, HOUR, ("BTCUSDT",))
    restored.restore(gate.state())
    assert isinstance(restored.state(), GateState)
    assert evaluate(restored, 3, unusual(3)) == []
