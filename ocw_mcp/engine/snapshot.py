"""Takes the snapshot that a wake contains, with all values as of one time."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec

from ocw_mcp.core import strategy
from ocw_mcp.core.market.market import FormingValues, Market, SymbolMarket, TimeframeValues
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.learning import LearningView
from ocw_mcp.domain.money import floor_to, plain
from ocw_mcp.domain.orders import NOBODY, RULES
from ocw_mcp.domain.snapshot import (
    TRADES_SHOWN,
    Correlation,
    FormingCandle,
    FormingView,
    IndicatorValues,
    PositionView,
    Sizes,
    Snapshot,
    SymbolView,
    SymbolViews,
    SymbolWake,
    TradeView,
)
from ocw_mcp.domain.time import DAY, HOUR, span_ms, span_name
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.guard import Guard

RECENT = 8
"""The number of closes in a snapshot."""

_NO_SIZES = Unknown("feasible sizes are not computed here")


def take_snapshot(
    market: Market,
    guard: Guard,
    wake: tuple[SymbolWake, ...],
    now: int,
    *,
    sizes: Callable[[str], Sizes] = lambda symbol: _NO_SIZES,
    planned: Callable[[PositionView], PositionView] = lambda view: view,
    trades: Sequence[TradeView] = (),
    **remarks: Any,
) -> Snapshot:
    """Return the market and the account at `now` (ms). `sizes` returns a symbol's feasible sizes.

    `planned` adds to a position what the guard will do. `trades` are oldest first. `remarks` are the other fields of
    the snapshot, such as `note`, `limits` and `since`.
    """
    symbols, held = guard.manager.config.symbols, {view.symbol: planned(view) for view in positions(guard)}
    anomaly = guard.manager.account.outlook.anomalies.reading
    views = [
        _symbol(symbol, market.symbols[symbol], held.get(symbol), sizes(symbol), anomaly(symbol, now), now)
        for symbol in symbols
    ]
    pairs = [pair for pair in combinations(symbols, 2) if pair[0] in held or pair[1] in held]
    return _snapshot(market, guard, views, pairs, now, wake=wake, trades=tuple(trades)[-TRADES_SHOWN:], **remarks)


def take_signals(
    market: Market, guard: Guard, held: Mapping[str, PositionView | None], now: int, wake: tuple[SymbolWake, ...] = ()
) -> Snapshot:
    """Return the symbols of `held` at `now` (ms) with their positions, and only the readings of the rules, to be fast.

    The correlations are those of the open positions with each other.
    """
    wanted = span_ms(guard.manager.config.policies.rules.timeframe)
    views = []
    for symbol, position in held.items():
        candles = market.symbols[symbol]
        values = candles.indicators_of(wanted)
        views.append(
            SymbolView(
                symbol=symbol,
                last=candles.last,
                age_ms=max(0, now - (candles.known_at or now)),
                indicators=() if values is None else (indicator_values(values),),
                position=position,
                derivatives=candles.derivatives_view(now),
                return_4h=candles.change_over(4 * HOUR),
            )
        )
    pairs = combinations([symbol for symbol, position in held.items() if position is not None], 2)
    return _snapshot(market, guard, views, pairs, now, wake=wake)


def take_readings(market: Market, guard: Guard, symbols: Iterable[str], now: int) -> Snapshot:
    """Return the readings of symbols at `now` (ms) that signals are computed from, without what costs time."""
    anomaly = guard.manager.account.outlook.anomalies.reading
    views = []
    for symbol in symbols:
        candles = market.symbols[symbol]
        day_low, day_high = candles.day_range()
        views.append(
            SymbolView(
                symbol=symbol,
                last=candles.last,
                age_ms=max(0, now - (candles.known_at or now)),
                indicators=tuple(indicator_values(each) for each in candles.indicators()),
                position=None,
                derivatives=candles.derivatives_view(now),
                liquidations=candles.liquidations.value(),
                return_1h=candles.change_over(HOUR),
                return_4h=candles.change_over(4 * HOUR),
                return_24h=candles.change_over(DAY),
                day_low=day_low,
                day_high=day_high,
                anomaly=anomaly(symbol, now),
            )
        )
    return _snapshot(market, guard, views, (), now, wake=())


def brief_snapshot(
    market: Market,
    guard: Guard,
    wake: tuple[SymbolWake, ...],
    now: int,
    learned: Callable[[int], LearningView | None],
) -> Snapshot | None:
    """Return a snapshot of a wake for an agent that reads no more of it; None if the agent may need all.

    `learned` returns what was learned, as of a time. The snapshot has no symbols if no agent decides. For the rules it
    has their signals if they will hold every symbol.
    """
    config = guard.manager.config
    if config.agent not in (RULES, NOBODY):
        return None
    for symbol in config.symbols:
        # A venue may derive filters from the prices before the first request: a brief snapshot requests them, too.
        guard.instruments.get(symbol)
    if config.agent == NOBODY:
        return _snapshot(market, guard, (), (), now, wake=wake)
    held = {view.symbol: view for view in positions(guard, liquidation=False)}
    seen = take_signals(market, guard, {symbol: held.get(symbol) for symbol in config.symbols}, now, wake)
    if (view := learned(now)) is not None:
        seen = msgspec.structs.replace(seen, learning=view)
    return None if strategy.may_act(seen, config.policies) else seen


def _snapshot(
    market: Market, guard: Guard, views: Iterable[SymbolView], pairs: Iterable[tuple[str, str]], now: int, **fields: Any
) -> Snapshot:
    account, config = guard.manager.account, guard.manager.config
    outlook = account.outlook
    return Snapshot(
        at=now,
        product=config.product,
        state=account.trading_state,
        equity=account.ledger.equity(),
        symbols=SymbolViews.of(views),
        regime=outlook.regime(now),
        macro=outlook.macro(now),
        context=outlook.context(now),
        scale=outlook.scale(now),
        daily_loss=account.day.loss(account.ledger.equity()) if account.day.today.opening else None,
        correlations=tuple(Correlation(first, second, market.correlation(first, second)) for first, second in pairs),
        **fields,
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
        since=tuple(each for each in seen.since if each.shown_without(symbols)),
        note_refused=tuple(each for each in seen.note_refused if each.symbol not in symbols),
        resting=tuple(each for each in seen.resting if each.symbol not in symbols),
        conditions=tuple(each for each in seen.conditions if each.condition.symbol not in symbols),
    )


def positions(guard: Guard, *, liquidation: bool = True) -> list[PositionView]:
    """Return the open positions by symbol. Liquidation prices are only computed with `liquidation`."""
    ledger = guard.manager.account.ledger
    views = []
    for symbol, position in sorted(ledger.positions.items()):
        protection, instrument, liquidated_at = guard.protections.get(symbol), None, None
        stop = protection.trigger if protection and protection.protected else None
        if liquidation:
            instrument = guard.instruments.get(symbol)
        if instrument is not None and instrument.margin_brackets is not None:
            price = instrument.margin_brackets.liquidation_price(position.quantity, position.cost, position.margin)
            liquidated_at = None if price is None else floor_to(price, instrument.tick)
        view = position.view(ledger.marks[symbol], stop, liquidated_at)
        if protection is not None:
            view = msgspec.structs.replace(view, target=protection.target, trail=protection.trail)
        views.append(view)
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
        "target": plain(view.target) if view.target is not None else None,
        "trail": plain(view.trail) if view.trail is not None else None,
    }


def _symbol(
    symbol: str,
    candles: SymbolMarket,
    held: PositionView | None,
    sizes: Sizes,
    anomaly: AnomalyReading | Unknown,
    now: int,
) -> SymbolView:
    known_at, (day_low, day_high) = candles.known_at, candles.day_range()
    return SymbolView(
        symbol=symbol,
        last=candles.last,
        age_ms=max(0, now - known_at) if known_at is not None else -1,
        indicators=tuple(indicator_values(each) for each in candles.indicators()),
        position=held,
        derivatives=candles.derivatives_view(now),
        next_funding_at=candles.derivatives.next_funding(now),
        liquidations=candles.liquidations.value(),
        return_1h=candles.change_over(HOUR),
        return_4h=candles.change_over(4 * HOUR),
        return_24h=candles.change_over(DAY),
        forming=tuple(_forming(each) for each in candles.forming()),
        sizes=sizes,
        day_low=day_low,
        day_high=day_high,
        recent=candles.recent(HOUR, RECENT),
        anomaly=anomaly,
    )


def indicator_values(values: TimeframeValues) -> IndicatorValues:
    """Return the indicators of a timeframe as a snapshot has them."""
    readings: dict[str, Any] = {**values.values}
    return IndicatorValues(
        timeframe=span_name(values.interval),
        candles=values.candles,
        close=values.close,
        closed_at=values.closed_at,
        **readings,
    )


def _forming(forming: FormingValues) -> FormingView:
    timeframe, bar = span_name(forming.interval), forming.bar
    if isinstance(bar, Unknown):
        return FormingView(timeframe, bar)
    readings: dict[str, Any] = {**forming.values}
    values = IndicatorValues(timeframe=timeframe, candles=forming.candles, close=bar.close, **readings)
    return FormingView(timeframe, FormingCandle(*bar, indicators=values))
