"""Two callers, an agent, people, the market and the venue try together to break a limit; the slow suite goes on."""

from hypothesis import HealthCheck, settings

from tests.support.floor import Floor

TestFloor = Floor.TestCase
TestFloor.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)
