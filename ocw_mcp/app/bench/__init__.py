"""Measurements on this machine. Absolute figures are the machine's; the ratios are what to compare."""

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


def measure(what: str | None = None, tell: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """One measurement by name, or all of them, each under its name; `tell` hears each name as it begins.

    Raises SettingsError for a name that nothing has.
    """
    if what is None:
        measured = {}
        for name, one in MEASURES.items():
            tell(name)
            measured[name] = one()
        return measured
    if what not in MEASURES:
        raise SettingsError(f"there is no measurement {what!r}; expected one of {', '.join(MEASURES)}")
    tell(what)
    return MEASURES[what]()
