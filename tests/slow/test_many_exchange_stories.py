"""Many random stories of a book at the exchange; see `tests.support.exchange_stories`."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.exchange_stories import Story

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

TestManyStories = Story.TestCase
TestManyStories.settings = settings(
    max_examples=250, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
