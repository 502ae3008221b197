"""Many random stories of a book at the exchange; see `tests.support.exchange_stories`."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.exchange_stories import SpotStory, Story

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

MANY = settings(
    max_examples=40, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), database=None
)

TestManyStories = Story.TestCase
TestManyStories.settings = MANY
TestManySpotStories = SpotStory.TestCase
TestManySpotStories.settings = MANY
