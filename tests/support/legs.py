"""Short words for decisions."""

from decimal import Decimal

from ocw_mcp.domain.decision import Action, Decision, Leg


def buy(stop: str, size: str = "0.1", *, target: str | None = None, symbol: str = "BTCUSDT") -> Decision:
    """Open a long."""
    return entry(Action.BUY, stop, size, target=target, symbol=symbol)


def short(stop: str, size: str = "0.1", *, symbol: str = "BTCUSDT") -> Decision:
    """Open a short."""
    return entry(Action.SHORT, stop, size, symbol=symbol)


def add(stop: str | None = None, size: str = "0.05", *, symbol: str = "BTCUSDT") -> Decision:
    """Make the position larger."""
    return entry(Action.ADD, stop, size, symbol=symbol)


def sell(symbol: str = "BTCUSDT") -> Decision:
    """Close a long."""
    return Decision((Leg(symbol, Action.SELL),))


def cover(symbol: str = "BTCUSDT") -> Decision:
    """Close a short."""
    return Decision((Leg(symbol, Action.COVER),))


def entry(action: Action, stop: str | None, size: str, *, target: str | None = None, symbol: str) -> Decision:
    """A decision with one entering leg."""
    return Decision(
        (
            Leg(
                symbol,
                action,
                size=Decimal(size),
                stop=Decimal(stop) if stop else None,
                target=Decimal(target) if target else None,
            ),
        )
    )
