"""Short words for decisions."""

from decimal import Decimal

from msgspec.structs import replace

from ocw_mcp.domain.decision import Action, Decision, Leg


def buy(
    stop: str,
    size: str = "0.1",
    *,
    target: str | None = None,
    symbol: str = "BTCUSDT",
    limit: str | None = None,
    expires_s: int | None = None,
    post_only: bool = False,
) -> Decision:
    """Open a long."""
    (leg,) = entry(Action.BUY, stop, size, target=target, symbol=symbol).legs
    return Decision((waiting(leg, limit, expires_s, post_only),))


def short(stop: str, size: str = "0.1", *, symbol: str = "BTCUSDT", limit: str | None = None) -> Decision:
    """Open a short."""
    (leg,) = entry(Action.SHORT, stop, size, symbol=symbol).legs
    return Decision((waiting(leg, limit),))


def waiting(leg: Leg, limit: str | None, expires_s: int | None = None, post_only: bool = False) -> Leg:
    """The leg with a limit, if one is given."""
    price = None if limit is None else Decimal(limit)
    return replace(leg, limit=price, limit_expires_s=expires_s, post_only=post_only)


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
