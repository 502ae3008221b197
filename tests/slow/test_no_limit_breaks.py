"""Two callers, an agent, people, the market and the venue try together to break a limit: a hundred thousand times."""

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.floor import Floor

STEPS = 100_000
MANY = settings(
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)

BITES = {
    "APPROVAL_REQUIRED",
    "CORRELATED_EXPOSURE",
    "DAILY_LOSS",
    "DEPTH",
    "ENTRY_RATE",
    "FEES",
    "FREE_MARGIN",
    "GROSS_EXPOSURE",
    "LEVERAGE",
    "LIQUIDATION",
    "LOSSES_IN_A_ROW",
    "MANDATE",
    "NOT_ACTIVE",
    "OPEN_POSITIONS",
    "ORDER_NOTIONAL",
    "POSITION_SHARE",
    "HELD_BY_PERSON",
    "NOT_APPROVED",
    "PRICE_COLLAR",
    "PRICE_MOVED",
    "REDUCTION_RATE",
    "REENTRY",
    "RISK_PER_TRADE",
    "SPREAD",
    "STALE_DATA",
    "STOP_REQUIRED",
    "TURNOVER",
}
"""Limits that have to have bitten, or the attempt was none."""


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_no_limit_is_exceeded_in_100000_random_steps() -> None:
    end, number = Floor.steps + STEPS, 0
    while (left := end - Floor.steps) > 0:
        number += 1
        # The same attempts each time: what does not bite does not depend on luck.
        attempts = seed(number)(type("Attempts", (Floor,), {}))
        run_state_machine_as_test(attempts, settings=settings(MANY, max_examples=min(200, left // 40 + 1)))
    bitten = {kind.removeprefix("refused ") for kind in Floor.bites if kind.startswith("refused ")}
    assert bitten >= BITES, f"never bit: {sorted(BITES - bitten)}"
