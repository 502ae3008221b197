"""What all tests share: the profiles of Hypothesis, the check of requirement ids, and a plugin of shared fixtures."""

import gc
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.requirements import marker_problems
from tests.support import examples

MEMORY_DISK = Path("/dev/shm")

# No test is timed: how long an example takes says more about the machine than about the code.
settings.register_profile("house", deadline=None)
# A mutant is to die or live for the same reason each time, and nobody reads its smallest example.
settings.register_profile(
    examples.MUTATION, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("house")

# Nothing of the collection is garbage, and looking for it takes a third of the time.
gc.disable()

# Tests write hundreds of small databases, and each commit waits for a disk, but not for memory.
if MEMORY_DISK.is_dir() and os.access(MEMORY_DISK, os.W_OK) and shutil.disk_usage(MEMORY_DISK).free > 1 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))

Made = pytest.Item | pytest.Collector | list[pytest.Item | pytest.Collector] | None


def pytest_configure(config: pytest.Config) -> None:
    """Load the shared fixtures, except in the process that only distributes the tests to others."""
    examples.among_slow = config.getoption("markexpr") == "slow"
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        config.pluginmanager.import_plugin("tests.support.shared")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Pass over the files without a slow test where only slow tests run: they are two thirds of the files."""
    is_module = collection_path.suffix == ".py"
    return True if examples.among_slow and is_module and b"slow" not in collection_path.read_bytes() else None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Made, Made]:
    """Refuse to collect a test that answers a requirement nobody has."""
    made = yield
    items = [one for one in (made if isinstance(made, list) else [made]) if isinstance(one, pytest.Item)]
    problems = [problem for one in items for problem in marker_problems(one.nodeid, one.iter_markers("requirement"))]
    if problems:
        raise collector.CollectError("\n".join(problems))
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the slow tests with those that may take longest, so that no process ends long before the other."""
    if examples.among_slow:
        items.sort(key=allowed_s, reverse=True)


def allowed_s(item: pytest.Item) -> float:
    """Return the timeout of a test in seconds, or 0 if it has the usual one."""
    marker = item.get_closest_marker("timeout")
    return 0.0 if marker is None else float(marker.args[0])


def pytest_collection_finish() -> None:
    """Keep the collected tests out of garbage collections, and collect less often: it takes a twentieth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
