"""Trade crypto with Claude, or with a strategy of your own, behind hard risk limits.

    from ocw_mcp import Decision, Leg, replay

What is listed in `__all__` is the public surface; every other module may change. A name is imported when it is first
asked for, so that `import ocw_mcp` costs nothing. `__init__.pyi` has the same names for type checkers.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "ocw_mcp.app.api.connection": ("EngineClient", "connect"),
    "ocw_mcp.app.api.records": ("Records",),
    "ocw_mcp.app.api.replaying": ("EquityPoint", "ReplayResult", "replay"),
    "ocw_mcp.adapters.store.views.decisions": ("DecisionRow",),
    "ocw_mcp.adapters.store.views.orders": ("OrderRow", "RefusalRow"),
    "ocw_mcp.adapters.store.views.trades": ("TradeRow",),
    "ocw_mcp.domain.decision": ("Action", "Comparison", "Decision", "Leg", "WakeCondition"),
    "ocw_mcp.domain.errors": (
        "AttachError",
        "BookBusy",
        "BookError",
        "FetchError",
        "JournalDiverged",
        "JournalError",
        "OcwError",
        "SettingsError",
        "StrategyError",
        "TapeError",
    ),
    "ocw_mcp.domain.requests": ("RequestError",),
    "ocw_mcp.domain.snapshot": (
        "Correlation",
        "DerivativesView",
        "Feasible",
        "FormingCandle",
        "FormingView",
        "IndicatorValues",
        "PositionView",
        "Remark",
        "Snapshot",
        "SymbolView",
        "SymbolWake",
        "TradeView",
        "WakeKind",
        "WakeReason",
    ),
    "ocw_mcp.domain.unknown": ("Unknown",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
