"""Wakes of the gate, from their text."""

from ocw_mcp.domain.snapshot import SymbolWake, WakeKind, WakeReason


def reason(text: str) -> WakeReason:
    """Return the reason that reads so: `close:1h`, `outlier:15m z=+3.02`, `timer`, `and 4 more`."""
    head, _, detail = text.partition(" ")
    if head == "and":
        return WakeReason(WakeKind.MORE, detail=detail.partition(" ")[0])
    kind, _, subject = head.partition(":")
    return WakeReason(WakeKind(kind), subject, detail)


def wake(symbol: str | None, *reasons: str) -> SymbolWake:
    """Return the wake of a symbol, or of the timer."""
    return SymbolWake(symbol, tuple(map(reason, reasons)))


def texts(of: SymbolWake) -> tuple[str, ...]:
    """Return the reasons of a wake as they read."""
    return tuple(map(str, of.reasons))
