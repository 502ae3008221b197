"""Performance measurements on this machine. Absolute figures depend on the machine; only ratios are comparable."""

from collections.abc import Callable
from typing import Any, Final

from ocw_mcp.app.bench import agent, gate, journal, mcp, memory, policies, replay, snapshot
from ocw_mcp.domain.errors import SettingsError

MEASURES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "replay": replay.measure,
    "history": replay.measure_history,
    "gate": gate.measure,
    "policies": policies.measure,
    "journal": journal.measure,
    "snapshot": snapshot.measure,
    "mcp": mcp.measure,
    "agent": agent.measure,
    "memory": memory.measure,
}


def measure(only: str | None = None, progress: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Return the result of one measurement, or of all by name. `progress` gets the name of each one as it begins.

    Raises SettingsError for an unknown name.
    """
    if only is None:
        measured = {}
        for name, one in MEASURES.items():
            progress(name)
            measured[name] = one()
        return measured
    if only not in MEASURES:
        raise SettingsError(f"there is no measurement {only!r}; expected one of {', '.join(MEASURES)}")
    progress(only)
    return MEASURES[only]()
