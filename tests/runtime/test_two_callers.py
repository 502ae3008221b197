"""Random stories of two callers, an agent, an operator, the market and the venue break no limit."""

from hypothesis import HealthCheck, settings

from tests.support.floor import Floor

TestFloor = Floor.TestCase
TestFloor.settings = settings(
    max_examples=10,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)
