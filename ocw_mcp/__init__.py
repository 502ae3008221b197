"""Trade crypto with Claude, or with a strategy of your own, behind hard risk limits.

    from ocw_mcp import Decision, Leg, replay

The names in `__all__` are the public interface; every other module may change. `__init__.pyi` declares them, for type
checkers and for this module, which imports a name when it is first used: `import ocw_mcp` alone imports nothing else.
"""

from importlib import import_module

__version__ = "0.1.0"

with open(f"{__file__}i", encoding="utf-8") as _declarations:
    # Each is `from MODULE import NAME as NAME`.
    _MODULE_OF = {words[3]: words[1] for words in map(str.split, _declarations) if words[:1] == ["from"]}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
