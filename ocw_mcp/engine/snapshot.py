"""Makes the snapshot that a wake carries: everything as of one moment."""

from ocw_mcp.core.market.market import Market
from ocw_mcp.core.risk.scale import exposure_scale
from ocw_mcp.domain.snapshot import IndicatorValues, PositionView, Snapshot, SymbolView, WakeReason
from ocw_mcp.domain.time import span_name
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.guard import Guard

_NO_REGIME = Unknown("no regime model is built in yet")
_NO_MACRO = Unknown("no macro reading is built in yet")
_NO_DERIVATIVES = Unknown("this market carries no derivatives data")


def take_snapshot(
    config: EngineConfig, market: Market, account: Account, guard: Guard, wake: tuple[WakeReason, ...], now: int
) -> Snapshot:
    """The world at `now` (ms), as far as the engine knows it."""
    return Snapshot(
        at=now,
        product=config.product,
        state=account.desk_state,
        equity=account.ledger.equity(),
        symbols=tuple(_symbol(symbol, market, account, guard, now) for symbol in config.symbols),
        wake=wake,
        regime=_NO_REGIME,
        macro=_NO_MACRO,
        scale=exposure_scale(config.policies.scale),
    )


def positions(account: Account, guard: Guard) -> list[PositionView]:
    """Every open position, by symbol."""
    ledger = account.ledger
    return [
        PositionView(
            symbol=symbol,
            quantity=position.quantity,
            average_price=position.average_price,
            mark=ledger.marks[symbol],
            unrealised=position.unrealised(ledger.marks[symbol]),
            opened_at=position.opened_at,
            stop=protection.trigger if (protection := guard.protections.get(symbol)) and protection.protected else None,
        )
        for symbol, position in sorted(ledger.positions.items())
    ]


def _symbol(symbol: str, market: Market, account: Account, guard: Guard, now: int) -> SymbolView:
    candles = market.symbols[symbol]
    known_at = candles.known_at
    held = [view for view in positions(account, guard) if view.symbol == symbol]
    return SymbolView(
        symbol=symbol,
        last=candles.last,
        age_ms=now - known_at if known_at is not None else -1,
        indicators=tuple(
            IndicatorValues(timeframe=span_name(interval), candles=count, close=close, **values)
            for interval, count, close, values in candles.indicators()
        ),
        position=held[0] if held else None,
        derivatives=_NO_DERIVATIVES,
    )
