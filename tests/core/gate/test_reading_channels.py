"""The channels of the gate for the extreme derivatives readings, with the sizes of the shipped policies."""

import pytest

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.extremes import EXTREMES, WAKE_SIZES
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown
from tests.support.wakes import texts

BTC, T0 = "BTCUSDT", 1_767_225_600_000


def woken(metric: str, values: list[float | None], step: int = HOUR) -> list[tuple[int, str]]:
    """Return place and text of each wake by a series of one reading; all other readings are unknown."""
    gate, found = Gate(GatePolicy(cooldown_s=0, timer_max_s=86_400), MINUTE, (BTC,)), list[tuple[int, str]]()
    for place, value in enumerate(values):

        def read(_symbol: str, name: str, now: float | None = value) -> Reading:
            return Unknown("not reported") if name != metric or now is None else now

        at = T0 + place * step
        gate.note_readings(BTC)
        gate.evaluate(
            BTC, 100.0, (), at=at, close_time=at, read=read, in_position=False, liquidations=Unknown("not known")
        )
        reasons = [text for wake in gate.wake(at, busy=False) if wake.symbol for text in texts(wake)]
        found += [(place, text) for text in reasons]
    return found


@pytest.mark.parametrize("metric", EXTREMES)
def test_extreme_reading_wakes_once_and_again_when_grown(metric: str) -> None:
    neutral, size = EXTREMES[metric].neutral, WAKE_SIZES[metric]
    sizes = [0.9, 1.01, 1.2, None, 1.4, 1.01, 0.2, 1.1, 1.55, 1.6]
    found = woken(metric, [None if each is None else neutral + each * size for each in sizes])
    assert [place for place, _ in found] == [1, 8]
    assert all(text.startswith(f"outlier:{metric} +") for _, text in found)


@pytest.mark.parametrize("metric", [each for each in EXTREMES if each != "liquidations_1h"])
def test_extreme_reading_of_the_other_sign_is_another_event(metric: str) -> None:
    neutral, size = EXTREMES[metric].neutral, WAKE_SIZES[metric]
    assert [place for place, _ in woken(metric, [neutral + size * 1.1, neutral - size * 1.1])] == [0, 1]


def test_taker_ratio_wakes_by_its_distance_from_one() -> None:
    assert woken("taker_ratio_1h", [1.0, 1.44, 0.56, 0.54, 1.46]) == [
        (3, "outlier:taker_ratio_1h -0.46 from 1, now 0.54"),
        (4, "outlier:taker_ratio_1h +0.46 from 1, now 1.46"),
    ]


def test_liquidations_of_an_hour_wake_with_their_notional() -> None:
    assert woken("liquidations_1h", [4.9e6, 5.2e6, 7e6], MINUTE) == [
        (1, "outlier:liquidations_1h +5.2 M in quote currency")
    ]
