"""What all tests share: the check of requirement ids, and the recorded market."""

import asyncio
import gc
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import uvicorn.server
from hypothesis import Phase, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.requirements import marker_problems

ROOT = Path(__file__).resolve().parents[1]

# No test is timed: how long an example takes says more about the machine than about the code.
settings.register_profile("house", deadline=None)
# A mutant is to die or live for the same reason each time, and nobody reads its smallest example.
settings.register_profile(
    "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("house")

# Nothing of the collection is garbage, and looking for it takes a third of the time.
gc.disable()

Made = pytest.Item | pytest.Collector | list[pytest.Item | pytest.Collector] | None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Made, Made]:
    """Refuse to collect a test that answers a requirement nobody has."""
    made = yield
    items = [one for one in (made if isinstance(made, list) else [made]) if isinstance(one, pytest.Item)]
    problems = [problem for one in items for problem in marker_problems(one.nodeid, one.iter_markers("requirement"))]
    if problems:
        raise collector.CollectError("\n".join(problems))
    return made


def cache_by_text(check: Callable[..., None]) -> Callable[..., None]:
    """Return a function that checks each JSON schema once; a wrong one fails at each call."""
    passed = set[str]()

    def check_once(schema: Any, **options: Any) -> None:
        text = json.dumps([schema, str(options)], sort_keys=True)
        if text not in passed:
            check(schema, **options)
            passed.add(text)

    return check_once


class ShortSleeps:
    """asyncio with short sleeps, for uvicorn: it checks every 0.1 s whether to stop, and tests stop many servers."""

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))  # noqa: TID251 - stands in for the sleeps of uvicorn


vars(uvicorn.server)["asyncio"] = ShortSleeps()
# Every MCP client of the tests checks the same schemas of results.
Draft202012Validator.check_schema = staticmethod(cache_by_text(Draft202012Validator.check_schema))


def pytest_collection_finish() -> None:
    """Keep the collected tests out of garbage collections, and collect less often: it takes a twentieth of the time."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def tapes() -> Path:
    """The recorded market beside the checkout."""
    directory = ROOT.parent / "shared" / "tapes"
    if not directory.is_dir():
        pytest.skip("the recorded tapes are not beside this checkout (expected ../shared/tapes)")
    return directory
