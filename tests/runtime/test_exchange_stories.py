"""Random stories of a book at the exchange, with lost requests, lost events and kills, break no oracle."""

from hypothesis import HealthCheck, settings

from tests.support.exchange_stories import Story

TestStories = Story.TestCase
TestStories.settings = settings(
    max_examples=7,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)
