"""Strategies: functions of the snapshot that decide, each with a name for the journal."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ocw_mcp.domain.errors import StrategyError
from ocw_mcp.runtime.deciders import Strategy

PREFIX = "strategy:"
"""The prefix of the agent name of a strategy."""


class NamedStrategy(NamedTuple):
    """A function of the snapshot, and its name in the journal."""

    name: str
    decide: Strategy


def load_strategy(text: str, folder: Path) -> NamedStrategy:
    """Import `MODULE:FUNCTION` from `folder` or an installed package. Raises StrategyError, or the module's error."""
    module, _, function = text.partition(":")
    if not (module and function):
        raise StrategyError(f"the strategy is {text!r}; expected MODULE:FUNCTION, such as my_module:decide")
    found = _imported(module, folder)
    if not hasattr(found, function):
        own = [name for name, value in vars(found).items() if getattr(value, "__module__", "") == module]
        there = ", ".join(name for name in own if callable(getattr(found, name)))
        expected = f"one of {there}" if there else "a function there"
        raise StrategyError(f"the module {module} has no {function!r}; expected {expected}")
    return named(getattr(found, function), f"{module}:{function}")


def named(strategy: Any, name: str = "") -> NamedStrategy:
    """Return a strategy with a name, by default `MODULE:FUNCTION`. Raises StrategyError if it is not callable."""
    if not callable(strategy):
        raise StrategyError(
            f"the strategy {name} is {repr(strategy)[:60]}, which cannot be called; expected a function that takes a "
            "snapshot and returns a Decision, or None to hold"
        )
    of = strategy if hasattr(strategy, "__qualname__") else type(strategy)
    # The module of a function in a script is named after the file of the script.
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    module = Path(script).stem if of.__module__ == "__main__" and script else of.__module__
    return NamedStrategy(f"{PREFIX}{name or f'{module}:{of.__qualname__}'}", strategy)


def _imported(module: str, folder: Path) -> Any:
    place = str(folder)
    sys.path.insert(0, place)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # The module exists and imports a module that does not: the error of that import is clearer.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise StrategyError(
            f"there is no module {error.name!r} in {folder}, nor among the installed packages; expected "
            "MODULE:FUNCTION, such as my_module:decide; start ocw in the folder of the module"
        ) from None
    finally:
        # Later imports of the strategy still find the folder, but installed packages now come before it.
        sys.path.remove(place)
        sys.path.append(place)
