"""Performance measurements on this machine. Absolute figures depend on the machine; only ratios are comparable."""

from collections.abc import Callable
from typing import Any, Final

from ocw_mcp.app.bench import agent, answers, mcp, runs, snapshot, steps
from ocw_mcp.domain.errors import SettingsError

MEASURES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "replay": runs.measure_replay,
    "history": runs.measure_history,
    "gate": steps.measure_gate,
    "policies": steps.measure_policies,
    "journal": steps.measure_journal,
    "snapshot": snapshot.measure,
    "mcp": mcp.measure,
    "answers": answers.measure,
    "agent": agent.measure,
    "memory": runs.measure_memory,
}


def measure(only: str | None = None, progress: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Return the result of one measurement, or of all by name, after `progress(name)`. Raises SettingsError."""
    if only is None:
        return {name: measure(name, progress) for name in MEASURES}
    if only not in MEASURES:
        raise SettingsError(f"there is no measurement {only!r}; expected one of {', '.join(MEASURES)}")
    progress(only)
    return MEASURES[only]()
