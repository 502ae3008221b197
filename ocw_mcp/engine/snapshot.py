"""Takes the snapshot that a wake contains, with all values as of one time."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.core.market.market import FormingValues, Market, SymbolMarket, TimeframeValues
from ocw_mcp.core.orders.ledger import Position
from ocw_mcp.core.risk.sizes import exposure_scale
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import floor_to, plain
from ocw_mcp.domain.snapshot import (
    TRADES_SHOWN,
    Correlation,
    DerivativesView,
    Feasible,
    FormingCandle,
    FormingView,
    IndicatorValues,
    PositionView,
    Remark,
    Snapshot,
    SymbolView,
    SymbolViews,
    SymbolWake,
    TradeView,
)
from ocw_mcp.domain.time import DAY, HOUR, span_ms, span_name
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.guard import Guard

_NO_REGIME = Unknown("no regime model is built in yet")
_NO_MACRO = Unknown("no macro reading is built in yet")
_NO_FEASIBLE = Unknown("feasible sizes are not computed here")

Sizes = Callable[[str], Feasible | Unknown]
"""A function that returns a symbol's feasible sizes at the time of the snapshot."""


def take_snapshot(
    config: EngineConfig,
    market: Market,
    account: Account,
    guard: Guard,
    wake: tuple[SymbolWake, ...],
    now: int,
    *,
    feasible: Sizes | None = None,
    trades: tuple[TradeView, ...] = (),
    note: Remark | None = None,
    undone: tuple[Remark, ...] = (),
    limits: tuple[tuple[str, str], ...] = (),
) -> Snapshot:
    """Return the market and the account at `now` (ms), as the engine knows them. `trades` are oldest first."""
    held = {view.symbol: view for view in positions(account, guard)}
    return Snapshot(
        at=now,
        product=config.product,
        state=account.trading_state,
        equity=account.ledger.equity(),
        symbols=SymbolViews.of(
            _symbol(
                symbol, market.symbols[symbol], held.get(symbol), feasible(symbol) if feasible else _NO_FEASIBLE, now
            )
            for symbol in config.symbols
        ),
        wake=wake,
        regime=_NO_REGIME,
        macro=_NO_MACRO,
        scale=exposure_scale(config.policies.scale),
        trades=trades[-TRADES_SHOWN:],
        note=note,
        undone=undone,
        limits=limits,
        correlations=tuple(
            Correlation(first, second, market.correlation(first, second))
            for place, first in enumerate(config.symbols)
            for second in config.symbols[place + 1 :]
            if first in held or second in held
        ),
    )


def leave_out(symbols: Collection[str], seen: Snapshot) -> Snapshot:
    """Return a snapshot for the agent, without the symbols that the operator has taken over."""
    if not symbols:
        return seen
    return msgspec.structs.replace(
        seen,
        symbols=SymbolViews.of(view for name, view in seen.symbols.items() if name not in symbols),
        correlations=tuple(each for each in seen.correlations if not {each.first, each.second} & set(symbols)),
        wake=tuple(reason for reason in seen.wake if reason.symbol not in symbols),
    )


def take_holdings(
    config: EngineConfig, market: Market, account: Account, held: Sequence[PositionView], now: int
) -> Snapshot:
    """Return the open positions at `now` (ms), with only the readings that the rules score, so that it is fast."""
    wanted = span_ms(config.policies.rules.timeframe)
    views = []
    for each in held:
        candles = market.symbols[each.symbol]
        values = candles.indicators_of(wanted)
        views.append(
            SymbolView(
                symbol=each.symbol,
                last=candles.last,
                age_ms=now - (candles.known_at or now),
                indicators=() if values is None else (_indicators(values),),
                position=each,
                derivatives=DerivativesView(**candles.derivatives.values(now)),
                return_4h=candles.change_over(4 * HOUR),
            )
        )
    return Snapshot(
        at=now,
        product=config.product,
        state=account.trading_state,
        equity=account.ledger.equity(),
        symbols=SymbolViews.of(views),
        wake=(),
        regime=_NO_REGIME,
        macro=_NO_MACRO,
        scale=exposure_scale(config.policies.scale),
        correlations=tuple(
            Correlation(first.symbol, second.symbol, market.correlation(first.symbol, second.symbol))
            for place, first in enumerate(held)
            for second in held[place + 1 :]
        ),
    )


def positions(account: Account, guard: Guard, *, liquidation: bool = True) -> list[PositionView]:
    """Return the open positions by symbol. Liquidation prices are only computed with `liquidation`."""
    ledger = account.ledger
    views = []
    for symbol, position in sorted(ledger.positions.items()):
        protection = guard.protections.get(symbol)
        stop = protection.trigger if protection and protection.protected else None
        liquidated_at = _liquidation(position, guard.instruments.get(symbol)) if liquidation else None
        views.append(position.view(ledger.marks[symbol], stop, liquidated_at))
    return views


def summary_of(view: PositionView) -> dict[str, Any]:
    """Return a position as the engine's summary shows it. Money is text."""
    return {
        "symbol": view.symbol,
        "quantity": plain(view.quantity),
        "average_price": plain(round(view.average_price, 8)),
        "mark": plain(view.mark),
        "unrealised": plain(round(view.unrealised, 8)),
        "stop": plain(view.stop) if view.stop is not None else None,
        "protected": view.stop is not None,
    }


def _liquidation(position: Position, instrument: Instrument | None) -> Decimal | None:
    brackets = instrument.margin_brackets if instrument is not None else None
    if instrument is None or brackets is None:
        return None
    price = brackets.liquidation_price(position.quantity, position.cost, position.margin)
    return None if price is None else floor_to(price, instrument.tick)


def _symbol(
    symbol: str, candles: SymbolMarket, held: PositionView | None, feasible: Feasible | Unknown, now: int
) -> SymbolView:
    known_at = candles.known_at
    return SymbolView(
        symbol=symbol,
        last=candles.last,
        age_ms=now - known_at if known_at is not None else -1,
        indicators=tuple(_indicators(each) for each in candles.indicators()),
        position=held,
        derivatives=DerivativesView(**candles.derivatives.values(now)),
        return_1h=candles.change_over(HOUR),
        return_4h=candles.change_over(4 * HOUR),
        return_24h=candles.change_over(DAY),
        forming=tuple(_forming(each) for each in candles.forming()),
        feasible=feasible,
    )


def _indicators(values: TimeframeValues) -> IndicatorValues:
    return IndicatorValues(
        timeframe=span_name(values.interval), candles=values.candles, close=values.close, **values.values
    )


def _forming(forming: FormingValues) -> FormingView:
    timeframe, bar = span_name(forming.interval), forming.bar
    if isinstance(bar, Unknown):
        return FormingView(timeframe, bar)
    values = IndicatorValues(timeframe=timeframe, candles=forming.candles, close=bar.close, **forming.values)
    return FormingView(timeframe, FormingCandle(*bar, indicators=values))
