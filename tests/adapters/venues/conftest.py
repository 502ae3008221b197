"""Fixtures with the venues of the conformance suite."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from ocw_mcp.sandbox.virtual_time import VirtualTimeLoop
from tests.adapters.venues.conformance import STAGES, Stage


@pytest.fixture(params=list(STAGES.values()), ids=list(STAGES))
def make_stage(request: pytest.FixtureRequest) -> Callable[[], Stage]:
    make: Callable[[], Stage] = request.param
    return make


@pytest.fixture
async def stage(make_stage: Callable[[], Stage]) -> AsyncIterator[Stage]:
    stage = make_stage()
    await stage.begin()
    yield stage
    await stage.end()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let the venues of this folder run in virtual time: a minute at an exchange takes no time."""
    return {"virtual": VirtualTimeLoop}
