"""Performance measurements on this machine. Absolute figures depend on the machine; only ratios are comparable."""

from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final

from ocw_mcp.domain.errors import SettingsError

FUNCTIONS: Final = {
    "replay": "runs:measure_replay",
    "history": "runs:measure_history",
    "feed": "feed:measure",
    "gate": "steps:measure_gate",
    "policies": "steps:measure_policies",
    "journal": "steps:measure_journal",
    "venue": "venue:measure",
    "snapshot": "snapshot:measure",
    "mcp": "mcp:measure",
    "answers": "answers:measure",
    "agent": "agent:measure",
    "regime": "regime:measure",
    "outside": "outside:measure",
    "derivatives": "derivatives:measure",
    "learning": "learning:measure",
    "memory": "runs:measure_memory",
}
"""The module and the function of each measurement. One is imported when it is made: none waits for the others."""


def function_of(name: str) -> Callable[[], dict[str, Any]]:
    """Return the function of a measurement."""
    found: Callable[[], dict[str, Any]] = resolve_name(f"{__name__}.{FUNCTIONS[name]}")
    return found


def _run(name: str) -> dict[str, Any]:
    return function_of(name)()


MEASURES: Final[dict[str, Callable[[], dict[str, Any]]]] = {name: partial(_run, name) for name in FUNCTIONS}


def measure(only: str | None = None, progress: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Return the result of one measurement, or of all by name, after `progress(name)`. Raises SettingsError."""
    if only is None:
        return {name: measure(name, progress) for name in MEASURES}
    if only not in MEASURES:
        raise SettingsError(f"there is no measurement {only!r}; expected one of {', '.join(MEASURES)}")
    progress(only)
    return MEASURES[only]()
