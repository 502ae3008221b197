"""Performance measurements on this machine. Absolute figures depend on the machine; only ratios are comparable."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from ocw_mcp.domain.errors import SettingsError


def _measurement(module: str, function: str = "measure") -> Callable[[], dict[str, Any]]:
    """Return a function that imports a module of this package and measures: no measurement imports the others."""

    def run() -> dict[str, Any]:
        measure_one: Callable[[], dict[str, Any]] = getattr(import_module(f"{__name__}.{module}"), function)
        return measure_one()

    return run


MEASURES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "replay": _measurement("runs", "measure_replay"),
    "history": _measurement("runs", "measure_history"),
    "feed": _measurement("feed"),
    "gate": _measurement("steps", "measure_gate"),
    "policies": _measurement("steps", "measure_policies"),
    "journal": _measurement("steps", "measure_journal"),
    "snapshot": _measurement("snapshot"),
    "mcp": _measurement("mcp"),
    "answers": _measurement("answers"),
    "agent": _measurement("agent"),
    "memory": _measurement("runs", "measure_memory"),
}


def measure(only: str | None = None, progress: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Return the result of one measurement, or of all by name, after `progress(name)`. Raises SettingsError."""
    if only is None:
        return {name: measure(name, progress) for name in MEASURES}
    if only not in MEASURES:
        raise SettingsError(f"there is no measurement {only!r}; expected one of {', '.join(MEASURES)}")
    progress(only)
    return MEASURES[only]()
